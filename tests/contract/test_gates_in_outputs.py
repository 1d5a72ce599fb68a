"""Every rule that holds back a score or warns is seen in every output: no receiver gets a score without its caveat."""

from __future__ import annotations

import pytest
from bundles import CATALOGUE, PUBLIC_KEY, TARGET, bundle_contents, manifest_document, write_bundle, write_slide

from edge.model import open_model
from edge.pipeline import Job, analyze_slide
from edge.record_text import record_bytes
from edge.run_summary import page_from_record
from edge.slide import read_slide
from edge.writers.choose import FORMATS, writer_for

JOB = Job(
    source="di60", revision=1, message_id="9F3C21AA04B7.R1", supersedes=None, reason=None, status="P",
    analysed_at="2026-11-23T18:00:00+09:00", assess_all=False, manifest_sha256="4e" * 32, site="HEMLAB",
    degraded=False, warnings=(),
)  # fmt: skip
ORDINARY = ["SNE"] * 60 + ["LY"] * 36 + ["MO"] * 4

# What is on the film, whether its cells show every finding, which bundle judges it; then: code, call, score or none.
GATES = {
    "nobody asked": (ORDINARY, False, {"targets": []}, "NOT-REQUESTED", "NOT-REQUESTED", False),
    "too few leucocytes": (["SNE"] * 9 + ["ERB"] * 40, False, {}, "WBC-TOO-FEW", "NOT-EVALUABLE", False),
    "too few neutrophils": (["LY"] * 40 + ["SNE"] * 3, False, {}, "NEUTROPHILS-TOO-FEW", "NOT-EVALUABLE", False),
    "blasts from 1 %": ([*ORDINARY[:99], "BL"], False, {}, "BLAST-REVIEW", None, True),
    "blasts from 20 %": (ORDINARY[:80] + ["BL"] * 20, False, {}, "BLAST-EXCESS", "NOT-EVALUABLE", False),
    "blasts from 20 % are looked at, too": (
        ORDINARY[:80] + ["BL"] * 20, False, {}, "BLAST-REVIEW", "NOT-EVALUABLE", False
    ),
    "unlike the cohort": (ORDINARY, False, {"narrow": True}, "PROFILE-OOD", "NOT-EVALUABLE", False),
    "signs of infection": (ORDINARY, True, {}, "INFECTION-PATTERN", None, True),
    "counting leaves it open": (ORDINARY, False, {"doubtful": True}, "INDETERMINATE", "INDETERMINATE", True),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The painted bundle, one whose cohort has no such film, and one whose threshold lies where the score falls."""
    folder = tmp_path_factory.mktemp("bundles")
    contents = bundle_contents()
    documents = {name: manifest_document(contents) for name in ("plain", "narrow", "doubtful")}
    documents["narrow"]["cohort"][TARGET]["range"]["LY_share"] = [0.9, 1.0]
    for document in documents.values():
        document["intended_use"] = "research"  # a table cannot say that a result is a test, and refuses one
    plain = write_bundle(folder / "plain", contents, documents["plain"])
    opened = {"plain": open_model(plain, public_key=PUBLIC_KEY, threads=1)}
    slide = write_slide(folder / "A0_S1", ORDINARY)
    score = analyze_slide(read_slide(slide), opened["plain"], JOB).record["assessments"][0]["score"]
    documents["doubtful"]["assessments"][0]["threshold"] = score
    for name in ("narrow", "doubtful"):
        path = write_bundle(folder / name, contents, documents[name])
        opened[name] = open_model(path, public_key=PUBLIC_KEY, threads=1)
    yield opened
    for model in opened.values():
        model.close()


@pytest.fixture(scope="module", params=GATES, ids=lambda name: name.replace(" ", "-"))
def gated(request, models, tmp_path_factory):
    """The gate and what the pipeline made of a film that it concerns."""
    types, findings, options, code, call, scored = GATES[request.param]
    metadata = {"targets": options["targets"]} if "targets" in options else {}
    slide = write_slide(tmp_path_factory.mktemp("slides") / "A1_S1", types, findings=findings, **metadata)
    model = models[next((name for name in ("narrow", "doubtful") if options.get(name)), "plain")]
    return code, call, scored, analyze_slide(read_slide(slide), model, JOB)


def test_the_gate_decides_the_call_and_whether_there_is_a_score(gated):
    code, call, scored, analyzed = gated
    (assessment,) = analyzed.record["assessments"]
    said = [row["code"] for row in (*assessment["reasons"], *analyzed.record["warnings"])]
    assert code in said
    assert call in (None, assessment["call"])
    assert (assessment["score"] is not None, assessment["ci95"] is not None) == (scored, scored)
    assert assessment["score"] != 0
    assert bool(assessment["contributions"]) == scored


def rendered(analyzed, output):
    """The bytes of an output of any kind."""
    others = {
        "html": lambda: analyzed.report_html,
        "terminal": lambda: page_from_record(analyzed.record, CATALOGUE).encode(),
        "archive": lambda: record_bytes(analyzed.record),
    }
    return others.get(output, lambda: writer_for(output).render(analyzed.record).content)()


WITH_WORDS = [name for name in FORMATS if name != "csv-wide"]  # numbers only: the last test is about that one


@pytest.mark.parametrize("output", [*WITH_WORDS, "html", "terminal", "archive"])
def test_the_gate_is_seen_in_every_output(gated, output):
    code, _, _, analyzed = gated
    record = analyzed.record
    content = rendered(analyzed, output)
    assert code.encode() in content
    assert record["assessments"][0]["call"].encode() in content


@pytest.mark.parametrize("output", [*WITH_WORDS, "html", "terminal"])
def test_an_interval_of_a_score_is_called_what_it_is(gated, output):
    if gated[2] and output != "json":  # the record has fields, not sentences: docs/record.md says what they mean
        content = rendered(gated[3], output)
        assert b"ounting interval" in content
        assert b"excludes misclassification" in content


def test_a_format_without_words_gets_no_score_that_a_gate_concerns(gated):
    assert b"MDSSCORE" not in writer_for("csv-wide").render(gated[3].record).content
