"""edge-convert: a trained Keras model, with or without tree models, becomes a sealed and proved bundle."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.model_options import SCALING_NAMES, two_names
from edge.commands.option_values import positive_number
from edge.errors import EXIT_DONE, run_command

if TYPE_CHECKING:
    from convert.conversion_request import ConversionRequest

_DESCRIPTION = """\
Turns a trained cell classifier (.keras) into a bundle: the folder that an edge machine opens.
The network is written as ONNX, compared with Keras, brought to the precision you ask for, and
proved again as a built engine. Nothing is written unless every proof went well."""

_EPILOG = """\
examples
  edge-convert model.keras
        ./model-bundle with the network in fp32 and fp16, proved on drawn golden cells
  edge-convert model.keras --cells cells/ --precision int8 --out wbc-1
        int8 for the CPU, calibrated on your labelled cells (splits 2-7) and proved on the others (0-1)
  edge-convert model.keras --cells cells/ --precision int8 --trees mds_aa=trees.json --key private.pem
        with an assessment of slides, signed: what a site should get
  edge-convert model.keras --dry-run
        reads and checks everything, writes nothing

The model takes one image and has two heads: cell_type (softmax, as wide as the catalogue has types)
and findings (sigmoid, as wide as it has findings), both read from one feature layer.
Its card (model.card.json, written by edge-train) gives names, thresholds and evidence.

exit status  0 done   2 usage, labels   3 refused, only a page that says why is written   4 no bundle can hold it
             75 disk full   78 no tool"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of edge-convert."""
    made = argparse.ArgumentParser(
        prog="edge-convert",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("model", type=Path, metavar="model.keras", help="the trained network, saved by Keras 3")
    made.add_argument("--out", type=Path, default=Path("model-bundle"), metavar="BUNDLE", help="default: ./%(default)s")
    made.add_argument(
        "--report", type=Path, metavar="PAGE", help="the certificate as a page (default: BUNDLE.certificate.html)"
    )
    made.add_argument("--replace", action="store_true", help="replace a bundle that is at --out already")
    made.add_argument("--dry-run", action="store_true", help="check everything that is quick, write nothing")
    made.add_argument("--json", action="store_true", help="print the facts as JSON on standard output")
    _add_content(made.add_argument_group("what goes into the bundle"))
    _add_numbers(made.add_argument_group("how the network computes"))
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run edge-convert and return its exit status."""
    options = parser().parse_args(argv)
    return run_command(lambda: _run(options))


def _add_content(group: Any) -> None:
    group.add_argument(
        "--trees",
        action="append",
        default=[],
        type=_target_and_path,
        metavar="TARGET=trees.json",
        help="an assessment of slides: XGBoost JSON from edge-train slides; may be given several times",
    )
    group.add_argument("--cells", type=Path, metavar="DIR", help="labelled real cells (label file and images)")
    group.add_argument("--labels", metavar="NAME", help="name of the label file in --cells (default: labels.csv)")
    group.add_argument(
        "--leave-out", type=_names, default=(), metavar="X,Y", help="cell types of the label file to leave out"
    )
    group.add_argument("--catalogue", type=Path, metavar="FILE", help="your own catalogue of types and findings")
    group.add_argument("--name", help="name of the bundle (default: from the card, else the file's name)")
    group.add_argument("--version", dest="bundle_version", metavar="VERSION", help="version of the bundle")
    group.add_argument(
        "--intended-use", choices=("demo", "research", "clinical"), help="default: from the card, else demo"
    )
    group.add_argument(
        "--key", type=Path, metavar="private.pem", help="sign with this key (edge-bundle keygen makes one)"
    )
    group.add_argument(
        "--golden",
        choices=("drawn", "cells"),
        default="drawn",
        help="source of the golden cells (default: %(default)s)",
    )
    group.add_argument("--without-library", action="store_true", help="do not compile the trees; they are interpreted")


def _add_numbers(group: Any) -> None:
    group.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        default="fp16",
        help="coarsest precision to make; the finer ones go in beside it; int8 needs --cells (default: %(default)s)",
    )
    group.add_argument(
        "--target",
        choices=("cpu", "tensorrt", "rtx"),
        default="cpu",
        help="tensorrt and rtx add cells.int8.fp16.onnx to an int8 bundle (default: %(default)s)",
    )
    group.add_argument("--without-fp32", action="store_true", help="leave cells.onnx out to save space")
    group.add_argument(
        "--scaling",
        choices=SCALING_NAMES,
        help="only for a model without a Rescaling layer: the range of pixels it was trained on",
    )
    group.add_argument(
        "--heads",
        type=two_names,
        metavar="TYPES,FINDINGS",
        help="names of the two outputs, only where the model does not tell: several are as wide as a head",
    )
    group.add_argument(
        "--float-layers",
        type=_names,
        default=(),
        metavar="A,B",
        help="leave layers whose name begins so out of int8, beside those that the bars need",
    )
    group.add_argument(
        "--no-search",
        action="store_true",
        help="take no further layer out of int8, whatever the bars say; the certificate judges the network as it is",
    )
    group.add_argument(
        "--calibration-cells", type=int, default=512, metavar="N", help="at least 64 for int8 (default: %(default)s)"
    )
    group.add_argument(
        "--parity-views", type=int, default=1, metavar="N", help="orientations of each test cell, 1-8 (default: 1)"
    )
    group.add_argument("--threads", type=positive_number, metavar="N", help="processor threads (default: all)")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _target_and_path(text: str) -> tuple[str, Path]:
    target, separator, path = text.partition("=")
    if not separator or not target or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not TARGET=FILE, such as mds_aa=trees.json")
    return target, Path(path)


def _run(options: argparse.Namespace) -> int:
    # TensorFlow's start-up messages are about its own build and hide ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if not options.model.is_file():  # before the heavy imports: a wrong path is answered at once
        from edge.errors import EdgeError

        raise EdgeError("MDSE-CONVERT-001", where=str(options.model), kind="model")
    from convert.native_messages import native_messages_kept

    with native_messages_kept():
        from convert.conversion import convert

    made = convert(_request(options), sys.stderr)
    if options.json:
        print(json.dumps(made.facts, indent=1, sort_keys=True))
    else:
        print("\n".join(summary_lines(made.facts)))
    return EXIT_DONE


def _request(options: argparse.Namespace) -> ConversionRequest:
    from convert.conversion_request import ConversionRequest

    return ConversionRequest(
        model=options.model,
        out=options.out,
        trees=_trees(options.trees),
        cells=options.cells,
        labels=options.labels,
        leave_out=options.leave_out,
        catalogue=options.catalogue,
        precision=options.precision,
        target=options.target,
        key=options.key,
        name=options.name,
        version=options.bundle_version,
        intended_use=options.intended_use,
        golden=options.golden,
        scaling=options.scaling,
        heads=options.heads,
        float_layers=options.float_layers,
        search=not options.no_search,
        calibration_count=options.calibration_cells,
        parity_views=options.parity_views,
        threads=options.threads,
        with_fp32=not options.without_fp32,
        with_library=not options.without_library,
        report=options.report,
        replace=options.replace,
        dry_run=options.dry_run,
    )


def _trees(given: Sequence[tuple[str, Path]]) -> Mapping[str, Path]:
    from edge.errors import EdgeError

    targets = dict(given)
    if len(targets) != len(given):
        raise EdgeError("MDSE-CONVERT-043", where="--trees", reason="a target is given twice")
    return targets


def summary_lines(facts: Mapping[str, Any]) -> list[str]:
    """Return the closing words for people: what was made, how it was proved, and what more would need."""
    lines = [f"{facts['name']} {facts['version']} ({facts['intended_use']}), {facts['size_px']} px"]
    lines += [f"  note: {notice}" for notice in facts["notices"]]
    if facts["digest"] is None:
        lines += _plan_lines(facts)
    else:
        total = sum(facts["files"].values())
        lines += [f"certificate {facts['certificate']}"]
        lines += [f"bundle {facts['out']}, {total / 1e6:.1f} MB, digest {facts['digest'][:16]}"]
        lines += [f"  {e['device']} {e['precision']:9} {e['file']}: {e['proof']}" for e in facts["engines"]]
        lines += _slide_lines(facts["parity"])
        lines += [
            f"  trees {t}: margins equal XGBoost's on {m['rows']:,} rows" for t, m in facts["parity"]["trees"].items()
        ]
    return lines + _remaining_lines(facts)


def _slide_lines(parity: Mapping[str, Any]) -> list[str]:
    return [
        f"  slides {target}, {engine['engine']}: {found['verdict']}, scores differ by "
        f"{found['score_diff']['mean']:.4f} in the mean"
        for engine in (parity, *parity["other_engines"])
        if "slides" in engine
        for target, found in engine["slides"]["targets"].items()
    ]


def _plan_lines(facts: Mapping[str, Any]) -> list[str]:
    """What a dry run knows: what was found in the model, what would be made of it and how it would be proved."""
    cells = facts["cells"]
    lines = [
        f"network {facts['layers']} layers, {facts['embedding_dim']} features, SHA-256 {facts['network_sha256'][:12]}",
        f"would make {', '.join(facts['planned_files'])} for {facts['out']}",
        f"would prove the fp32 graph against Keras, and every engine on the golden cells ({facts['golden']})",
    ]
    if cells:
        by_type = ", ".join(f"{code} {count}" for code, count in cells["parity_by_type"].items())
        lines.append(f"would calibrate on {cells['calibration']} cells and compare on {cells['parity']}: {by_type}")
    if facts["assessments"]:
        slides = "200 composed slides each, and " if cells else ""
        lines.append(f"would prove the trees of {', '.join(facts['assessments'])} on {slides}10,000 rows")
    return [*lines, "dry run: everything that is quick to check is well; nothing was written"]


def _remaining_lines(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    if facts["precision"] != "int8":
        lines.append("int8 for the CPU needs labelled real cells: --precision int8 --cells DIR")
    if not facts["cells"]:
        lines.append("a proof for every type and finding needs labelled real cells: --cells DIR")
    if not facts["assessments"]:
        lines.append("an assessment of slides needs trees: --trees TARGET=trees.json (edge-train slides)")
    if not facts["card"]:
        lines.append(
            "no card lies beside the model: thresholds are 0.5, evidence is none, the use is demo unless you say"
        )
    if not facts["signed"]:
        lines.append("unsigned: a site that trusts a key will refuse it; sign with --key or edge-bundle sign")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
