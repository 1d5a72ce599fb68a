"""edge-train: train the cell network (`cells`) or a slide assessment (`slides`)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import run_command

if TYPE_CHECKING:
    from convert.cell_training import CellTraining


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = _parser().parse_args(argv)
    # TensorFlow prints pages about its build before the first useful line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    body = _train_cells if arguments.what == "cells" else _train_slides
    return run_command(lambda: body(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-train", description="Train the networks that a bundle is made of.")
    kinds = parser.add_subparsers(dest="what", required=True)
    cells = kinds.add_parser("cells", help="train the network of single cells from labelled images")
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
    cells.add_argument("--patience", type=int, default=12, help="epochs without a better macro recall before stopping")
    cells.add_argument("--seed", type=int, default=1, help="seed of weights, sampling and augmentation")
    cells.add_argument("--init", type=Path, metavar="MODEL", help="start from the weights of this model")
    cells.add_argument("--resume", action="store_true", help="go on from the checkpoint beside --out")
    cells.add_argument("--learner", choices=("keras", "torch"), default="keras", help="torch: faster on processors")
    cells.add_argument(
        "--mixed-precision", action="store_true", help="bfloat16 arithmetic (needs a device that has it)"
    )
    cells.add_argument("--allow-missing-types", action="store_true", help="train although a type has no cells")
    cells.add_argument("--cache", type=Path, help="folder for decoded pixels (default: beside --out)")
    cells.add_argument("--name", help="name in the model card (default: the file's name)")
    cells.add_argument("--version", default="1", help="version in the model card")
    cells.add_argument("--intended-use", choices=("demo", "research", "clinical"), default="research")
    cells.add_argument("--sources", type=Path, help="JSON: folder name -> {name, licence, attribution}")
    cells.add_argument("--json", action="store_true", help="print the model card's figures as JSON")
    return parser


def _train_cells(arguments: argparse.Namespace) -> int:
    from convert.dataset import read_labelled_cells, require_trainable
    from convert.train_cells import train_network
    from convert.trained_model import CardHead, read_sources, save_trained
    from edge.catalogue import load_catalogue

    catalogue = load_catalogue()
    sources = read_sources(arguments.sources)
    folders = [(folder, "real") for folder in arguments.folders] + [(folder, "drawn") for folder in arguments.drawn]
    labelled = read_labelled_cells(folders, catalogue, labels_name=arguments.labels)
    for notice in labelled.notices:
        _say(f"note: {notice}")
    missing = require_trainable(labelled, catalogue, allow_missing_types=arguments.allow_missing_types)
    if missing:
        _say(f"note: no training cell shows {', '.join(missing)}; the network will not know them")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    cache = arguments.cache or arguments.out.with_suffix(".cache")
    trained = train_network(
        _settings(arguments),
        labelled.of("training"),
        labelled.of("validation"),
        catalogue,
        cache_folder=cache,
        checkpoint=arguments.out.with_suffix(".checkpoint.npz"),
        resume=arguments.resume,
        initial=arguments.init,
        say=_say,
    )
    head = CardHead(arguments.name or arguments.out.stem, arguments.version, arguments.intended_use, sources)
    card = save_trained(trained, labelled, catalogue, head, arguments.out, cache_folder=cache, say=_say)
    if arguments.json:
        print(json.dumps(card["validation"], indent=1))
    return 0


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
        start_size_px=arguments.start_size,
        start_share=arguments.start_share,
        patience=arguments.patience,
        mixed_precision=arguments.mixed_precision,
        learner=arguments.learner,
    )


def _train_slides(arguments: argparse.Namespace) -> int:
    raise NotImplementedError


def _say(line: str) -> None:
    # Progress goes to standard error, so that --json leaves standard output to the facts.
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
