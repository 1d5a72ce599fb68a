"""Each section of the report says what the record says, leads to its cells, and where it is absent it says why."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from records import assessment, example_record
from report_examples import (
    GROUPS,
    STATES,
    degraded,
    demo,
    full_context,
    full_record,
    hostile,
    indeterminate,
    not_evaluable,
    old_record,
    withdrawn,
)
from test_html_report import JPEG, Page, assert_self_contained

from edge.catalogue import load_catalogue
from edge.run_summary import page_from_record
from edge.writers.html_next import next_steps
from edge.writers.html_report import render_report
from edge.writers.record_view import view_of_record
from edge.writers.report_context import NOTHING_MORE, AtlasPoints, CohortRows, ReferenceIntervals, ReportContext


def rendered(record, context=NOTHING_MORE) -> Page:
    content = render_report(record, {cell["id"]: JPEG for cell in record["cells"]}, context)
    assert_self_contained(content)
    return Page(content)


def steps(record) -> list[str]:
    return [step.text for step in next_steps(view_of_record(record), {"BL": "type-5"})]


@pytest.mark.parametrize("state", STATES)
def test_in_every_state_the_page_is_whole_and_every_link_on_it_has_its_place(state):
    record, context = STATES[state]()
    read = rendered(record, context)
    anchors = read.values("id")
    assert len(anchors) == len(set(anchors))
    assert {value[1:] for value in read.values("href") if value.startswith("#")} <= set(anchors)
    assert not [tag for tag, attrs in read.elements if tag in ("h2", "h3") and "hidden" in attrs]


def test_how_sure_the_call_is_stands_beside_it():
    text = rendered(full_record()).text
    assert "Counting interval: excludes misclassification." in text
    assert "Count about 310 more leucocytes to halve the interval." in text
    assert "Leucocytes 100 (at least 50 needed), neutrophils 50 (at least 20 needed)." in text


def test_cells_that_the_record_does_not_name_behind_a_bar_are_counted_as_more():
    record = full_record()
    row = next(row for row in record["assessments"][0]["contributions"] if row["name"] == "LY_share")
    row["cells"] = [cell["id"] for cell in record["cells"] if cell["type"] == "LY"][:24]
    behind = rendered(record).text.split("28 of 100, 28.0 %")[1].split("Giant platelet")[0]
    assert "and 8 more" in behind  # 28 counted, 20 shown
    assert "cells " in page_from_record(record, load_catalogue())
    assert "and 22 more" in page_from_record(record, load_catalogue())  # 6 named


def test_a_bar_without_cells_says_whether_none_shows_it_or_none_could():
    record = full_record()
    added = [{"name": "MK01_rate", "value": -0.2, "cells": []}, {"name": "NE17_rate", "value": 0.15, "cells": []}]
    record["assessments"][0]["contributions"] += added
    record["assessments"][0]["groups"][-1]["value"] -= 0.05
    text = rendered(record).text
    assert "to the model it is missing, not 0" in text.split("The cells behind each bar")[1].split("Auer rod")[0]
    assert "no cell shows it" in text


def test_the_groups_are_given_with_signs_and_beside_the_cohort_where_there_is_one():
    with_cohort, alone = rendered(full_record(), full_context()), rendered(full_record())
    for read in (with_cohort, alone):
        assert "By group of cells" in read.text
        for row in full_record()["assessments"][0]["groups"]:
            written = f"{row['value']:+.2f}".replace("-", "\u2212")
            assert (written if round(row["value"], 2) else "0.00") in read.text
    assert "26 MDS slides of the cohort" in with_cohort.text
    assert "11 AA slides of the cohort" in with_cohort.text
    assert with_cohort.text.count("median ") == 2 * len(GROUPS)
    assert "carries no cohort" in alone.text
    assert "slides of the cohort" not in alone.text


def test_a_cohort_without_slides_of_one_side_says_that_nothing_can_be_counted():
    slides = tuple(slide for slide in full_context().cohorts["mds_aa"].slides if slide.positive)
    read = rendered(full_record(), ReportContext(cohorts={"mds_aa": CohortRows(GROUPS, slides)}))
    assert "0 AA slides of the cohort" in read.text
    assert read.text.count("median not countable") == len(GROUPS)


def test_typical_profiles_are_given_in_the_units_people_read():
    text = rendered(full_record()).text
    assert "Typical MDS" in text
    for figure in ("36.0 %", "31.0 %", "4.0 %", "61.0 %", "not countable"):
        assert figure in text
    assert "Beside typical" not in rendered(old_record()).text


def test_what_would_change_the_call_names_counts_and_the_score_they_give():
    text = rendered(full_record()).text
    words = "3 instead of 18 (of 50) would move the score to 0.471, across the threshold 0.500"
    assert words in text
    none = "would move the score across the threshold. The call rests on the whole interval"
    assert none in rendered(indeterminate()).text
    assert "What would move the score across the threshold" not in rendered(not_evaluable()).text


def test_a_change_that_stays_on_its_side_is_not_said_to_cross_the_threshold():
    record = full_record()
    record["assessments"][0]["what_would_change"][0]["score"] = 0.7
    text = rendered(record).text
    assert "would move the score to 0.700 and change the call" in text


def test_quality_is_judged_in_words_where_the_bundle_sets_limits_and_only_told_where_not():
    assert "Within the limit." in rendered(full_record()).text
    bad = rendered(not_evaluable()).text
    assert "Outside the limit." in bad
    assert "62 % of the images lie below the limit of 0.90" in bad
    record = full_record()
    record["quality"]["focus"]["limit"] = record["quality"]["stain"]["limit"] = None
    text = rendered(record).text
    assert text.count("Measured, not judged") == 2
    assert "Within the limit." not in text
    assert "Image quality" not in rendered(old_record()).text


def test_where_the_analyzer_disagrees_is_told_by_pair_of_types_and_under_each_cell():
    read = rendered(full_record())
    assert re.search(r"On 4 of 118 cells \(3\.4 %\)", read.text)
    assert "Analyzer: Segmented neutrophil. This result: Band neutrophil (3)" in read.text
    assert read.text.count("analyzer: ") == 4


def test_the_gallery_shows_the_most_suspicious_cell_of_a_type_first():
    record = full_record()
    read = rendered(record)
    order = [value.removeprefix("cell-") for value in read.values("id") if re.fullmatch(r"cell-\d+", value)]
    cells = [record["cells"][int(number)] for number in order]
    for code in ("SNE", "BNE", "LY"):
        shown = [cell for cell in cells if cell["type"] == code]
        found = [len(cell["findings"]) for cell in shown]
        assert found == sorted(found, reverse=True)
        same = [cell for cell in shown if not cell["findings"]]
        dissent = [cell["preclass"] != cell["type"] for cell in same]
        assert dissent == sorted(dissent, reverse=True)
        doubt = [cell["p"] for cell in same if cell["preclass"] == cell["type"]]
        assert doubt == sorted(doubt)


def test_the_atlas_shows_every_cell_of_the_slide_and_leads_to_it_and_is_left_out_without_one():
    record = full_record()
    read = rendered(record, full_context())
    assert "Map of 120 cells of this slide among 1496 reference cells" in read.values("aria-label")
    marks = [attrs for _, attrs in read.elements if (attrs.get("class") or "").startswith("mark ")]
    assert len([mark for mark in marks if mark["class"] != "mark unnamed"]) == 118 + 2  # two stand in the key
    assert len([mark for mark in marks if mark["class"] == "mark unnamed"]) == 2 + 1
    for context in (NOTHING_MORE, ReportContext(atlas=AtlasPoints({"SNE": ((0.0, 0.0),)}, {}))):
        assert "Where the network sees" not in rendered(record, context).text


def test_reference_intervals_are_the_sites_own_with_their_source_or_there_are_none():
    text = rendered(full_record(), full_context()).text
    assert "as set at this site (made up for a test)" in text
    assert re.search(r"50 to 70\s+below", text)
    assert re.search(r"2 to 8\s+above", text)
    assert not re.search(r"1 to 10\s+(below|above)", text)
    without = rendered(full_record()).text
    assert "No reference intervals are set at this site. The laboratory's own limits apply." in without
    assert "Reference " not in without.replace("Reference cells", "")


def test_what_lies_beside_the_leucocytes_has_its_interval_in_the_same_unit():
    record = full_record()
    row = next(row for row in record["profile"] if row["name"] == "LP_per_100_wbc")
    row["ci95"] = [2.2, 12.7]
    assert re.search(r"Large platelet\s+LP\s+6\s+6\.0\s+2\.2 to 12\.7", rendered(record).text)


def test_a_value_on_its_limit_is_within():
    limits = ReferenceIntervals("test", {"SNE": (41.0, 60.0), "MO": (1.0, 9.0), "BNE": (9.1, 12.0)})
    text = rendered(full_record(), ReportContext(reference=limits)).text
    assert not re.search(r"41 to 60\s+below", text)
    assert not re.search(r"1 to 9\s+above", text)
    assert re.search(r"9\.1 to 12\s+below", text)


def test_what_to_do_next_begins_with_what_cannot_wait():
    found = steps(full_record())
    assert found[0].startswith("Look at the cells called blasts")
    assert found[-1].startswith("Verify on the smear, then release or correct")
    assert any("cells behind the largest bars" in step for step in found)
    assert any("it has learned: 2." in step for step in found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (indeterminate(), "count about 310 more leucocytes to halve the interval"),
        (not_evaluable(), "without 23 more leucocytes and 15 more neutrophils there is no score"),
        (demo(), "Do not use this result for any patient"),
        (degraded(), "ran on its fallback engine"),
        (example_record(assessments=[assessment("NOT-REQUESTED", None)]), "order the assessment"),
        (example_record(assessments=[assessment("INDETERMINATE", 0.5, (0.2, 0.8))]), "the score does not decide"),
    ],
)
def test_what_to_do_next_follows_from_the_call_and_the_warnings(record, words):
    assert any(words in step for step in steps(record))


def test_a_call_that_other_reasons_leave_open_does_not_blame_the_interval():
    reasons = [{"code": "CLASSES-CONTRADICT", "text": "PV and ET are each suspected"}]
    record = example_record(assessments=[assessment("INDETERMINATE", 0.8, (0.7, 0.9), reasons=reasons)])
    text = rendered(record).text
    assert "cannot be told apart, for the reasons named here" in text
    assert "interval holds the threshold" not in text
    assert "interval holds the threshold" in rendered(indeterminate()).text


def test_a_withdrawn_result_asks_for_nothing_but_not_to_be_used():
    assert len(steps(withdrawn())) == 1
    assert "Do not use this result" in steps(withdrawn())[0]


def test_a_slide_that_was_asked_nothing_says_so_instead_of_leaving_the_place_empty():
    assert "makes no assessment" in rendered(example_record(assessments=[])).text


def test_hostile_texts_of_every_field_stay_text():
    content = render_report(hostile(), {}, full_context())
    assert b"<img" not in content
    assert content.count(b"<script") == 1
    assert "\u202e" not in content.decode()


def test_types_and_findings_are_named_by_the_bundles_own_catalogue_and_translated_only_where_they_mean_the_same():
    catalogue = load_catalogue()
    other = replace(catalogue.findings[3], name="blue granules", standard_term="Blue granules")
    own = replace(catalogue, findings=(*catalogue.findings[:3], other, *catalogue.findings[4:]))
    assert other.code == "NE04"
    text = rendered(full_record(), ReportContext(catalogue=own)).text
    assert "Blue granules" in text
    assert "Hypogranular or agranular neutrophil" not in text
    japanese = rendered(full_record(), ReportContext(language="ja", catalogue=own)).text
    assert "Blue granules" in japanese
    assert "低顆粒・脱顆粒好中球" not in japanese
    assert "過分葉好中球" in japanese


def test_a_class_of_the_analyzer_that_names_several_types_or_none_is_no_dissent():
    record = full_record()
    for cell in record["cells"]:
        cell["preclass"] = {"SNE": "Neutrophil", "BNE": "neut", "LY": "something else"}.get(cell["type"])
    record["preclass"] = {"compared": 50, "disagree": 0}
    text = rendered(record).text
    assert "On 0 of 50 cells (0.0 %)" in text
    assert "analyzer: " not in text


def test_codes_are_explained_in_words_before_the_records_own_text():
    text = rendered(not_evaluable()).text
    assert re.search(r"Too few leucocytes:\s+counted 27 leucocytes, at least 50 needed\s+WBC-TOO-FEW", text)


def test_the_reason_stands_beside_the_call_with_its_three_largest_parts():
    hypogranular = "Hypogranular or agranular neutrophil +0.91"
    pelger = "Pseudo-Pelger-Huet anomaly (bilobed nucleus) +0.64"
    assert f"Mostly from: {hypogranular}; {pelger}; Blast, share +0.32." in rendered(full_record()).text


def test_a_slide_without_a_score_names_no_reason_for_one():
    assert "Mostly from" not in rendered(STATES["not-evaluable"]()[0]).text


def test_an_unidentified_cell_says_what_it_is_perhaps_and_a_named_cell_does_not():
    record = full_record()
    unidentified = [cell for cell in record["cells"] if cell["flags"] == ["UNIDENTIFIED"]]
    assert rendered(record).text.count("perhaps Myelocyte") == len(unidentified) == 2


def test_a_finding_with_two_names_has_both_in_the_table_of_findings():
    text = " ".join(rendered(full_record()).text.split())
    assert "Hypogranular or agranular neutrophil NE04 Degranulation 18 of 50" in text
