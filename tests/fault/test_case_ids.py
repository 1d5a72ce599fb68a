"""The list of cases, their tests and their controls: nothing is counted that did not run and could not fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fault.case_controls import REPOSITORY, Control, ControlLedger, load_controls, prove
from tests.fault.case_ids import figures_from, kept_rows, load_cases, main, named_in_tests

OTHER_LISTS = ("M", "N")
"""Tests also name measurements and goals, which have lists of their own."""


def test_there_are_154_cases_each_with_a_title_and_an_outcome() -> None:
    cases = load_cases()
    assert len(cases) == 154
    words = {word for _, word in cases.values()}
    assert words == {"ONE", "HOLD", "QUAR", "REFUSE", "FLAG", "SAFE"}
    assert len({title for title, _ in cases.values()}) == 154


def test_a_test_names_no_case_that_is_not_listed() -> None:
    unknown = {case for case in named_in_tests() if case not in load_cases() and not case.startswith(OTHER_LISTS)}
    assert unknown == set()


@pytest.mark.parametrize("control", load_controls(), ids=lambda control: control.case)
def test_a_control_changes_one_place_and_names_a_test_of_its_case(control: Control) -> None:
    assert (REPOSITORY / control.file).read_text(encoding="utf-8").count(control.find) == 1
    assert control.find != control.replace
    assert control.test.partition("[")[0] in named_in_tests()[control.case]


def figures(report: dict[str, Any], proved: bool, kept: dict[str, Any] | None = None) -> dict[str, Any]:
    control = load_controls()[0]
    ledger = {control.digest(): "fails" if proved else "the test passes although the product is wrong"}
    return figures_from(load_cases(), report, [control], ledger, kept or {})


def test_a_case_counts_when_its_test_passed_and_its_control_fails() -> None:
    case = load_controls()[0].case
    report = {"node": {"cases": [case], "outcome": "passed"}}
    assert (figures(report, True)["ran"], figures(report, True)["proved"]) == (1, 1)
    assert (figures(report, False)["ran"], figures(report, False)["proved"]) == (1, 0)
    for outcome in ("skipped", "failed", "not run"):
        made = figures({"node": {"cases": [case], "outcome": outcome}}, True)
        assert (made["ran"], made["proved"]) == (0, 0)
    mixed = report | {"other": {"cases": [case], "outcome": "failed"}}
    assert figures(mixed, True)["ran"] == 0


def test_what_the_figures_hold_counts_until_its_tests_or_its_control_change(tmp_path: Path) -> None:
    case, out = load_controls()[0].case, tmp_path / "figures.json"
    made = figures({"node": {"cases": [case], "outcome": "passed"}}, True)
    out.write_text(json.dumps(made))
    kept = kept_rows(out, named_in_tests())
    again = figures({}, True, kept)
    assert (again["ran"], again["by_case"][case]["tests_passed"]) == (1, 1)
    assert kept[case]["control_digest"] == load_controls()[0].digest()
    for field in ("tests_digest", "control_digest"):
        changed = json.loads(out.read_text())
        changed["by_case"][case][field] = "of another text"
        out.with_name("changed.json").write_text(json.dumps(changed))
        row = kept_rows(out.with_name("changed.json"), named_in_tests())[case]
        assert (row["ran"], bool(row["control_digest"])) == (field != "tests_digest", field != "control_digest")
    assert figures({}, True)["ran"] == 0


def test_a_control_that_changes_nothing_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("VALUE = 1\n")
    test = tmp_path / "test_value.py"
    test.write_text(
        "from code_under_test import VALUE\n\ndef test_value():\n    assert VALUE == 1\n\n"
        "def test_three():\n    assert VALUE == 3\n"
    )
    (tmp_path / "code_under_test.py").write_text("VALUE = 1\n")
    node = "test_value.py::test_value"
    sound = (tmp_path / "code_under_test.py").read_text()
    wrong = Control("A1", "code_under_test.py", "VALUE = 1", "VALUE = 2", node)
    harmless = Control("A1", "code_under_test.py", "VALUE = 1", "VALUE = 2 - 1", node)
    missing = Control("A1", "code_under_test.py", "VALUE = 7", "VALUE = 2", node)
    gone = Control("A1", "code_under_test.py", "VALUE = 1", "VALUE = 2", "test_value.py::test_other")
    broken = Control("A1", "code_under_test.py", "VALUE = 1", "VALUE = 2", "test_value.py::test_three")
    assert prove(broken, tmp_path) == "the test does not pass on the sound product (1)"
    assert prove(wrong, tmp_path) == "fails"
    assert prove(harmless, tmp_path) == "the test passes although the product is wrong"
    assert prove(missing, tmp_path) == "the text stands 0 times in code_under_test.py"
    assert prove(gone, tmp_path) == "the test does not pass on the sound product (4)"
    assert (tmp_path / "code_under_test.py").read_text() == sound


def test_a_verdict_is_kept_until_source_test_or_control_change(tmp_path: Path) -> None:
    ledger = ControlLedger(tmp_path / "ledger.jsonl")
    control = load_controls()[0]
    assert ledger.proved() == {}
    ledger.add(control, "fails")
    assert ledger.proved()[control.digest()] == "fails"
    other = Control(control.case, control.file, control.find, control.replace + " ", control.test)
    assert other.digest() not in ledger.proved()


def test_the_list_says_how_many_cases_have_a_test(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["list"])
    said = capsys.readouterr().out
    covered = len(load_cases().keys() & named_in_tests().keys())
    assert f"{covered} of 154 cases are named by a test" in said
    assert status == (covered < 154)
