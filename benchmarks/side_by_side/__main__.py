"""Measure the shipped pipeline beside other ways to run the same network, and write JSON, tables and picture.

python -m benchmarks.side_by_side --networks FOLDER [--sizes 299,128,160,224] [--rounds 5] [--state DIR]
python -m benchmarks.side_by_side --tables      only writes tables and picture anew, from the committed JSON

FOLDER holds paper<px>/ as benchmarks/paper_bundles.py makes them. Close everything else first. A run that was ended
goes on when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from benchmarks.side_by_side.contestant_process import REPOSITORY
from benchmarks.side_by_side.contestants import ENTRIES

RESULTS = REPOSITORY / "benchmarks" / "side_by_side.json"
BARRED_SIZES = (299, 128)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        "python -m benchmarks.side_by_side", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--networks", type=Path, metavar="FOLDER", help="where paper<px>/ lie")
    made.add_argument("--cells", type=Path, metavar="DIR", help="real cells (default: $MDS_EDGE_CELLS, else drawn)")
    made.add_argument("--sizes", default="299,128,160,224", help="image sides in pixels (default %(default)s)")
    made.add_argument("--rounds", type=int, default=5, help="rounds at 299 and 128 px (default %(default)s)")
    made.add_argument("--other-rounds", type=int, default=3, help="rounds at other sizes (default %(default)s)")
    made.add_argument("--slice-s", type=float, default=1.5, help="seconds of a rate slice (default %(default)s)")
    made.add_argument(
        "--cold", type=int, default=3, help="pairs of cold starts at 299 and 128 px (default %(default)s)"
    )
    made.add_argument("--waiting", default="1,10,100,1000", help="numbers of waiting slides (default %(default)s)")
    made.add_argument("--parts", default="sizes,cold,layers,trees,waiting", help="parts to run (default %(default)s)")
    made.add_argument("--contestants", default=",".join(ENTRIES), help="which to run (default: all)")
    made.add_argument("--threads", type=int, default=2, help="processor threads of every contestant (default 2)")
    made.add_argument("--state", type=Path, default=Path("build/side-by-side"), help="where finished rounds are kept")
    made.add_argument("--material", type=Path, help="where converted networks are kept (default: STATE/material)")
    made.add_argument("--triton-python", metavar="FILE", help="interpreter with nvidia-pytriton and openvino")
    made.add_argument(
        "--product-python", default=sys.executable, metavar="FILE",
        help="interpreter of a plain .[cpu] install, for our pipeline (default: this one)",
    )  # fmt: skip
    made.add_argument("--out", type=Path, default=RESULTS, metavar="JSON", help="results (default %(default)s)")
    made.add_argument("--tables", action="store_true", help="write tables and picture only, from the results")
    return made


def main() -> int:
    """Measure, then write what was found into the pages."""
    arguments = parser().parse_args()
    # Ended by a signal, it still ends its contestants, and the servers that they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not arguments.tables:
        if arguments.networks is None:
            parser().error("--networks is needed to measure")
        _measure(arguments)
    if arguments.out.resolve() == RESULTS:
        from benchmarks.side_by_side.pages import write_pages
        from benchmarks.side_by_side.picture import write_picture

        results = json.loads(RESULTS.read_text(encoding="ascii"))
        write_picture(results, REPOSITORY / "docs" / "images" / "side-by-side.png")
        write_pages(results)
    return 0


def _measure(arguments: argparse.Namespace) -> None:
    from benchmarks.side_by_side.rounds import Seconds
    from benchmarks.side_by_side.run import Places, Settings, measure

    sizes = [int(text) for text in arguments.sizes.split(",")]
    barred = [size for size in sizes if size in BARRED_SIZES]
    settings = Settings(
        rounds={size: arguments.rounds if size in BARRED_SIZES else arguments.other_rounds for size in sizes},
        seconds=Seconds(arguments.slice_s, arguments.slice_s / 4, arguments.slice_s),
        threads=arguments.threads,
        contestants=tuple(arguments.contestants.split(",")),
        parts=tuple(arguments.parts.split(",")),
        cold=dict.fromkeys(barred, arguments.cold),
        waiting=tuple(int(text) for text in arguments.waiting.split(",")),
    )
    named = arguments.cells or (Path(os.environ["MDS_EDGE_CELLS"]) if "MDS_EDGE_CELLS" in os.environ else None)
    material = arguments.material or arguments.state / "material"
    places = Places(
        arguments.networks,
        named,
        arguments.state.resolve(),
        material.resolve(),
        arguments.triton_python,
        arguments.product_python,
    )
    document = measure(settings, places)
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
    print(f"wrote {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
