"""Contestants of the comparison in processes of their own, on the demo bundle's network: the protocol, for real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.side_by_side.cold import cold_seconds
from benchmarks.side_by_side.contestant_process import ContestantProcess, NotRunError
from benchmarks.side_by_side.layers import POINTWISE, profile
from benchmarks.side_by_side.material import Material
from benchmarks.side_by_side.slides import pictures, write_slide_folder
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.images import load_cells
from edge.slide import read_slide
from edge.tensors import tensors_from_cells

SIZE_PX = 112
CELLS = 40


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = tmp_path_factory.mktemp("side-by-side")
    network = root / "network"
    network.mkdir()
    (network / "bundle").symlink_to(DEMO_BUNDLE)
    (network / "key.pub.pem").symlink_to(DEMO_PUBLIC_KEY)
    write_slide_folder(root / "slide", pictures(None, CELLS).files, "SAMPLE")
    made = Material(SIZE_PX, network, root, root / "slide", root / "results")
    np.save(made.images, tensors_from_cells(load_cells(read_slide(made.slide)).cells, SIZE_PX))
    return made


@pytest.fixture
def pipeline(material: Material, tmp_path: Path) -> Iterator[ContestantProcess]:
    process = ContestantProcess("pipeline", material, 2, tmp_path / "log")
    yield process
    process.close()


def test_the_shipped_pipeline_is_opened_measured_and_publishes(pipeline: ContestantProcess, material: Material) -> None:
    opened = pipeline.ask("open")
    assert opened["batch"] == 8
    rate = pipeline.ask("rate", 0.1)
    assert rate["value"] == rate["images"] / rate["seconds"] > 0
    assert pipeline.ask("latency", 0.1)["samples"] >= 3
    assert pipeline.ask("slide", 0.0)["images"] == CELLS
    (published,) = [file for file in (material.results / "drop").iterdir() if not file.name.startswith(".")]
    assert published.read_bytes().startswith(b"MSH|")
    assert sorted(file.suffix for file in (material.results / "archive").rglob("SIDE0.R1*")) == [".html", ".json"]
    assert pipeline.ask("facts")["precision"] == "int8"


def test_a_paused_contestant_stands_still_and_goes_on(material: Material, tmp_path: Path) -> None:
    process = ContestantProcess("openvino_int8_async", material, 2, tmp_path / "log")
    try:
        process.ask("open")
        process.pause()
        state = Path(f"/proc/{process._process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        assert state == "T"
        process.resume()
        assert process.ask("rate", 0.1)["images"] >= 1
    finally:
        process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process._process.pid, 0)


def test_a_contestant_that_dies_is_told_so_whatever_is_asked_of_it(material: Material, tmp_path: Path) -> None:
    process = ContestantProcess("ort_fp32", material, 2, tmp_path / "log")
    os.kill(process._process.pid, 9)
    for _ in range(2):
        with pytest.raises(NotRunError, match="ended"):
            process.ask("rate", 0.1)
        process.pause()
        process.resume()
    process.close()


def test_a_contestant_that_lacks_its_file_says_why(material: Material, tmp_path: Path) -> None:
    process = ContestantProcess("ort_u8", material, 2, tmp_path / "log")
    try:
        with pytest.raises(NotRunError, match=r"unsigned\.onnx"):
            process.ask("open")
    finally:
        process.close()


def test_a_cold_start_ends_with_a_score(material: Material, tmp_path: Path) -> None:
    assert cold_seconds("pipeline", material, 2, tmp_path / "log") > 0


def test_a_cold_start_without_a_result_is_no_measurement(material: Material, tmp_path: Path) -> None:
    with pytest.raises(NotRunError, match="no result"):
        cold_seconds("ort_u8", material, 2, tmp_path / "log")


def test_the_profile_names_the_kinds_of_layers_that_the_network_has(material: Material) -> None:
    rows = profile(material, 2)
    pointwise = next(row for row in rows if row["kind"] == POINTWISE)
    assert pointwise["ms"] > 0
    assert pointwise["giga_operations"] > max(row["giga_operations"] for row in rows if row is not pointwise)
