"""The checklist: each state of a delivery under each way of confirming has one honest outcome."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from edge.commands import validate_site
from edge.site_checklist import (
    Check,
    Checklist,
    checks_of_deliveries,
    html_of_checklist,
    is_settled,
    markdown_of_checklist,
    text_of_checklist,
)


def row(state: str, reason: str = "") -> dict[str, str]:
    return {"output": "hl7:/drop", "state": state, "reason_text": reason, "final_name": "a.hl7"}


@pytest.mark.parametrize(
    ("state", "ack", "reason", "outcome"),
    [("RENDERED", "none", "", "waits"), ("STAGED", "file-gone", "", "waits"), ("SENT", "ack-file", "", "waits"),
     ("SENT", "none", "", "by hand"), ("ACCEPTED", "ack-file", "", "yes"), ("COLLECTED", "file-gone", "", "yes"),
     ("REFUSED", "ack-file", "AE no", "no"), ("PARKED", "none", "MDSE-WRITER-004 x", "no"),
     ("PARKED", "none", "MDSE-WRITER-007 x", "by hand"), ("ARCHIVED", "ack-file", "given up: x", "no")],
)  # fmt: skip
def test_every_state_has_its_outcome(state: str, ack: str, reason: str, outcome: str) -> None:
    (check,) = checks_of_deliveries("revision 1", [row(state, reason)], {"hl7:/drop": ack})
    assert check.outcome == outcome
    assert reason in check.seen
    assert is_settled(state, ack) == (outcome != "waits")


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [(["yes", "no", "waits"], "no"), (["yes", "waits", "by hand"], "waits"), (["yes", "by hand"], "by hand"),
     (["yes", "yes"], "yes"), ([], "no")],
)  # fmt: skip
def test_the_worst_outcome_stands_for_the_whole_and_nothing_checked_is_no_success(outcomes: list, worst: str) -> None:
    checks = [Check("x", outcome, "y") for outcome in outcomes]
    checklist = Checklist((), (*checks, Check("what a person looks at", "by hand")), ())
    assert checklist.outcome == worst
    for page in (text_of_checklist, markdown_of_checklist, html_of_checklist):
        assert html.escape(checklist.conclusion) in page(checklist) or checklist.conclusion in page(checklist)


def test_a_configured_output_without_a_delivery_has_a_line_that_says_no_and_why() -> None:
    acks = {"hl7:/drop": "file-gone", "lis2:/other": "ack-file"}
    lines = checks_of_deliveries("revision 1", [row("COLLECTED")], acks)
    assert [(line.text, line.outcome) for line in lines] == [
        ("revision 1: hl7:/drop (ack file-gone)", "yes"),
        ("revision 1: lis2:/other (ack ack-file)", "no"),
    ]
    assert "no such output is in force" in lines[1].seen
    (line,) = checks_of_deliveries("revision 1", [], {"hl7:/drop": "none"}, refusal="MDSE-DAEMON-011 x")
    assert (line.outcome, line.seen) == ("no", "MDSE-DAEMON-011 x")


def test_an_output_that_got_the_test_and_is_not_configured_has_a_line_that_says_no() -> None:
    (line,) = checks_of_deliveries("revision 1", [row("COLLECTED")], {})
    assert (line.outcome, "does not name it" in line.seen) == ("no", True)


def test_what_the_receiver_said_can_break_neither_page_nor_table() -> None:
    hostile = "<script>alert(1)</script> | a & b"
    checklist = Checklist((("by", hostile),), (Check("x", "no", hostile), Check(hostile, "by hand")), ((hostile, "1"),))
    assert "<script>" not in html_of_checklist(checklist)
    assert "<script>" not in markdown_of_checklist(checklist)
    for line in markdown_of_checklist(checklist).splitlines():
        assert line.replace("\\|", "").count("|") in (0, 3, 4), line
    assert hostile in text_of_checklist(checklist)


@pytest.mark.parametrize("option", ["--html", "--markdown"])
def test_a_page_that_cannot_be_written_is_found_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    sent: list[object] = []
    monkeypatch.setattr("edge.commands.validate_site._run", lambda arguments: sent.append(arguments) or 0)
    page = tmp_path / "no-such-folder" / "page"
    with pytest.raises(SystemExit) as ended:
        validate_site.main(["--by", "K. Sato", "--sample", "000TEST1", option, str(page)])
    assert ended.value.code == 2
    assert sent == []
    assert f"{page} cannot be written" in capsys.readouterr().err


def test_no_empty_page_is_left_where_no_test_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.commands.validate_site._run", lambda _: 2)
    page = tmp_path / "page"
    assert validate_site.main(["--by", "K. Sato", "--sample", "000TEST1", "--html", str(page)]) == 2
    assert not page.exists()


def test_the_empty_page_of_a_run_that_was_killed_is_taken_and_a_page_with_words_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge.commands.validate_site._run", lambda arguments: arguments.html.write_text("signed") and 0)
    page = tmp_path / "page"
    page.touch()
    again = ["--by", "K. Sato", "--sample", "000TEST1", "--html", str(page)]
    assert validate_site.main(again) == 0
    with pytest.raises(SystemExit):
        validate_site.main(again)
    assert "is not overwritten" in capsys.readouterr().err
    assert page.read_text() == "signed"


def test_two_pages_in_one_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.commands.validate_site._run", lambda _: 0)
    page = str(tmp_path / "page")
    with pytest.raises(SystemExit):
        validate_site.main(["--by", "K. Sato", "--sample", "000TEST1", "--html", page, "--markdown", page])
