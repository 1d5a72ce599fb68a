"""Trainings of the real network that take seconds: coloured squares for cells, a tenth of the width, one epoch."""

from __future__ import annotations

import cv2
import numpy as np


def write_coloured_cells(folder):
    """Fill a folder with 40 pictures and their labels and return it: dark red squares are SNE, dark blue ones LY."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(40):
        name = f"c{number}.png"
        cell_type = "SNE" if number % 2 else "LY"
        pixels = np.full((40, 40, 3), 225, np.uint8)
        pixels[10:30, 10:30] = (40, 40, 170) if cell_type == "SNE" else (170, 60, 40)  # BGR
        cv2.imwrite(str(folder / name), np.clip(pixels + random.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8))
        rows.append(f"{name},{cell_type}")
    (folder / "labels.csv").write_text("\n".join(["file,cell_type", *rows]) + "\n", encoding="utf-8")
    return folder


def arguments_for(folder, out, *extra):
    fixed = ["--width", "0.1", "--size", "32", "--batch", "16", "--epochs", "1"]
    return ["cells", str(folder), "--out", str(out), *fixed, *extra]
