"""The page that edge-run prints says what the report says, in one language, and fits a terminal."""

from __future__ import annotations

import re
import unicodedata

import pytest
from records import example_record, record_from_cells, with_use
from report_examples import HOSTILE, STATES, demo, full_record, hostile, indeterminate, not_evaluable, withdrawn

from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.result import _with_gone_targets
from edge.run_summary import page_from_record
from edge.writers.html_next import next_steps
from edge.writers.record_view import view_of_record


def page(record, language="en") -> str:
    return page_from_record(record, load_catalogue(), language)


def flat(record, language="en") -> str:
    return " ".join(page(record, language).split())


def test_every_fact_that_the_report_leads_with_is_on_the_page():
    text = flat(full_record())
    for words in (
        "100 leucocytes", "Segmented neutrophil SNE 41 41.0 % 31.9 to 50.8", "18/50 36.0 % 24.1 to 49.9",
        "MDS or AA: MDS-SUSPECT", "Score 0.873, 95 % counting interval 0.691 to 0.951, threshold 0.5",
        "excludes misclassification", "Count about 310 more leucocytes to halve the interval", "+0.912", "c0003",
        "here 36.0 %; typical MDS 31.0 %, AA 4.0 %", "Neutrophils, segmented and band +1.72",
        "3 instead of 18 of 50 (score 0.471)", "Within the limit.", "4 of 118 cells (3.4 %)", "BLAST-REVIEW",
        "META-MISSING", "wbc 2026.1 (abababababab, research only)", "openvino on CPU, int8", "Degraded: no",
        "This report is not a diagnosis",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize("state", STATES)
def test_the_steps_are_those_of_the_report_in_every_state(state):
    record, _ = STATES[state]()
    text = flat(record)
    for step in next_steps(view_of_record(record), {}):
        assert step.text in text


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_is_one_page_and_ends_with_one_newline(state, language):
    record, _ = STATES[state]()
    text = page(record, language)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert len(text.splitlines()) <= 80


def test_a_score_that_may_not_be_given_is_not_printed():
    assert "WBC-TOO-FEW: Too few leucocytes: counted 27" in page(not_evaluable())
    record = not_evaluable()
    record["assessments"][0]["score"] = 0.9173
    with pytest.raises(EdgeError, match="is called NOT-EVALUABLE and has a score"):
        page(record)


def test_test_simulated_withdrawn_and_degraded_results_say_so_at_the_top():
    record = demo()
    record["provenance"]["degraded"] = True
    top = "\n".join(page(record).splitlines()[:5])
    for words in ("TEST", "SIMULATED DATA", "DEGRADED", "PRELIMINARY"):
        assert words in top
    assert "WITHDRAWN" in page(withdrawn()).splitlines()[0]


@pytest.mark.parametrize(("intended_use", "marked"), [("research", True), ("clinical", False)])
def test_a_result_for_research_only_says_so_at_the_top(intended_use, marked):
    lines = page(with_use(example_record(), intended_use)).splitlines()
    assert lines[1].startswith("RESEARCH USE ONLY: The bundle is not for clinical use.") is marked
    assert sum("RESEARCH" in line for line in lines) == marked


def test_texts_of_the_export_cannot_move_the_cursor_or_forge_a_line():
    record = hostile()
    record["warnings"] = [{"code": "X", "text": "red \x1b[31m alert\nScore 0.999"}, *record["warnings"]]
    text = page(record)
    assert not {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf") and letter != "\n"}
    assert "red \\x1b[31m alert\\nScore 0.999" in text
    assert HOSTILE.split("\u202e")[0] in text


def test_a_column_never_touches_the_next_one_where_nothing_could_be_counted():
    record = record_from_cells([("ERB", {})])
    (line,) = (line for line in page(record).splitlines() if "ERB" in line)
    assert line.split()[-3:] == ["1", "not", "countable"]


def test_an_assessment_that_is_no_longer_made_does_not_say_that_cells_are_missing():
    record = example_record()
    earlier = {"target": "mds_aa", "positive": "MDS", "negative": "AA", "threshold": 0.5}
    record["assessments"] = _with_gone_targets([], [earlier])
    text = page(record)
    assert "TARGET-GONE" in text
    assert "sufficient count of cells" not in text
    assert "does not rest on a sufficient count of cells" in page(not_evaluable())


def test_a_record_without_the_counts_of_its_sufficiency_says_by_its_reason_that_cells_are_missing():
    record = not_evaluable()
    record["assessments"][0]["sufficiency"] = None
    assert "does not rest on a sufficient count of cells" in page(record)


def test_japanese_columns_stand_under_each_other_although_their_letters_are_wide():
    rows = [line for line in page(full_record(), "ja").splitlines() if re.search(r"[A-Z]{2,3} +\d+ +[\d.]+ %", line)]
    widths = {
        sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line.split("%")[0]) for line in rows
    }
    assert len(rows) == 11
    assert len(widths) == 1


def test_a_call_that_no_single_count_turns_says_so():
    words = "No single count changed by up to 40 cells, on a film that can be scored"
    assert words in page(indeterminate())
    assert "would move the score" not in page(not_evaluable())
    assert "No assessment" not in page(example_record(assessments=[]))
