"""edge-report lists the newest revision of every slide and hides nothing that it could not read."""

from __future__ import annotations

import json

import pytest
from records import assessment, example_record, with_use
from report_examples import full_record
from test_html_report import Page

from edge.commands.report import main
from edge.delivery.names import final_name_from_record
from edge.record_text import record_bytes, revise_record
from edge.writers.html_report import render_report


def archive(folder, record, *, report: bool = True) -> None:
    place = folder / record["message_id"][:2]
    place.mkdir(exist_ok=True)
    (place / f"{record['message_id']}.json").write_bytes(record_bytes(record))
    if report:
        (place / f"{record['message_id']}.html").write_bytes(render_report(record, {}))


def withdrawn(record):
    return revise_record(
        record, status="W", revision=2, supersedes=record["message_id"], reason="wrong sample",
        message_id=record["message_id"].replace(".R1", ".R2"), analysed_at="2026-11-23T19:00:00+09:00",
    )  # fmt: skip


def test_the_newest_revision_stands_for_the_slide_and_leads_to_the_newest_report_there_is(tmp_path, capsys):
    record = example_record()
    archive(tmp_path, record)
    archive(tmp_path, withdrawn(record), report=False)
    assert main([str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["slides"], facts["revisions"]) == (1, 2)
    page = Page((tmp_path / "index.html").read_bytes())
    assert "WITHDRAWN" in page.text
    assert "PRELIMINARY" not in page.text
    assert page.values("href") == ["./9F/9F3C21AA04B7.R1.html", "./9F/9F3C21AA04B7.R2.json"]


def test_a_record_that_cannot_be_read_is_named_on_the_page_and_on_the_terminal(tmp_path, capsys):
    archive(tmp_path, example_record())
    (tmp_path / "torn.json").write_bytes(record_bytes(example_record())[:1000])
    broken = {**example_record(), "leucocytes": 7}
    (tmp_path / "wrong.json").write_text(json.dumps(broken))
    assert main([str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "not listed: torn.json" in output
    assert "not listed: wrong.json" in output
    text = Page((tmp_path / "index.html").read_bytes()).text
    assert "torn.json" in text
    assert "wrong.json" in text


def changed_text(old: str, new: str) -> bytes:
    content = record_bytes(full_record()).decode()
    assert old in content
    return content.replace(old, new, 1).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: changed_text('"what_would_change":[{"name":"', '"what_would_change":[{"name":"ZZ_'), "ZZ_"),
        (lambda: changed_text('"negative_median"', '"other"'), "negative_median"),
        (lambda: changed_text('"images":', '"images":1' + "0" * 400), "images"),
        (lambda: changed_text('"margin":', '"margin":1' + "0" * 400 + ',"was":'), "int too large"),
        (lambda: b"[" * 200_000, "recursion"),
    ],
)
def test_one_record_that_is_odd_in_any_way_is_named_and_takes_nothing_else_off_the_page(
    tmp_path, capsys, content, said
):
    archive(tmp_path, example_record())
    (tmp_path / "odd.json").write_bytes(content())
    assert main([str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "1 slides, 1 revisions" in output
    assert said in output.partition("not listed: odd.json")[2]


def test_a_result_whose_withdrawal_cannot_be_read_does_not_stand_as_if_nothing_had_come_after_it(tmp_path):
    record = with_use(example_record(), "clinical")
    archive(tmp_path, record)
    (tmp_path / "9F3C21AA04B7.R2.json").write_bytes(record_bytes(withdrawn(record))[:1000])
    (tmp_path / "0000000000AA.R2.json").write_bytes(b"{")
    main([str(tmp_path)])
    text = Page((tmp_path / "index.html").read_bytes()).text
    assert "PRELIMINARY, a newer revision cannot be read" in text
    assert text.count("a newer revision cannot be read") == 1


def test_it_does_not_stand_so_in_a_folder_that_an_output_has_filled_either(tmp_path):
    record = with_use(example_record(), "clinical")
    before, after = (final_name_from_record(made, ".json") for made in (record, withdrawn(record)))
    (tmp_path / before).write_bytes(record_bytes(record))
    (tmp_path / after).write_bytes(record_bytes(withdrawn(record))[:1000])
    (tmp_path / after.replace("A0042", "B0042")).write_bytes(b"{")
    main([str(tmp_path)])
    text = Page((tmp_path / "index.html").read_bytes()).text
    assert "PRELIMINARY, a newer revision cannot be read" in text
    assert text.count("a newer revision cannot be read") == 1
    assert f"{after}/9F3C21AA04B7.R2" in text


def test_each_result_that_a_file_without_a_readable_record_may_withdraw_is_marked(tmp_path):
    """Two sources, or late files, give one slide key several beginnings of message ids."""
    for base in ("AAAAAAAAAAAA", "BBBBBBBBBBBB"):
        record = with_use(example_record(message_id=f"{base}.R1"), "clinical")
        (tmp_path / final_name_from_record(record, ".json")).write_bytes(record_bytes(record))
    torn = final_name_from_record(withdrawn(example_record()), ".json")
    (tmp_path / torn).write_bytes(b"{")
    main([str(tmp_path)])
    text = Page((tmp_path / "index.html").read_bytes()).text
    assert text.count("PRELIMINARY, a newer revision cannot be read") == 2


def test_the_page_may_stand_elsewhere_and_its_links_still_hold(tmp_path, capsys):
    store = tmp_path / "archive with space"
    store.mkdir()
    archive(store, example_record())
    page = tmp_path / "lab" / "results.html"
    page.parent.mkdir()
    assert main([str(store), "--output", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    assert Page(page.read_bytes()).values("href")[0] == "./../archive%20with%20space/9F/9F3C21AA04B7.R1.html"


def test_other_files_are_left_alone_and_an_empty_folder_is_said_to_be_one(tmp_path, capsys):
    (tmp_path / "parity.json").write_text('{"verdict": "PROVEN"}')
    assert main([str(tmp_path)]) == 2
    assert "MDSE-WRITER-006" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 2


def test_identifiers_on_the_index_stay_text(tmp_path):
    record = example_record()
    record["slide"] = {**record["slide"], "sample_id": "<script>alert(1)</script>", "slide_key": "javascript:x"}
    archive(tmp_path, record)
    main([str(tmp_path)])
    content = (tmp_path / "index.html").read_bytes()
    assert content.count(b"<script") == 1
    assert "<script>alert(1)</script>" in Page(content).text


def series(folder, scores, *, sample_id: str = "0012345678", **changes) -> None:
    """Archive one slide a month of a sample id; a score of None is a slide that could not be scored."""
    for number, score in enumerate(scores, start=1):
        record = {**example_record(), **changes}
        record["message_id"] = f"{len(list(folder.iterdir())):02d}{sample_id[-4:]}{number:02d}.R1"
        record["analysed_at"] = f"2026-{number:02d}-03T18:00:00+09:00"
        record["slide"] = {**record["slide"], "sample_id": sample_id, "slide_key": f"{sample_id}_S{number}"}
        record["slide"]["acquired_at"] = None
        if score is None:
            record["assessments"] = [assessment("NOT-EVALUABLE", None)]
        else:
            interval = (max(score - 0.2, 0), min(score + 0.2, 1))
            record["assessments"] = [assessment("INDETERMINATE", score, interval)]
        archive(folder, record)


def test_the_slides_of_a_sample_id_are_one_line_through_time(tmp_path):
    series(tmp_path, [0.4, 0.45, 0.6])
    assert main([str(tmp_path)]) == 0
    page = Page((tmp_path / "index.html").read_bytes())
    assert "MDS score: 0.400, 0.450, 0.600" in page.values("aria-label")
    assert "Neutrophils, %: 50.0, 50.0, 50.0" in page.values("aria-label")
    assert "2026-01-03 \u2013 2026-03-03" in page.text
    lines = [attrs for _, attrs in page.elements if attrs.get("class") == "spark"]
    heights = [float(step.split()[1]) for step in lines[0]["d"].replace("M", "").split("L")]
    assert heights[0] > heights[1] > heights[2], "a higher score stands higher"
    assert len([attrs for _, attrs in page.elements if attrs.get("class") == "spark-point"]) == 5 * 3


def filmed(folder, place: int, month: int, **slide: object):
    """Archive a slide of the sample id that was first analyzed in a month; return its record."""
    made = example_record()
    made = example_record(
        message_id=f"{place:012X}.R1", analysed_at=f"2026-{month:02d}-03T10:00:00+09:00",
        assessments=[assessment("MDS-SUSPECT", place / 10, (place / 10, place / 10))],
        slide={**made["slide"], "slide_key": f"S{place}", "sample_id": "0087654321", **slide},
    )  # fmt: skip
    archive(folder, made)
    return made


def test_an_older_film_that_is_finalized_later_does_not_become_the_newest_point(tmp_path):
    older = filmed(tmp_path, 6, 1, acquired_at=None)
    filmed(tmp_path, 7, 2, acquired_at=None)
    finalized = revise_record(
        older, status="F", revision=2, supersedes=older["message_id"], reason="read at the microscope",
        message_id=older["message_id"].replace(".R1", ".R2"), analysed_at="2026-03-03T10:00:00+09:00",
    )  # fmt: skip
    archive(tmp_path, finalized, report=False)
    main([str(tmp_path)])
    page = Page((tmp_path / "index.html").read_bytes())
    assert "MDS score: 0.600, 0.700" in page.values("aria-label")
    assert "2026-01-03 \u2013 2026-02-03" in page.text


def test_films_stand_in_the_order_in_which_they_were_acquired_where_the_export_says_it_of_all(tmp_path):
    filmed(tmp_path, 6, 2, acquired_at="2025-12-01T09:00:00+09:00")
    filmed(tmp_path, 7, 1, acquired_at="2025-12-02T09:00:00+09:00")
    main([str(tmp_path)])
    assert "MDS score: 0.600, 0.700" in Page((tmp_path / "index.html").read_bytes()).values("aria-label")
    filmed(tmp_path, 8, 3, acquired_at="2025-11-01T09:00:00")
    main([str(tmp_path)])
    labels = Page((tmp_path / "index.html").read_bytes()).values("aria-label")
    assert "MDS score: 0.700, 0.600, 0.800" in labels, "a time without its zone orders nothing"


def test_a_time_that_an_earlier_revision_lacked_does_not_turn_the_order_of_the_films(tmp_path):
    lacking = filmed(tmp_path, 6, 3, acquired_at=None)
    later = revise_record(
        lacking, status="P", revision=2, supersedes=lacking["message_id"], reason="late files",
        message_id=lacking["message_id"].replace(".R1", ".R2"), analysed_at="2026-03-04T10:00:00+09:00",
    )  # fmt: skip
    later["slide"] = {**later["slide"], "acquired_at": "2025-11-01T01:00:00+00:00"}
    archive(tmp_path, later, report=False)
    filmed(tmp_path, 7, 2, acquired_at="2025-12-01T09:00:00+09:00")
    main([str(tmp_path)])
    page = Page((tmp_path / "index.html").read_bytes())
    assert "MDS score: 0.600, 0.700" in page.values("aria-label")
    assert "2025-11-01 10:00:00+09:00" in page.text, "told in the offset of the record, as the others are"


def test_a_slide_without_a_score_interrupts_the_line_instead_of_being_zero(tmp_path):
    series(tmp_path, [0.4, None, 0.6, 0.7])
    main([str(tmp_path)])
    page = Page((tmp_path / "index.html").read_bytes())
    assert "MDS score: 0.400, \u2013, 0.600, 0.700" in page.values("aria-label")
    line = next(attrs["d"] for _, attrs in page.elements if attrs.get("class") == "spark")
    assert (line.count("M"), line.count("L")) == (2, 1)


def test_a_withdrawn_slide_is_listed_but_has_no_part_in_the_trend(tmp_path):
    series(tmp_path, [0.4])
    series(tmp_path, [0.9], sample_id="0087654321", status="W")
    main([str(tmp_path)])
    page = Page((tmp_path / "index.html").read_bytes())
    trends, listed = page.text.rsplit("All slides", 1)
    assert "0012345678" in trends
    assert "0087654321" not in trends
    assert "0087654321" in listed


def test_a_test_or_a_degraded_run_is_marked_and_no_test_is_a_point_on_a_line_of_results(tmp_path):
    series(tmp_path, [0.4, 0.5])
    series(tmp_path, [0.9], mode="T")
    series(tmp_path, [0.3], provenance={**example_record()["provenance"], "degraded": True}, sample_id="0087654321")
    main([str(tmp_path)])
    page = Page((tmp_path / "index.html").read_bytes())
    trends, listed = page.text.rsplit("All slides", 1)
    assert "MDS score: 0.400, 0.500" in page.values("aria-label")
    assert "0012345678, TEST" in trends
    assert "PRELIMINARY, TEST" in listed
    assert "PRELIMINARY, RESEARCH USE ONLY, DEGRADED" in listed


def test_the_index_can_be_in_japanese(tmp_path):
    series(tmp_path, [0.4, 0.5])
    main([str(tmp_path), "--language", "ja"])
    page = Page((tmp_path / "index.html").read_bytes())
    assert ("html", {"lang": "ja"}) in page.elements
    assert "検体番号別の推移" in page.text
