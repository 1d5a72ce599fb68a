"""edge-validate: how good a bundle is on labelled cells and slides, as the tables and figures of the paper."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.model_options import SCALING_NAMES, ModelOptions, two_names
from edge.commands.option_values import positive_number
from edge.errors import EXIT_DONE, EdgeError, run_command

if TYPE_CHECKING:
    from convert.evaluation.validation import Request

DESCRIPTION = """\
Measures a bundle on cells and slides that people labelled, and writes one report: Tables 1-3 of the paper with exact
intervals, confusion matrix, t-SNE map, calibration, ROC and SHAP heat map, with the paper's numbers beside real cells.
What runs is the deployed engine, from the image files on, as beside the analyzer.
"""
EPILOG = """\
examples
  edge-validate wbc-2026.1 cells/ --out report
        the test split of cells/labels.csv; report/report.html to read, report/validation.json to keep
  edge-validate wbc-2026.1 cells/ --drawn drawn/ --slides cohort/test --trained-on cohort/train/slides.csv --out report
        drawn cells in a part of their own, and slides whose patients are not among the training's
  edge-validate wbc-2026.1 cells/ --robustness --probes --model model.keras --out report
        what stain, focus, scale and compression cost; what the features know; the original beside the engine
  edge-validate model.keras cells/ --out report
        a Keras model that is no bundle yet
  edge-validate wbc-2026.1 cells/ --preclass --split all --out report
        the network beside the analyzer's own class (column preclass)

Which cells belong to a split follows from the patient, or from the file name where no patient is known
(docs/validation.md). Drawn cells and simulated slides are marked so and never stand beside the paper's figures.

exit status  0 done, whatever was found   2 usage, labels or slides   3 SHAP contradicts the runtime
             4 the bundle does not fit this machine   75 the report cannot be written, or a share is away
             78 a library of the convert extra is missing"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run edge-validate and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not (arguments.folders or arguments.drawn or arguments.slides):
        parser.error("give a folder of labelled cells, --drawn or --slides: there is nothing to validate on")
    cell_options = ("model", "robustness", "probes", "preclass")
    asked = [f"--{name}" for name in cell_options if getattr(arguments, name)]
    if asked and not (arguments.folders or arguments.drawn):
        parser.error(f"{asked[0]} needs a folder of labelled cells")
    if (arguments.scaling or arguments.heads) and not (arguments.model or arguments.network.suffix == ".keras"):
        parser.error("--scaling and --heads say how a Keras model is read: give one, as BUNDLE or with --model")
    if (arguments.slide_labels or arguments.trained_on or arguments.rest) and not arguments.slides:
        parser.error("--slide-labels, --trained-on and --rest need --slides")
    # TensorFlow prints pages about its build before the first useful line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return run_command(lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-validate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", type=Path, metavar="BUNDLE", help="bundle, or a model that ends in .keras")
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="folders of labelled real cells")
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT", help="folder of the report")
    parser.add_argument("--replace", action="store_true", help="replace a report that is at --out already")
    parser.add_argument("--json", action="store_true", help="print validation.json on standard output as well")
    parser.add_argument(
        "--leave-out", action="extend", type=_names, default=[], metavar="X,Y",
        help="cell types of the label files and labels of the slides to leave out",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    _add_cells(parser.add_argument_group("cells"))
    _add_slides(parser.add_argument_group("slides"))
    _add_engine(parser.add_argument_group("what runs"))
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _add_cells(group: Any) -> None:
    group.add_argument("--labels", default="labels.csv", metavar="NAME", help="label file in each folder (labels.csv)")
    group.add_argument("--drawn", action="append", default=[], type=Path, metavar="DIR", help="folder of drawn cells")
    group.add_argument(
        "--split", choices=("test", "validation", "training", "all"), default="test", help="which cells (default: test)"
    )
    group.add_argument("--robustness", action="store_true", help="repeat with changed stain, focus, scale, compression")
    group.add_argument("--probes", action="store_true", help="linear probes of the other columns of the label file")
    group.add_argument("--preclass", action="store_true", help="compare with the analyzer's own class")
    group.add_argument("--no-embedding", action="store_true", help="leave out the t-SNE map")


def _add_slides(group: Any) -> None:
    group.add_argument("--slides", type=Path, metavar="DIR", help="folder of labelled slide folders")
    group.add_argument("--slide-labels", type=Path, metavar="FILE", help="slide,patient,<target> (DIR/slides.csv)")
    group.add_argument(
        "--trained-on", type=Path, metavar="FILE", help="slides.csv of the training: no patient or slide may be in both"
    )
    group.add_argument(
        "--rest", type=_names, default=[], metavar="X,Y",
        help="classes of a family that have no question in the bundle: slides of the negative class of the others",
    )  # fmt: skip


def _add_engine(group: Any) -> None:
    group.add_argument("--model", type=Path, metavar="model.keras", help="the original, for comparison side by side")
    group.add_argument("--scaling", choices=SCALING_NAMES, help="of the Keras model, as edge-convert was told")
    group.add_argument(
        "--heads", type=two_names, metavar="TYPES,FINDINGS", help="of the Keras model, as edge-convert was told"
    )
    group.add_argument("--engine", default="cpu", metavar="E", help="cpu, gpu, or with a precision: cpu-fp16")
    group.add_argument("--public-key", type=Path, metavar="K", help="PEM of the key that must have signed the bundle")
    group.add_argument("--threads", type=positive_number, metavar="N", help="processor threads (default: all)")


def _run(arguments: argparse.Namespace) -> int:
    from convert.evaluation.networks import BundleNetwork, open_network
    from convert.evaluation.report_folder import require_place, write_validation
    from convert.evaluation.validation import validate
    from edge.bundle.key_file import read_public_key

    _require_tools(["matplotlib", "sklearn", *(["shap"] if arguments.slides else [])])
    require_place(arguments.out, may_replace=arguments.replace)
    public_key = read_public_key(arguments.public_key)
    stream = None if arguments.quiet else sys.stderr
    network = open_network(
        arguments.network,
        public_key=public_key,
        engine=arguments.engine,
        threads=arguments.threads,
        options=_model_options(arguments),
    )
    made_at = datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        say = _silent if arguments.quiet else _say
        found = validate(_request(arguments), network, stream, say, made_at=made_at, public_key=public_key)
    finally:
        if isinstance(network, BundleNetwork):
            network.model.close()
    for notice in write_validation(found, arguments.out, may_replace=arguments.replace):
        _say(f"note: {notice}")
    if arguments.json:
        print(json.dumps(found.document, indent=1, allow_nan=False))
    else:
        _print_summary(found.document, arguments.out)
    return EXIT_DONE


def _require_tools(modules: Sequence[str]) -> None:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise EdgeError("MDSE-VALIDATE-011", modules=", ".join(missing))


def _model_options(arguments: argparse.Namespace) -> ModelOptions:
    return ModelOptions(scaling=arguments.scaling, heads=arguments.heads)


def _request(arguments: argparse.Namespace) -> Request:
    from convert.evaluation.validation import Request

    return Request(
        network_path=arguments.network,
        folders=arguments.folders,
        drawn=arguments.drawn,
        labels_name=arguments.labels,
        split=arguments.split,
        original=arguments.model,
        model_options=_model_options(arguments),
        slides=arguments.slides,
        slide_table=arguments.slide_labels,
        trained_on=arguments.trained_on,
        leave_out=arguments.leave_out,
        rest=arguments.rest,
        robustness=arguments.robustness,
        probes=arguments.probes,
        preclass=arguments.preclass,
        embedding=not arguments.no_embedding,
    )


def _print_summary(document: Mapping[str, Any], out: Path) -> None:
    if "n" in document:
        _print_cells(document)
    if document.get("drawn") is not None:
        _print_cells(document["drawn"])
    if document.get("robustness") is not None:
        _print_robustness(document["robustness"])
    for target, found in document["slides"].items():
        print(f"{target}: {found['scored']} of {found['n']} slides scored; {found['note']}")
        print(f"  sensitivity {_shown(found, 'sensitivity')}, specificity {_shown(found, 'specificity')}")
        print(f"  AUC {_shown(found, 'auc')}")
    print(f"wrote {out / 'report.html'} and {out / 'validation.json'}")


def _print_robustness(found: Mapping[str, Any]) -> None:
    costs = {name: row["cost"] for name, row in found["changes"].items() if row["cost"] is not None}
    if not costs:
        print("robustness: no type has cells enough for a mean recall, so no change has a cost")
        return
    name = max(costs, key=lambda name: float(costs[name]))
    print(f"robustness: the costliest change is {name}, {100 * costs[name]:.1f} points of mean recall")


def _print_cells(found: Mapping[str, Any]) -> None:
    print(f"{found['n']} cells, {found['split']} split; {found['note']}")
    print(f"  accuracy over 8 groups {_shown(found['groups'], 'accuracy')}")
    print(f"  mean recall of {len(found['macro_recall_types'])} types {_shown(found, 'macro_recall')}")
    if found["macro_recall_pooled"] is not None:
        pooled = " + ".join(found["macro_recall_pooled"]["pooled"])
        print(f"  the same with {pooled} as one {_shown(found['macro_recall_pooled'], 'macro_recall')}")
    if found["shortfalls"]:
        print(f"  {len(found['shortfalls'])} figures below the paper's or without cells; the report names each")


def _shown(found: Mapping[str, Any], name: str) -> str:
    if found[name] is None:
        return "not measurable"
    if found[f"{name}_ci95"] is None:
        return f"{found[name]:.3f} (no interval: see the notes)"
    low, high = found[f"{name}_ci95"]
    return f"{found[name]:.3f} ({low:.3f}-{high:.3f})"


def _say(line: str) -> None:
    # Progress goes to standard error, so that --json leaves standard output to the facts.
    print(line, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    """Say nothing: --quiet."""


if __name__ == "__main__":
    raise SystemExit(main())
