"""`edge-bench`: how fast this machine analyzes slides, measured on the pipeline that the daemon runs."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands.option_values import positive_number
from edge.errors import EXIT_DONE, EdgeError, run_command

if TYPE_CHECKING:
    from edge.model import Model

DESCRIPTION = """\
Measures whole slides, from the folder to the record, the HTML report and the file in a drop folder, with the calls that
edge-daemon makes, and the network alone beside them, against what this processor can do at most.
The model is opened and proved first; that time ("model ready") is not part of a slide's.
"""
EXAMPLES = """\
examples:
  edge-bench                                       two simulated slides of 200 cells, three times each
  edge-bench --bundle B --slide export/A0042_S1 --runs 20     a slide of your own
  edge-bench --engine cpu-fp32 --json > earlier.json
  edge-bench --compare earlier.json --picture bench.svg       what changed, and where the time goes
  edge-bench --engine tensorrt --plans plans/      on the GPU, with the plan that edge-plan build made
  edge-bench --assert "p99<10s" --assert "images_per_s>40"

reading the table:
  wait     time in which the network had nothing to do because no cell was ready: should be near nought
  reached  share of the rate of large matrix products in the same precision, measured in the same run
  steal    processor time that the host of a virtual machine gave to others: above 5 % judge nothing

Exit status 3 when an --assert does not hold. Close other programs first: the load is in the report.
"""
_ENGINE_ALONE_S = 2.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit status 0 when every claim holds."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: _bench(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edge-bench", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--slide", type=Path, action="append", metavar="DIR", help="a slide folder; may be given again")
    what.add_argument("--synthetic", type=positive_number, default=2, metavar="N", help="draw N slides (default 2)")
    parser.add_argument(
        "--cells", type=positive_number, default=200, metavar="C", help="cells of a drawn slide (default 200)"
    )
    parser.add_argument(
        "--runs", type=positive_number, default=3, metavar="R", help="analyses of each slide (default 3)"
    )
    _add_model(parser.add_argument_group("the model"))
    out = parser.add_argument_group("what comes out")
    out.add_argument("--json", action="store_true", help="print the report as JSON")
    out.add_argument("--assert", dest="claims", action="append", default=[], metavar="CLAIM", help='such as "p99<10s"')
    out.add_argument("--compare", type=Path, metavar="FILE", help="a report of an earlier run (--json), for ratios")
    out.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw stages and slide times")
    out.add_argument("--without-limit", action="store_true", help="do not measure the processor's limit (saves ~10 s)")
    return parser


def _add_model(group: Any) -> None:
    group.add_argument("--bundle", type=Path, metavar="B", help="model bundle (default: the demo bundle)")
    group.add_argument("--public-key", type=Path, metavar="K", help="PEM of the key that must have signed the bundle")
    group.add_argument(
        "--engine",
        default="cpu",
        metavar="E",
        help="cpu, gpu, tensorrt, rtx, auto, or one with a precision: cpu-fp32 (default cpu)",
    )
    group.add_argument(
        "--plans", type=Path, metavar="DIR", help="GPU plans (edge-plan build); without, one is built now"
    )
    group.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="keep compiled networks and the tuned layout here, as edge-daemon does",
    )
    group.add_argument("--threads", type=positive_number, metavar="N", help="processor threads (default: all cores)")


def _bench(arguments: argparse.Namespace) -> int:
    from edge.bench.claims import check_claim, claim_from_text, comparison_table, saved_report
    from edge.bench.report import table_from_report

    _check_places(arguments)
    for claim in arguments.claims:
        claim_from_text(claim)  # before minutes were spent, too
    earlier = saved_report(arguments.compare) if arguments.compare else None
    report = _measure(arguments)
    print(json.dumps(report, indent=1) if arguments.json else table_from_report(report), flush=True)
    if earlier is not None:
        # Beside JSON on standard output the comparison is for the person at the terminal.
        print(comparison_table(report, earlier), file=sys.stderr if arguments.json else sys.stdout, flush=True)
    if arguments.picture:
        _write_picture(arguments.picture, report)
    for claim in arguments.claims:
        check_claim(claim, report)
    return EXIT_DONE


def _check_places(arguments: argparse.Namespace) -> None:
    """Refuse before minutes were spent what could not be written afterwards."""
    picture: Path | None = arguments.picture
    if picture is None:
        return
    reason = "its name does not end in .svg" if picture.suffix.lower() != ".svg" else "its folder is not there"
    if picture.suffix.lower() != ".svg" or not picture.absolute().parent.is_dir():
        raise EdgeError("MDSE-BENCH-004", where=str(picture), reason=reason)


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    from edge.bench.machine import disturbance, machine_facts, moment
    from edge.bench.report import report_from_timings
    from edge.bench.stages import synthetic_slides, time_slides

    machine, before, load_before = machine_facts(), moment(), os.getloadavg()[0]
    start_s = time.perf_counter()
    model = _open(arguments)
    try:
        model.prove_golden()
        ready_s = time.perf_counter() - start_s
        drawn = synthetic_slides(arguments.synthetic, cells_per_slide=arguments.cells)
        with nullcontext(arguments.slide) if arguments.slide else drawn as folders:
            _say(f"model ready after {ready_s:.1f} s; {len(folders)} slides, {arguments.runs} times each")
            timings = time_slides(model, folders, arguments.runs, on_slide=_tell)
        limit = None if arguments.without_limit else _limit(model, arguments)
        machine["disturbance"] = disturbance(before, moment(), load_before)
        return report_from_timings(
            timings, model, synthetic=not arguments.slide, ready_s=ready_s, machine=machine, limit=limit
        )
    finally:
        model.close()


def _open(arguments: argparse.Namespace) -> Model:
    from edge.demo import DEMO_BUNDLE
    from edge.model import open_model

    return open_model(
        arguments.bundle or DEMO_BUNDLE,
        public_key=_read_key(arguments),
        engine=arguments.engine,
        cache_dir=arguments.cache,
        plans_dir=arguments.plans,
        threads=arguments.threads,
    )


def _limit(model: Model, arguments: argparse.Namespace) -> Any:
    """Measure the network alone and the processor's limit; None for an engine that is not on the processor."""
    from edge.bench.report import Limit
    from edge.bench.stages import engine_rate
    from edge.bundle.reader import open_bundle
    from edge.demo import DEMO_BUNDLE

    spec = model.engine.spec
    if spec.device != "cpu":
        return None
    from edge.engines.openvino_limits import measured_limit, network_macs

    _say("the network alone ...")
    rate = engine_rate(model, _ENGINE_ALONE_S)
    _say("products of large matrices, this processor's limit ...")
    bundle = open_bundle(arguments.bundle or DEMO_BUNDLE, public_key=_read_key(arguments))
    macs = network_macs(bundle.read(model.choice.file), spec.size_px)
    return Limit(measured_limit(spec.copies, spec.threads), macs, rate)


def _tell(done: int, total: int) -> None:
    _say(f"slide {done} of {total}", end="\n" if done == total or not sys.stderr.isatty() else "\r")


def _say(text: str, end: str = "\n") -> None:
    print(text, file=sys.stderr, end=end, flush=True)


def _write_picture(path: Path, report: dict[str, Any]) -> None:
    from edge.bench.picture import svg_from_report

    try:
        path.write_text(svg_from_report(report), encoding="utf-8")
    except OSError as error:
        raise EdgeError("MDSE-BENCH-004", where=str(path), reason=error.strerror or str(error)) from error


def _read_key(arguments: argparse.Namespace) -> bytes | None:
    from edge.bundle.key_file import read_public_key
    from edge.demo import DEMO_PUBLIC_KEY

    return read_public_key(arguments.public_key or (None if arguments.bundle else DEMO_PUBLIC_KEY))


if __name__ == "__main__":
    raise SystemExit(main())
