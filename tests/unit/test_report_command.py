"""edge-report lists the newest revision of every slide and hides nothing that it could not read."""

from __future__ import annotations

import json

from records import example_record
from test_html_report import Page

from edge.commands.report import main
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
