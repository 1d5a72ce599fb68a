"""The same slide, analyzed twice by two processes, gives the same bytes but for the times it took."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge.engines.openvino import OpenVinoEngine
from edge.model import open_model
from tests.real.real_site import TestedBundle, drawn_files, export_slide, run

MOMENT = "2026-11-23T18:00:00+09:00"
TIMES = re.compile(rb'"stage_ms":\{[^}]*\}')


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory, bundle: TestedBundle) -> list[tuple[bytes, Path]]:
    root = tmp_path_factory.mktemp("twice")
    files = drawn_files(seed=42, count=100, kind="MDS")
    slide = export_slide(root, "A0042_S1", files, sample_id="A0042", targets=["mds_aa"])
    runs = []
    for name in ("first", "second"):
        options = [*bundle.options, "--json", "--at", MOMENT, "--out", str(root / name)]
        runs.append((run("edge.commands.run", str(slide), *options).stdout, root / name))
    return runs


def test_standard_output_is_the_record_and_only_the_times_differ(
    two_runs: list[tuple[bytes, Path]], bundle: TestedBundle
) -> None:
    first, second = (output for output, _ in two_runs)
    record = json.loads(first)
    assert record["analysed_at"] == MOMENT
    intervals = [row["ci95"] for row in record["assessments"]]
    assert len(intervals) == len(bundle.manifest["assessments"])
    assert None not in intervals, "the slide must be one that is scored, or nothing is shown about scores"
    assert len(TIMES.findall(first)) == 1
    assert TIMES.sub(b"", first) == TIMES.sub(b"", second)


def test_the_written_record_is_the_printed_one_and_the_message_is_the_same_in_every_byte(
    two_runs: list[tuple[bytes, Path]],
) -> None:
    for output, folder in two_runs:
        (record,) = folder.glob("*.json")
        assert record.read_bytes() == output
    messages = [next(folder.glob("*.hl7")).read_bytes() for _, folder in two_runs]
    assert messages[0] == messages[1]


def test_the_engine_is_one_graph_and_gives_the_same_bits_whenever_it_is_opened(bundle: TestedBundle) -> None:
    """With several streams OpenVINO prepares several graphs at once, and some compute something else."""
    key = bundle.public_key.read_bytes() if bundle.public_key else None
    answers = []
    for _ in range(3):
        model = open_model(bundle.path, public_key=key)
        images = model.golden_cells.images[: model.engine.spec.max_batch]
        assert isinstance(model.engine, OpenVinoEngine)
        assert all(copy.get_property("NUM_STREAMS") == 1 for copy in model.engine._compiled)
        answers += [outputs.cell_type.tobytes() for outputs in model.engine.infer([images, images, images])]
        model.prove_golden()
        model.close()
    assert len(set(answers)) == 1
