"""`edge-analyzer-simulator` does what its help says."""

from __future__ import annotations

import csv
import json

import pytest

from edge.catalogue import load_catalogue
from edge.commands.analyzer_simulator import main
from edge.images import decode_image
from edge.simulator.cells import DRAWABLE_FINDINGS


def bytes_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_cells_writes_balanced_labelled_pictures_and_the_same_seed_writes_the_same(tmp_path, capsys):
    arguments = ["--count", "34", "--seed", "9", "--size-px", "64", "--json"]
    assert main(["cells", "--out", str(tmp_path / "a"), *arguments]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["simulated"] is True
    assert set(summary["types"].values()) == {2}
    assert main(["cells", "--out", str(tmp_path / "b"), *arguments]) == 0
    assert bytes_below(tmp_path / "a") == bytes_below(tmp_path / "b")
    assert "SIMULATED" in (tmp_path / "a" / "README.txt").read_text()


def test_labels_are_one_zero_or_blank_and_blank_exactly_where_nothing_can_be_drawn(tmp_path):
    main(["cells", "--out", str(tmp_path), "--count", "51", "--size-px", "64", "--findings-mean", "2"])
    codes = load_catalogue().finding_codes
    with (tmp_path / "labels.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["file", "cell_type", *codes]
    assert len(rows) == 51
    for row in rows:
        assert decode_image((tmp_path / row["file"]).read_bytes(), where=row["file"]).shape == (64, 64, 3)
        for code in codes:
            assert (row[code] in ("0", "1")) == (code in DRAWABLE_FINDINGS[row["cell_type"]])
    assert sum(row[code] == "1" for row in rows for code in codes) > 20


def test_a_folder_with_labels_is_not_written_over(tmp_path, capsys):
    arguments = ["cells", "--out", str(tmp_path), "--count", "3", "--types", "LY", "--size-px", "64"]
    assert main(arguments) == 0
    before = bytes_below(tmp_path)
    assert main(arguments) == 2
    assert "MDSE-SIM-009" in capsys.readouterr().err
    assert bytes_below(tmp_path) == before


def test_an_unknown_type_is_refused_before_anything_is_written(tmp_path, capsys):
    assert main(["cells", "--out", str(tmp_path / "x"), "--types", "LY,XX"]) == 2
    assert "MDSE-SIM-001 XX" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_slides_writes_slides_tables_and_a_summary(tmp_path, capsys):
    out = tmp_path / "export"
    options = ["--count", "2", "--cells-per-slide", "4-6", "--kind", "aa", "--labels", "--json"]
    assert main(["slides", "--out", str(out), *options]) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert summary["kinds"] == {"AA": 2}
    assert summary["origins"] == {"drawn": summary["cells"]}
    for key in summary["slides"]:
        assert key in captured.err, "no progress line for the slide"
        assert json.loads((out / key / "slide.json").read_text())["analyzer"]["model"] == "SIMULATED DI-60"
        assert (out / key / ".complete").is_file()
    with (out / "slides.csv").open() as lines:
        assert [row["mds_aa"] for row in csv.DictReader(lines)] == ["AA", "AA"]


def test_run_exports_new_samples_and_stops_when_told(tmp_path, capsys):
    options = ["--every-s", "0", "--count", "2", "--cells-per-slide", "2-3", "--json"]
    assert main(["run", "--out", str(tmp_path), *options]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert len(set(summary["slides"])) == 2
    assert all((tmp_path / key / "slide.json").is_file() for key in summary["slides"])


@pytest.mark.parametrize("text", ["200-100", "0-5", "many"])
def test_a_senseless_range_of_cells_is_a_usage_error(text, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["slides", "--out", str(tmp_path), "--cells-per-slide", text])
    assert stopped.value.code == 2
