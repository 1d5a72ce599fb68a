"""`edge-analyzer-simulator`: draws labelled cells, and exports slides like a DI-60, to train, test and show with."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands.option_values import positive_number
from edge.errors import EXIT_DONE, run_command

if TYPE_CHECKING:
    from edge.simulator.analyzer import WrittenSlide
    from edge.simulator.cell_sources import CellSource
    from edge.simulator.slide_series import PlannedSlide

DESCRIPTION = """
Simulates the analyzer beside which mds-edge stands. Everything it makes is simulated and says so: cells are drawings,
slide.json names the analyzer "SIMULATED DI-60", sample numbers begin with SIM.

  cells    a folder of labelled single cells, to train with     (labels.csv: file, cell_type, 97 findings)
  slides   a number of exported slides, one folder each         (slide.json, wbc/0001.jpg ..., .complete)
  run      the same without end, one slide every --every-s, as an analyzer in routine use exports them
"""

EXAMPLES = """
examples
  edge-analyzer-simulator cells --out drawn --count 3400 --seed 1
  edge-analyzer-simulator cells --out blasts --count 200 --seed 2 --types BL,PMY
  edge-analyzer-simulator slides --out export --count 3 --kind mixed --slow-copy --pause-s 0.02
  edge-analyzer-simulator slides --out cohort --count 120 --kind mixed --labels --seed 7
  edge-analyzer-simulator slides --out export --count 1 --kind mds --cells-from ../cells --cells-split test
  edge-analyzer-simulator run --out export --every-s 60

The same seed makes the same cells and slides again. With --cells-from, real pictures are used where the folder has
them; what it lacks is drawn, and the summary says how often and why.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulator; exit status 0 when everything asked for was written."""
    arguments = _parser().parse_args(argv)
    body: Callable[[argparse.Namespace], int] = arguments.body
    return run_command(lambda: body(arguments))


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="edge-analyzer-simulator", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=raw
    )
    commands = parser.add_subparsers(required=True, metavar="cells | slides | run")
    cells = commands.add_parser(
        "cells", help="write a folder of drawn, labelled cells", epilog=EXAMPLES, formatter_class=raw
    )
    cells.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write; must hold no labels yet"
    )
    cells.add_argument("--count", type=positive_number, default=1700, metavar="N", help="cells to draw (default 1700)")
    cells.add_argument("--seed", type=int, default=1, metavar="S", help="same seed, same cells (default 1)")
    cells.add_argument("--types", type=_codes, default=(), metavar="A,B", help="cell types, in turn (default: all 17)")
    cells.add_argument(
        "--size-px", type=positive_number, default=360, metavar="P", help="side of a picture (default 360)"
    )
    cells.add_argument(
        "--findings-mean", type=float, default=0.9, metavar="M", help="mean number of findings a cell (default 0.9)"
    )
    cells.add_argument("--json", action="store_true", help="print the summary as JSON")
    cells.set_defaults(body=_cells)
    slides = commands.add_parser("slides", help="export a number of slides", epilog=EXAMPLES, formatter_class=raw)
    slides.add_argument("--count", type=positive_number, default=3, metavar="N", help="slides to export (default 3)")
    slides.add_argument(
        "--labels",
        action="store_true",
        help="also write slides.csv (slide, patient, mds_aa) and truth.csv (every cell)",
    )
    _add_slide_options(slides)
    slides.set_defaults(body=_slides)
    run = commands.add_parser("run", help="export slides without end", epilog=EXAMPLES, formatter_class=raw)
    run.add_argument("--every-s", type=float, default=60.0, metavar="T", help="pause between slides (default 60)")
    run.add_argument(
        "--count", type=positive_number, default=None, metavar="N", help="stop after N slides (default: never)"
    )
    _add_slide_options(run)
    run.set_defaults(body=_run)
    return parser


def _add_slide_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="export root: one folder per slide")
    parser.add_argument(
        "--kind", choices=("mds", "aa", "normal", "mixed"), default="mixed", help="whose films (default mixed)"
    )
    parser.add_argument(
        "--cells-per-slide", type=_range, default=(100, 200), metavar="A-B", help="cells a slide (default 100-200)"
    )
    parser.add_argument(
        "--cells-from", type=Path, metavar="DIR", help="labelled real cells (labels.csv); default: every cell is drawn"
    )
    parser.add_argument(
        "--cells-split", choices=("all", "training", "validation", "test"), default="all",
        help="which split of --cells-from to use, as edge-train splits them (default all)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="same seed, same slides (default 1)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--slow-copy", action="store_true", help="let files grow one by one, like a copy to a share")
    how.add_argument(
        "--atomic", action="store_true", help="let a finished folder appear at once (default: file by file)"
    )
    parser.add_argument(
        "--pause-s", "--interval-s", type=float, default=None, metavar="T",
        help="pause before each file (default 0.01 with --slow-copy, else 0)",
    )  # fmt: skip
    parser.add_argument("--metadata", choices=("json", "xml", "csv", "none"), default="json", help="default json")
    parser.add_argument("--marker", default=".complete", metavar="NAME", help="file written last (default .complete)")
    parser.add_argument("--no-marker", action="store_const", const=None, dest="marker", help="write no marker")
    parser.add_argument("--truncate-one", action="store_true", help="cut the first cell's file short on every slide")
    parser.add_argument("--late-files", type=int, default=0, metavar="N", help="hold the last N files of a slide back")
    parser.add_argument(
        "--late-after-s", type=float, default=5.0, metavar="T", help="when held back files come (default 5)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _cells(arguments: argparse.Namespace) -> int:
    from edge.simulator.labelled_folder import write_labelled_cells

    started_s = time.monotonic()

    def progress(done: int, count: int) -> None:
        if done == count or done % 500 == 0:
            _say(f"{time.monotonic() - started_s:6.1f} s  {done} of {count} cells drawn")

    written = write_labelled_cells(
        arguments.out, arguments.count, arguments.seed, types=arguments.types, size_px=arguments.size_px,
        mean_findings=arguments.findings_mean, progress=progress,
    )  # fmt: skip
    summary = {
        "simulated": True,
        "folder": str(written.folder),
        "cells": sum(written.per_type.values()),
        "types": dict(written.per_type),
        "findings": dict(sorted(written.per_finding.items())),
        "seconds": round(time.monotonic() - started_s, 1),
    }
    text = f"{summary['cells']} simulated cells of {len(written.per_type)} types in {arguments.out}"
    _print_summary(arguments, summary, f"{text}; {len(written.per_finding)} findings occur at least once")
    return EXIT_DONE


def _slides(arguments: argparse.Namespace) -> int:
    from edge.simulator.analyzer import prepare_export_root
    from edge.simulator.slide_series import plan_slides, write_truth

    prepare_export_root(arguments.out)
    plan = plan_slides(arguments.kind, arguments.cells_per_slide, arguments.seed)
    source = _source(arguments)
    written = [_export(arguments, planned, source) for planned in _first(plan, arguments.count)]
    summary = _summary_of(arguments, written)
    if arguments.labels:
        summary["tables"] = [str(path) for path in write_truth(arguments.out, written)]
    text = f"{len(written)} simulated slides with {summary['cells']} cells in {arguments.out}"
    _print_summary(arguments, summary, f"{text}; cells: {_listing(summary['origins'])}")
    return EXIT_DONE


def _run(arguments: argparse.Namespace) -> int:
    from edge.simulator.analyzer import prepare_export_root
    from edge.simulator.slide_series import plan_slides

    prepare_export_root(arguments.out)
    _say(f"exporting a simulated slide every {arguments.every_s:g} s into {arguments.out}; stop with Ctrl-C")
    source = _source(arguments)
    # Numbers follow the clock, so that a simulator started again exports new samples instead of old names.
    plan = plan_slides(arguments.kind, arguments.cells_per_slide, arguments.seed, first_number=int(time.time()))
    exported: list[WrittenSlide] = []
    for planned in plan:
        exported.append(_export(arguments, planned, source))
        if arguments.count is not None and len(exported) >= arguments.count:
            break
        del exported[: -(arguments.count or 1)]
        time.sleep(arguments.every_s)
    _print_summary(arguments, _summary_of(arguments, exported), f"{len(exported)} simulated slides exported")
    return EXIT_DONE


def _source(arguments: argparse.Namespace) -> CellSource:
    from edge.simulator.cell_sources import DrawnCells, open_labelled_cells

    if arguments.cells_from is None:
        return DrawnCells()
    return open_labelled_cells(arguments.cells_from, split=arguments.cells_split)


def _export(arguments: argparse.Namespace, planned: PlannedSlide, source: CellSource) -> WrittenSlide:
    from dataclasses import replace
    from datetime import datetime

    import numpy as np

    from edge.simulator.analyzer import deliver_late_files, write_slide

    pause_s = arguments.pause_s if arguments.pause_s is not None else (0.01 if arguments.slow_copy else 0.0)
    started_s = time.monotonic()
    written = write_slide(
        planned.film, arguments.out, planned.slide_key, planned.facts.sample_id,
        source=source,
        rng=np.random.default_rng(planned.seed),
        how="slow-copy" if arguments.slow_copy else "atomic" if arguments.atomic else "marker",
        metadata=arguments.metadata,
        facts=replace(planned.facts, acquired_at=datetime.now().astimezone().isoformat(timespec="seconds")),
        marker=arguments.marker,
        pause_s=pause_s,
        truncated_file=0 if arguments.truncate_one else None,
        late_files=arguments.late_files,
    )  # fmt: skip
    took_s = time.monotonic() - started_s
    _say(f"{took_s:6.1f} s  {written.slide_key}: {len(written.cell_paths)} cells ({_listing(written.origins)})")
    if written.late:
        time.sleep(arguments.late_after_s)
        deliver_late_files(written)
        _say(f"{written.slide_key}: {len(written.late)} late files delivered")
    return written


def _summary_of(arguments: argparse.Namespace, written: Sequence[WrittenSlide]) -> dict[str, Any]:
    from collections import Counter

    origins: Counter[str] = Counter()
    for slide in written:
        origins.update(slide.origins)
    return {
        "simulated": True,
        "folder": str(arguments.out),
        "slides": [slide.slide_key for slide in written],
        "kinds": dict(Counter(slide.film.kind for slide in written)),
        "cells": sum(len(slide.cell_paths) for slide in written),
        "origins": dict(origins.most_common()),
    }


def _first(plan: Iterator[PlannedSlide], count: int) -> Iterator[PlannedSlide]:
    for _ in range(count):
        yield next(plan)


def _print_summary(arguments: argparse.Namespace, summary: dict[str, Any], text: str) -> None:
    print(json.dumps(summary, indent=1) if arguments.json else text, flush=True)


def _say(text: str) -> None:
    """Progress goes to standard error: standard output holds the summary only."""
    print(text, file=sys.stderr, flush=True)


def _listing(origins: dict[str, int]) -> str:
    ordered = sorted(origins.items(), key=lambda item: -item[1])
    shown = [f"{count} {name}" for name, count in ordered[:4]]
    return ", ".join(shown) + (f", {len(ordered) - 4} more reasons" if len(ordered) > 4 else "")


def _codes(text: str) -> tuple[str, ...]:
    return tuple(code.strip().upper() for code in text.split(",") if code.strip())


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    numbers = int(low), int(high or low)
    if not 1 <= numbers[0] <= numbers[1]:
        raise argparse.ArgumentTypeError(f"{text} is not a range such as 100-200")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
