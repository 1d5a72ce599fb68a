"""One slide of real cells from the export folder to the LIS: daemon, analyzer's folder and LIS as on a site."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.parser import parse_message

from edge.catalogue import load_catalogue
from edge.catalogue.codes import load_codes
from edge.simulator.analyzer import write_slide
from edge.simulator.cell_sources import open_labelled_cells
from edge.simulator.films import Film, FilmCell
from edge.writers.hl7_check import check_hl7
from tests.fault.site import REPOSITORY, Site
from tests.real.real_site import TestedBundle, real_site, records_of, shown, wait_for_model, wait_for_states

SLIDE_KEY, SAMPLE_ID = "REAL0001_S1", "REAL0001"
CELLS = {"SNE": 48, "BNE": 10, "MMY": 3, "MY": 2, "PMY": 1, "LY": 24, "MO": 8, "EO": 5, "BA": 2, "LP": 6, "ERB": 6}
CODES = load_codes()


def real_film(cells: Path) -> Film:
    """Return a film of which every cell, with its findings, is to be had from the test split."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    findings = load_catalogue().finding_codes
    with (cells / "labels.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if hashlib.sha256(Path(row["file"]).name.encode()).digest()[0] % 8 < 2:
                present = tuple(code for code in findings if row.get(code) == "1")
                rows.setdefault(row["cell_type"], []).append(present)
    random = np.random.default_rng(20)
    chosen = [
        FilmCell(code, rows[code][place])
        for code, count in CELLS.items()
        for place in random.choice(len(rows[code]), count, replace=False)
    ]
    return Film("NORMAL", tuple(chosen))


@dataclass(frozen=True)
class Delivered:
    """What one slide left behind: at the site, in the drop folder, at the LIS."""

    site: Site
    origins: Counter[str]
    record: dict[str, Any]
    record_bytes: bytes
    hl7: bytes
    told_by_lis: dict[str, Any]
    shown: dict[str, Any]

    @cached_property
    def message(self) -> Message:
        return parse_message(self.hl7.decode("utf-8"), validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)

    @cached_property
    def results(self) -> dict[str, str]:
        """Value by local code, as hl7apy reads it (component 4 of OBX-3 beside a LOINC number, else 1)."""
        order = self.message.oru_r01_patient_result.oru_r01_order_observation
        found: dict[str, str] = {}
        for observation in order.oru_r01_observation:
            names = observation.obx.obx_3.to_er7().split("^")
            code = names[3] if len(names) > 3 else names[0]
            assert code not in found
            found[code] = observation.obx.obx_5.to_er7()
        return found


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory, bundle: TestedBundle, real_cells_dir: Path) -> Iterator[Any]:
    site = real_site(tmp_path_factory.mktemp("site"), bundle)
    lis_options = ["--drop", str(site.drop("hl7")), "--ack", str(site.root / "ack"), "--for-s", "600", "--json"]
    lis = subprocess.Popen(
        [sys.executable, "-m", "edge.commands.lis_simulator", *lis_options], stdout=subprocess.PIPE, cwd=REPOSITORY
    )
    try:
        site.start()
        written = write_slide(
            real_film(real_cells_dir), site.export, SLIDE_KEY, SAMPLE_ID, rng=np.random.default_rng(7),
            source=open_labelled_cells(real_cells_dir, split="test"), how="slow-copy", pause_s=0.005,
        )  # fmt: skip
        wait_for_model(site)
        wait_for_states(site, {SLIDE_KEY: "CLOSED"})
        assert lis.stdout is not None
        told = json.loads(lis.stdout.readline())
        site.wait_for(lambda: site.ask("status")["deliveries"]["ACCEPTED"] == 1, "the answer is noted", 60)
        (json_file,) = site.results("json")
        (hl7_file,) = site.results("hl7")
        yield Delivered(
            site, written.origins, records_of(site)[SLIDE_KEY][0], json_file.read_bytes(), hl7_file.read_bytes(),
            told, shown(site, SLIDE_KEY),
        )  # fmt: skip
    finally:
        lis.terminate()
        lis.wait(30)
        site.close()


def test_every_cell_of_the_slide_is_a_real_one_and_was_counted(delivered: Delivered) -> None:
    assert delivered.origins == {"labelled": sum(CELLS.values())}
    record = delivered.record
    assert record["images"] == len(record["cells"]) == sum(CELLS.values())
    assert record["unreadable"] == 0
    typed = Counter(cell["type"] for cell in record["cells"])
    untyped = typed.pop(None, 0)
    assert {code: count for code, count in record["counts"].items() if count} == typed
    assert sum(record["counts"].values()) == record["images"] - untyped


def test_the_message_passes_a_strict_parser_and_our_own_check(delivered: Delivered) -> None:
    assert delivered.message.validate()
    check_hl7(delivered.hl7, "ORU_R01")


def test_every_count_of_the_message_is_the_records(delivered: Delivered) -> None:
    record, results = delivered.record, delivered.results
    for code, count in record["counts"].items():
        assert results[CODES.types[code].count_local] == str(count)
    for fact in ("leucocytes", "images", "unreadable", "unidentified", "out_of_distribution"):
        assert results[CODES.facts[fact].local] == str(record[fact])


def test_every_percentage_of_the_message_is_the_records(delivered: Delivered) -> None:
    results = delivered.results
    sent = 0
    for row in delivered.record["profile"]:
        code, _, kind = row["name"].partition("_")
        local = CODES.finding_locals[code] if kind == "rate" else CODES.types[code].local
        if kind == "rate" and not row["numerator"]:
            assert local not in results
            continue
        exact = Decimal(100 * row["numerator"]) / Decimal(row["denominator"])
        assert results[local] == str(exact.quantize(Decimal("0.1"), ROUND_HALF_EVEN))
        shown_value = row["value"] if kind == "per_100_wbc" else 100 * row["value"]
        assert float(exact) == pytest.approx(shown_value, abs=1e-4)
        sent += 1
    assert sent >= len(CODES.types)


def test_score_interval_and_call_of_the_message_are_the_records(delivered: Delivered, bundle: TestedBundle) -> None:
    record, results = delivered.record, delivered.results
    expected = [row["target"] for row in bundle.manifest["assessments"]]
    assert [row["target"] for row in record["assessments"]] == expected
    if expected:
        assert any(row["score"] is not None for row in record["assessments"]), "nothing would be shown about scores"
    for row in record["assessments"]:
        code = CODES.target(row["target"])
        assert results[code.local("CALL")] == row["call"]
        assert row["call"] != "NOT-REQUESTED"
        given = row["call"] != "NOT-EVALUABLE"
        figures = {"SCORE": row["score"], "LOWER": (row["ci95"] or [None])[0], "UPPER": (row["ci95"] or [None])[-1]}
        for ending, value in figures.items():
            text = "" if value is None or not given else f"{Decimal(repr(value)):.3f}"
            assert results[code.local(ending)] == text
        assert Decimal(results[code.local("THRES")]) == Decimal(repr(row["threshold"]))


def test_the_record_keeps_its_published_schema_and_is_the_archived_one(delivered: Delivered, repository: Path) -> None:
    schema = json.loads((repository / "docs" / "record.schema.json").read_bytes())
    jsonschema.validators.validator_for(schema)(schema).validate(delivered.record)
    (archived,) = (delivered.site.root / "state" / "archive").rglob(f"{delivered.record['message_id']}.json")
    assert archived.read_bytes() == delivered.record_bytes


def test_a_demonstration_says_test_everywhere(delivered: Delivered, bundle: TestedBundle) -> None:
    assert bundle.manifest["intended_use"] == "demo"
    assert delivered.message.msh.msh_11.to_er7() == "T"
    assert delivered.record["mode"] == "T"
    assert any("TEST:" in line for line in delivered.hl7.decode().split("\r") if line.startswith("NTE|"))
    (report,) = (delivered.site.root / "state" / "archive").rglob(f"{delivered.record['message_id']}.html")
    assert "not for clinical use" in report.read_text(encoding="utf-8")
    assert delivered.shown["revisions"][0]["mode"] == "T"


def test_the_lis_reads_the_same_accepts_it_and_the_journal_knows(delivered: Delivered) -> None:
    told = delivered.told_by_lis
    assert (told["faults"], told["partial"], told["answer"]) == ([], False, "AA")
    assert (told["sample_id"], told["message_id"]) == (SAMPLE_ID, delivered.record["message_id"])
    assert set(told["results"].values()) == set(delivered.results.values())
    assert len(told["results"]) == len(delivered.results)
    states = {row["output"].partition(":")[0]: row["state"] for row in delivered.shown["revisions"][0]["deliveries"]}
    assert states["hl7"] == "ACCEPTED"
    assert delivered.shown["slide"]["state"] == "CLOSED"
