"""What every test may ask for: the real cells, where they are at hand, and a header that says what runs."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_report_header() -> str:
    names = (
        "numpy",
        "opencv-python-headless",
        "openvino",
        "onnxruntime",
        "xgboost-cpu",
        "treelite",
        "tl2cgen",
        "keras",
    )
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} absent")
    return "with " + ", ".join(versions)


def find_real_cells() -> Path | None:
    named = os.environ.get("MDS_EDGE_CELLS")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "cells"
    return folder if (folder / "labels.csv").is_file() else None


@pytest.fixture(scope="session")
def real_cells_dir() -> Path:
    folder = find_real_cells()
    if folder is None:
        pytest.skip("the folder of real labelled cells is not here (set MDS_EDGE_CELLS to run this test)")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY
