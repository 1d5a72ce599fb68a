"""A refusal of a damaged conversion names the cause, or it does not count as one that does."""

from __future__ import annotations

import json

from benchmarks.conversion_damages import DAMAGES
from benchmarks.conversion_refusals import RESULT, names_the_cause, summary_of

COARSE = next(damage for damage in DAMAGES if not damage.words)


def test_a_coarse_file_is_named_by_the_type_that_suffers_most_and_by_no_other():
    refusal = "MDSE-PARITY-001 cells.int8.onnx: decides otherwise: LY03 8.6 % of 152, BNE 5.6 % of 142"
    assert names_the_cause(COARSE, refusal, "BNE")
    assert not names_the_cause(COARSE, refusal, "LY")
    assert not names_the_cause(COARSE, refusal, "MY")
    assert not names_the_cause(COARSE, refusal, None)


def test_the_committed_refusals_are_judged_as_this_code_judges_them():
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    of_name = {damage.name: damage for damage in DAMAGES}
    for row in document["damaged"]:
        judged = names_the_cause(of_name[row["name"]], row["refused"], row["worst_type"])
        assert judged == row["names_the_cause"], row["name"]
    assert summary_of(document["damaged"]) == document["summary"]
