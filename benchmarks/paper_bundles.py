"""Bundles of the paper-size network, for timing only: the weights are random, the outputs mean nothing.

python -m benchmarks.paper_bundles --cells CELLS --out FOLDER [--sizes 128,160,224,299]

Writes FOLDER/paper<px>/ for each size: the Keras model (model.keras, for the other programs that are timed beside
ours), the bundle that edge-convert makes of it (bundle/: int8, fp32 and fp16, with the demo bundle's trees), and the
public key (key.pub.pem). Each is signed with a key that is made for it and thrown away.

A network with untouched random weights gives the same output for every cell and activations that fade or explode. Here
one pass over drawn cells sets the statistics of batch normalization, so that ranges and zeros are like a trained
network's. CELLS is a folder of labelled real cells (labels.csv): a few calibrate the int8 steps. None of the test split
is used: parity of a network that knows nothing would say nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

from benchmarks.borrowed_trees import borrow_trees

REPOSITORY = Path(__file__).resolve().parent.parent
TREES = REPOSITORY / "edge" / "demo" / "bundle" / "trees" / "mds_aa" / "model.json"
CELLS_PER_TYPE = 16
STATISTICS_CELLS = 32
HEAD_SPREAD = 0.02
SEED = 20190913


def random_model(path: Path, size_px: int) -> None:
    """Write a paper-size network (width 1.0) with random weights and settled batch normalization to `path`."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    from convert.golden import drawn_golden_images
    from convert.network import build_network
    from edge.catalogue import load_catalogue

    keras.utils.set_random_seed(SEED)
    network = build_network(size_px=size_px)
    images = drawn_golden_images(load_catalogue(), size_px)[:STATISTICS_CELLS]
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(images, training=True)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    random = np.random.default_rng(SEED)
    for name in ("cell_type", "findings"):
        head = network.get_layer(name)
        kernel, bias = head.get_weights()
        head.set_weights([random.normal(0, HEAD_SPREAD, kernel.shape).astype(np.float32), bias])
    network.save(path)


def few_cells(source: Path, target: Path) -> None:
    """Link a few real cells of every type, none of the test split, into `target` with their labels."""
    from convert.dataset import split_from_key

    with (source / "labels.csv").open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        fields, rows = list(reader.fieldnames or ()), list(reader)
    taken: dict[str, int] = {}
    kept = []
    for row in rows:
        kind = row["cell_type"]
        if kind and split_from_key(Path(row["file"]).name) != "test" and taken.get(kind, 0) < CELLS_PER_TYPE:
            taken[kind] = taken.get(kind, 0) + 1
            kept.append(row)
    for row in kept:
        place = target / row["file"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((source / row["file"]).read_bytes())
    with (target / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fields)
        writer.writeheader()
        writer.writerows(kept)


def write_bundle(folder: Path, size_px: int, cells: Path) -> None:
    """Make model, key and bundle for one size; raises CalledProcessError where edge-convert refuses."""
    from edge.bundle.signature import generate_key_pair

    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.keras"
    if not model.exists():
        # A process of its own: TensorFlow's memory is gone before the conversion begins.
        child = get_context("spawn").Process(target=random_model, args=(model, size_px))
        child.start()
        child.join()
        if child.exitcode:
            raise SystemExit(f"the network of {size_px} px could not be made")
    private_key, public_key = generate_key_pair()
    (folder / "key.pub.pem").write_bytes(public_key)
    with tempfile.TemporaryDirectory(prefix="mds-edge-key-") as kept:
        key = Path(kept) / "private.pem"
        key.write_bytes(private_key)
        key.chmod(0o600)
        few = Path(kept) / "cells"
        few_cells(cells, few)
        arguments = ["--cells", str(few), "--calibration-cells", "64", "--precision", "int8", "--intended-use", "demo"]
        arguments.append("--no-search")  # bars mean nothing for random weights
        trees = Path(kept) / "trees.json"
        borrow_trees(TREES, trees)
        arguments += ["--trees", f"mds_aa={trees}", "--key", str(key), "--out", str(folder / "bundle"), "--replace"]
        name = f"timing-only-{size_px}px"
        command = [sys.executable, "-m", "convert.commands.convert", str(model), "--name", name, "--version", "1"]
        subprocess.run([*command, *arguments], check=True, cwd=REPOSITORY)


def main() -> int:
    """Make the bundles that were asked for, one size after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, required=True, metavar="CELLS", help="folder of labelled real cells")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where paper<px>/ is made")
    parser.add_argument("--sizes", default="128,160,224,299", help="sides in pixels (default %(default)s)")
    arguments = parser.parse_args()
    for size_px in (int(text) for text in arguments.sizes.split(",")):
        print(f"paper{size_px}: random weights, for timing only", file=sys.stderr, flush=True)
        write_bundle(arguments.out / f"paper{size_px}", size_px, arguments.cells)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
