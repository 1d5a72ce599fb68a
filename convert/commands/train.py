"""edge-train: train the cell network (`cells`) or a slide assessment (`slides`)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.training_request import fault_of_cells, fault_of_slides
from edge.errors import run_command

if TYPE_CHECKING:
    from convert.cell_training import CellTraining
    from convert.dataset import Origin
    from convert.seen_cells import SeenCells


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    fault = fault_of_cells(arguments) if arguments.what == "cells" else fault_of_slides(arguments)
    if fault:
        parser.error(fault)
    # TensorFlow prints pages about its build before the first useful line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    body = _train_cells if arguments.what == "cells" else _train_slides
    return run_command(lambda: body(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-train", description="Train the networks that a bundle is made of.")
    kinds = parser.add_subparsers(dest="what", required=True)
    _add_cells(kinds.add_parser("cells", help="train the network of single cells from labelled images"))
    _add_slides(kinds.add_parser("slides", help="train the assessment of slides from labelled slide folders"))
    return parser


def _add_cells(cells: argparse.ArgumentParser) -> None:
    cells.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="folders of real cells with a label file")
    cells.add_argument("--drawn", action="append", default=[], type=Path, metavar="DIR", help="folder of drawn cells")
    cells.add_argument("--labels", default="labels.csv", help="name of the label file in each folder")
    cells.add_argument("--out", type=Path, required=True, help="the model to write, model.keras")
    cells.add_argument("--width", type=float, default=1.0, help="width multiplier of the network (1.0 = the paper's)")
    cells.add_argument("--size", type=int, default=299, help="side of the input image in px")
    cells.add_argument("--start-size", type=int, help="side of the images at the start of the training in px")
    cells.add_argument("--start-share", type=float, default=0.6, help="share of the training at the start size")
    cells.add_argument("--epochs", type=int, help="passes over the training cells")
    cells.add_argument("--minutes", type=float, help="time budget; the schedule adapts to it")
    cells.add_argument("--batch", type=int, default=64, help="cells per step")
    cells.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    cells.add_argument("--real-share", type=float, default=0.75, help="share of real cells within a type that has both")
    cells.add_argument("--findings-weight", type=float, default=2.0, help="weight of the findings in the loss")
    cells.add_argument("--patience", type=int, default=12, help="epochs without a better macro recall before stopping")
    cells.add_argument("--seed", type=int, default=1, help="seed of weights, sampling and augmentation")
    cells.add_argument("--init", type=Path, metavar="MODEL", help="start from the weights of this model")
    cells.add_argument("--resume", action="store_true", help="go on from the checkpoint beside --out")
    cells.add_argument("--learner", choices=("keras", "torch"), default="keras", help="torch: faster on processors")
    cells.add_argument(
        "--mixed-precision", action="store_true", help="bfloat16 arithmetic (needs a device that has it)"
    )
    cells.add_argument(
        "--leave-out", type=_names, default=(), metavar="X,Y", help="cell types of the labels to leave out"
    )
    cells.add_argument("--allow-missing-types", action="store_true", help="train although a type has no cells")
    cells.add_argument("--cache", type=Path, help="folder for decoded pixels (default: beside --out)")
    cells.add_argument("--name", help="name in the model card (default: the file's name)")
    cells.add_argument("--version", default="1", help="version in the model card")
    cells.add_argument("--intended-use", choices=("demo", "research", "clinical"), default="research")
    cells.add_argument("--sources", type=Path, help="JSON: folder name -> {name, licence, attribution}")
    cells.add_argument("--json", action="store_true", help="print the model card's figures as JSON")


def _add_slides(slides: argparse.ArgumentParser) -> None:
    slides.add_argument("folder", type=Path, metavar="DIR", help="folder of slide folders")
    slides.add_argument("--labels", type=Path, help="table slide,patient,<target> (default: DIR/slides.csv)")
    slides.add_argument("--bundle", type=Path, required=True, help="bundle whose cell network makes the profiles")
    slides.add_argument("--public-key", type=Path, help="PEM of the key that signed the bundle (default: unsigned)")
    slides.add_argument("--target", required=True, help="name of the question, e.g. mds_aa: a column of the table")
    slides.add_argument("--positive", help="value of the positive class, e.g. MDS")
    slides.add_argument("--negative", help="value of the negative class, e.g. AA")
    slides.add_argument(
        "--classes", type=_names, metavar="A,B,C", help="several classes: one model each, that class against the rest"
    )
    slides.add_argument(
        "--others", action="append", default=[], type=Path, metavar="DIR",
        help="folder of slides of neither class (healthy, other diseases) with its slides.csv: bounds the question",
    )  # fmt: skip
    slides.add_argument("--leave-out", type=_names, default=(), metavar="X,Y", help="values of the target to leave out")
    slides.add_argument("--allow-unreadable", action="store_true", help="leave out slides that the runtime rejects")
    slides.add_argument("--out", type=Path, required=True, help="the trees to write, trees.json")
    slides.add_argument("--depth", type=int, choices=(1, 2, 3), help="depth of the trees (default: 1 or 2, chosen)")
    slides.add_argument(
        "--monotone", choices=("choose", "yes", "no"), default="choose", help="monotone constraints (default: chosen)"
    )
    slides.add_argument("--rounds", type=int, help="number of trees (default: 100, 200 or 400, chosen)")
    slides.add_argument("--repeats", type=int, default=3, help="repeats of the outer folds")
    slides.add_argument("--seed", type=int, default=1, help="seed of folds and trees")
    slides.add_argument("--specificity", type=float, help="fix the threshold at this specificity (default: Youden)")
    slides.add_argument("--minimum-wbc", type=int, default=100, help="leucocytes needed for a score")
    slides.add_argument("--minimum-neutrophil", type=int, default=20, help="neutrophils needed for a score")
    slides.add_argument("--threads", type=int, help="threads of the engine")
    slides.add_argument("--json", action="store_true", help="print the figures as JSON")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _train_cells(arguments: argparse.Namespace) -> int:
    from convert.dataset import read_labelled_cells, require_trainable
    from convert.seen_cells import seen_by_training
    from convert.train_cells import train_network
    from convert.trained_model import CardHead, read_sources, save_trained
    from convert.training_place import require_folder, training_place
    from edge.catalogue import load_catalogue

    catalogue = load_catalogue()
    sources = read_sources(arguments.sources)
    folders: list[tuple[Path, Origin]] = [(folder, "real") for folder in arguments.folders]
    folders += [(folder, "drawn") for folder in arguments.drawn]
    labelled = read_labelled_cells(folders, catalogue, labels_name=arguments.labels, leave_out=arguments.leave_out)
    for notice in labelled.notices:
        _say(f"note: {notice}")
    missing = require_trainable(labelled, catalogue, allow_missing_types=arguments.allow_missing_types)
    if missing:
        _say(f"note: no training cell shows {', '.join(missing)}; the network will not know them")
    cache = arguments.cache or arguments.out.with_suffix(".cache")
    head = CardHead(arguments.name or arguments.out.stem, arguments.version, arguments.intended_use, sources)
    with training_place(arguments.out):
        require_folder(cache, where=cache)
        # Of the files as they are now: by the end of a training somebody may have moved them.
        seen = _seen_with_start(seen_by_training(labelled), None if arguments.resume else arguments.init)
        trained = train_network(
            _settings(arguments),
            labelled.of("training"),
            labelled.of("validation"),
            catalogue,
            cache_folder=cache,
            checkpoint=arguments.out.with_suffix(".checkpoint.npz"),
            resume=arguments.resume,
            initial=arguments.init,
            seen=seen,
            say=_say,
        )
        card = save_trained(trained, labelled, catalogue, head, arguments.out, cache_folder=cache, say=_say)
    if arguments.json:
        print(json.dumps(card["validation"], indent=1))
    return 0


def _seen_with_start(seen: SeenCells, initial: Path | None) -> SeenCells | None:
    """Return the cells that the network will have seen, with those of the model it starts from; None: not known."""
    from convert.model_card import seen_of_card

    if initial is None:
        return seen
    before = seen_of_card(initial)
    if before is None:
        _say(f"note: {initial.name} does not say which cells it has seen, so the card will not say it of this model")
        return None
    return seen | before


def _settings(arguments: argparse.Namespace) -> CellTraining:
    from convert.cell_training import CellTraining

    return CellTraining(
        size_px=arguments.size,
        width=arguments.width,
        epochs=arguments.epochs,
        budget_s=arguments.minutes * 60 if arguments.minutes else None,
        batch=arguments.batch,
        seed=arguments.seed,
        peak_rate=arguments.rate,
        real_share=arguments.real_share,
        findings_weight=arguments.findings_weight,
        start_size_px=arguments.start_size,
        start_share=arguments.start_share,
        patience=arguments.patience,
        mixed_precision=arguments.mixed_precision,
        learner=arguments.learner,
    )


def _train_slides(arguments: argparse.Namespace) -> int:
    from convert.slide_training import SlideRequest, train_slides
    from convert.train_assessment import AssessmentTraining
    from edge.bundle.key_file import read_public_key

    first = arguments.classes[0] if arguments.classes else arguments.positive
    training = AssessmentTraining(target=arguments.target, positive=first, negative=arguments.negative or "")
    monotone = {"yes": (True,), "no": (False,), "choose": (True, False)}
    request = SlideRequest(
        folder=arguments.folder,
        table=arguments.labels or arguments.folder / "slides.csv",
        bundle=arguments.bundle,
        public_key=read_public_key(arguments.public_key),
        classes=arguments.classes,
        others=tuple(arguments.others),
        leave_out=arguments.leave_out,
        allow_unreadable=arguments.allow_unreadable,
        out=arguments.out,
        threads=arguments.threads,
        training=replace(
            training,
            depths=(arguments.depth,) if arguments.depth else training.depths,
            monotone=monotone[arguments.monotone],
            rounds=(arguments.rounds,) if arguments.rounds else training.rounds,
            repeats=arguments.repeats,
            seed=arguments.seed,
            specificity=arguments.specificity,
            minimum_wbc=arguments.minimum_wbc,
            minimum_neutrophil=arguments.minimum_neutrophil,
        ),
    )
    written = train_slides(request, _say, sys.stderr)
    if arguments.json:
        figures = {trained.report["target"]: trained.report["cross_validation"] for trained, _ in written}
        print(json.dumps(figures if arguments.classes else next(iter(figures.values())), indent=1))
        return 0
    for trained, path in written:
        _print_assessment(trained.report, path)
    return 0


def _print_assessment(report: Mapping[str, Any], path: Path) -> None:
    figures, scope = report["cross_validation"], report["scope_held_out"]
    kind = "SIMULATED slides" if figures["simulated"] else "slides"
    low, high = figures["auc_ci95"]
    print(f"{report['target']}: {report['positive']} against {report['negative']}")
    print(f"{figures['slides']} {kind} of {figures['patients']} patients; {figures['split']}")
    print(f"chosen: {report['selection']['chosen']}")
    print(f"AUC {figures['auc']:.3f} (95 % interval {low:.3f}-{high:.3f})")
    print(
        f"at thresholds of the training folds: sensitivity {figures['sensitivity']:.3f}, "
        f"specificity {figures['specificity']:.3f}; the threshold that leaves is {report['threshold']!r}"
    )
    others = scope["others_flagged"]
    others_text = "no films of neither class were shown" if others is None else f"{others:.1%} of films of neither"
    print(f"out of scope, held out from its limits too: {scope['cohort_flagged']:.1%} of the cohort; {others_text}")
    print(f"wrote {path}")


def _say(line: str) -> None:
    # Progress goes to standard error, so that --json leaves standard output to the facts.
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
