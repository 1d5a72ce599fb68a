"""`edge-bench`: how fast this machine analyzes slides, measured on the pipeline that the daemon runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from edge.errors import EXIT_DONE, EdgeError, run_command

DESCRIPTION = """\
Measures whole slides, from the folder to the record and the HTML report, with the calls that edge-daemon makes.
The model is opened and warmed up first; that time is not part of a slide's.
"""
EXAMPLES = """\
examples:
  edge-bench                                       two simulated slides of 200 cells, three times each
  edge-bench --slide export/A0042_S1 --runs 20     a slide of your own
  edge-bench --engine cpu-fp32 --json > bench.json
  edge-bench --engine tensorrt --plans plans/      on the GPU, with the plan that edge-plan build made
  edge-bench --assert "slide_s.p99<10" --assert "images_per_s>40"

Exit status 3 when an --assert does not hold. Close other programs first: the load is in the report.
"""


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
    what.add_argument("--synthetic", type=_positive, default=2, metavar="N", help="draw N slides (default 2)")
    parser.add_argument("--runs", type=_positive, default=3, metavar="R", help="analyses of each slide (default 3)")
    parser.add_argument("--bundle", type=Path, metavar="B", help="model bundle (default: the demo bundle)")
    parser.add_argument("--public-key", type=Path, metavar="K", help="PEM of the key that must have signed the bundle")
    parser.add_argument(
        "--engine",
        default="cpu",
        metavar="E",
        help="cpu, gpu, tensorrt, rtx, auto, or one with a precision: cpu-fp32 (default cpu)",
    )
    parser.add_argument(
        "--plans", type=Path, metavar="DIR", help="GPU plans (edge-plan build); without, one is built now"
    )
    parser.add_argument("--threads", type=_positive, metavar="N", help="processor threads (default: all)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--assert", dest="claims", action="append", default=[], metavar="CLAIM", help='such as "slide_s.p99<10"'
    )
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _bench(arguments: argparse.Namespace) -> int:
    from edge.bench.report import check_claim, report_from_timings, table_from_report
    from edge.bench.stages import synthetic_slides, time_slides
    from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
    from edge.model import open_model

    key = arguments.public_key or (None if arguments.bundle else DEMO_PUBLIC_KEY)
    bundle = arguments.bundle or DEMO_BUNDLE
    model = open_model(
        bundle,
        public_key=_read_key(key),
        engine=arguments.engine,
        plans_dir=arguments.plans,
        threads=arguments.threads,
    )
    try:
        model.prove_golden()
        chosen = nullcontext(arguments.slide) if arguments.slide else synthetic_slides(arguments.synthetic)
        with chosen as folders:
            print(f"slides: {len(folders)}, analyses of each: {arguments.runs}", file=sys.stderr)
            timings = time_slides(model, folders, arguments.runs)
        report = report_from_timings(timings, model, synthetic=not arguments.slide)
    finally:
        model.close()
    print(json.dumps(report, indent=1) if arguments.json else table_from_report(report), flush=True)
    for claim in arguments.claims:
        check_claim(claim, report)
    return EXIT_DONE


def _read_key(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-010", where=str(path), reason=error.strerror or str(error)) from error


if __name__ == "__main__":
    raise SystemExit(main())
