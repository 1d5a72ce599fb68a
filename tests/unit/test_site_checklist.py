"""The checklist: each state of a delivery under each way of confirming has one honest outcome."""

from __future__ import annotations

import pytest

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
     ("PARKED", "none", "MDSE-WRITER-007 x", "by hand")],
)  # fmt: skip
def test_every_state_has_its_outcome(state: str, ack: str, reason: str, outcome: str) -> None:
    (check,) = checks_of_deliveries("revision 1", [row(state, reason)], {"hl7:/drop": ack})
    assert check.outcome == outcome
    assert reason in check.seen
    assert is_settled(state, ack) == (outcome != "waits")


@pytest.mark.parametrize(
    ("outcomes", "worst"), [(["yes", "no", "waits"], "no"), (["yes", "waits"], "waits"), (["yes", "by hand"], "yes")]
)
def test_the_worst_outcome_stands_for_the_whole(outcomes: list, worst: str) -> None:
    assert Checklist((), tuple(Check("x", outcome, "y") for outcome in outcomes), ()).outcome == worst


def test_what_the_receiver_said_can_break_neither_page_nor_table() -> None:
    hostile = "<script>alert(1)</script> | a & b"
    checklist = Checklist((("by", hostile),), (Check("x", "no", hostile), Check(hostile, "by hand")), ((hostile, "1"),))
    assert "<script>" not in html_of_checklist(checklist)
    assert "<script>" not in markdown_of_checklist(checklist)
    for line in markdown_of_checklist(checklist).splitlines():
        assert line.replace("\\|", "").count("|") in (0, 3, 4), line
    assert hostile in text_of_checklist(checklist)
