"""Judges written in another language read our messages and bundles: @medplum/core, hl7v2 and fhir, under Node.

Needs Node and the pinned packages: `npm ci --prefix tests/real/judges`. Skips with the reason where they are missing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fault.site import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "unit"))

from format_readers import READERS, hl7_unescaped
from records import carried_by, example_record, records

from edge.writers.choose import writer_for

JUDGES = REPOSITORY / "tests" / "real" / "judges"
COUNT = 60


def missing() -> str | None:
    if shutil.which("node") is None:
        return "Node is not installed"
    if not (JUDGES / "node_modules" / "fhir").is_dir():
        return "the Node judges are not installed: npm ci --prefix tests/real/judges"
    return None


pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def judged(files: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps({"name": name, "text": content.decode("utf-8")}) + "\n" for name, content in files)
    ended = subprocess.run(
        ["node", "judge.mjs"], cwd=JUDGES, input=lines, capture_output=True, text=True, timeout=500, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(answers) == len(files)
    return answers


def generated(name: str) -> list[bytes]:
    contents = []

    @settings(
        max_examples=COUNT,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(records())
    def collect(record: dict[str, Any]) -> None:
        contents.append(writer_for(name).render(carried_by(name, record)).content)

    collect()
    return contents


@pytest.fixture(scope="module")
def answered() -> dict[str, list[tuple[bytes, dict[str, Any]]]]:
    """Every generated file with the judges' answer, by format. Loading the judges takes them longer than judging."""
    files = [(name, content) for name in ("hl7", "hl7-oul", "fhir") for content in generated(name)]
    found: dict[str, list[tuple[bytes, dict[str, Any]]]] = {}
    for (name, content), answer in zip(files, judged(files), strict=True):
        found.setdefault(name, []).append((content, answer))
    return found


@pytest.mark.parametrize("name", ["hl7", "hl7-oul"])
def test_two_parsers_of_another_language_read_every_value_of_every_message_and_answer_with_its_id(name, answered):
    for content, answer in answered[name]:
        read = READERS[name](content)
        expected = [[code, value, letter] for code, (value, letter) in read.values.items()]
        assert answer.get("errors") is None
        for judge in ("medplum", "hl7v2"):
            assert [[code, hl7_unescaped(value), letter] for code, value, letter in answer[judge]] == expected
        assert answer["ack"] == read.message_id


def number_or_text(value: object) -> object:
    try:
        return float(str(value))
    except ValueError:
        return value


def test_two_validators_of_another_language_accept_every_bundle_and_read_every_value(answered):
    for content, answer in answered["fhir"]:
        assert answer["errors"] == []
        expected = [number_or_text(value) if value else None for value, _ in READERS["fhir"](content).values.values()]
        assert [number_or_text(value) if value is not None else None for _, value in answer["values"]] == expected


def test_the_judges_refuse_what_is_broken():
    bundle = json.loads(writer_for("fhir").render(example_record()).content)
    broken = []
    for change in (
        {"status": "done"},
        {"status": None},
        {"colour": "blue"},
        {"valueQuantity": {"value": "forty-one"}},
        {"code": None},
    ):
        copy = json.loads(json.dumps(bundle))
        resource = next(e["resource"] for e in copy["entry"] if e["resource"]["resourceType"] == "Observation")
        for key, value in change.items():
            if value is None:
                del resource[key]
            else:
                resource[key] = value
        broken.append(("fhir", json.dumps(copy).encode()))
    assert all(answer["errors"] for answer in judged(broken))
