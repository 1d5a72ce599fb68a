"""README's first command, as a newcomer runs it: three real processes, a table, and files that can be opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.real_site import TestedBundle, run

SLIDES = 2


@pytest.mark.parametrize("cells", ["drawn", "real"])
def test_the_demonstration_ends_well_and_its_table_names_every_slide(
    tmp_path: Path, bundle: TestedBundle, request: pytest.FixtureRequest, cells: str
) -> None:
    options = ["--slides", str(SLIDES), "--keep", str(tmp_path / "demo"), *bundle.options]
    if cells == "real":
        options += ["--cells", str(request.getfixturevalue("real_cells_dir"))]
    told = run("edge.commands.demo", *options).stdout.decode()
    records = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "demo/results/json").glob("*.json"))]
    assert len(records) == SLIDES
    table = told.partition("main findings")[2].splitlines()
    for record in records:
        (row,) = (line for line in table if line.startswith(record["slide"]["slide_key"] + " "))
        columns = row.split()
        assert columns[1] == str(record["images"])
        assert columns[-1] == "accepted"
        assert all(row["call"] in columns for row in record["assessments"][:1])
        assert record["mode"] == "T"
    assert "marked as a test" in told
    exported = (tmp_path / "demo/logs/analyzer.log").read_text()
    assert (" labelled" in exported) == (cells == "real")
    reports = [Path(word) for word in told.split() if word.endswith(".html")]
    assert reports
    assert all(path.is_file() for path in reports)
