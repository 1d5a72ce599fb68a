"""What the journal's books say in words: each audit row whole, each refusal with its place and its facts.

A person who asks years later what became of a slide has these words alone.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from test_journal import intent, journal, journal_of_version_1, path, revision, spooled  # noqa: F401 - two are fixtures

from edge.daemon.durable import free_files
from edge.errors import EdgeError
from edge.journal import Journal, open_journal
from edge.journal_schema import SCHEMA_VERSION


def newest_rows(book: Journal, count: int) -> list[tuple[Any, ...]]:
    """Return the newest audit rows, oldest first: (actor, action, subject, old, new, detail)."""
    query = "SELECT actor, action, subject, old, new, detail FROM audit ORDER BY seq DESC LIMIT ?"
    return [(*row[:5], json.loads(row[5])) for row in reversed(book.connection.execute(query, (count,)).fetchall())]


def test_an_amendment_says_what_was_set(journal: Journal) -> None:  # noqa: F811 - the fixture
    slide = spooled(journal)
    journal.slides.amend(slide, "named", by="K. Sato", sample_id="0007", priority=1)
    facts = {"sample_id": "0007", "priority": 1}
    assert newest_rows(journal, 1) == [("K. Sato", "named", f"slide:{slide}", "SPOOLED", "SPOOLED", facts)]


def test_attempts_are_told_when_they_begin_and_when_they_do_not_count(journal: Journal) -> None:  # noqa: F811 - the fixture
    slide = spooled(journal)
    journal.slides.begin_attempt(slide)
    journal.slides.refund_attempt(slide)
    assert newest_rows(journal, 2) == [
        ("daemon", "attempt begun", f"slide:{slide}", "SPOOLED", "SPOOLED", {"attempts": 1}),
        ("daemon", "attempt not counted", f"slide:{slide}", "SPOOLED", "SPOOLED", {"attempts": 0}),
    ]


def test_a_purge_leaves_the_state_and_the_identity_of_every_arrival(journal: Journal) -> None:  # noqa: F811 - the fixture
    slide = spooled(journal)
    late = journal.slides.add("di60", "A1", b"A1", state="LATE").id
    assert journal.slides.purge("di60", "A1") == 2
    assert newest_rows(journal, 2) == [
        ("daemon", "purged", f"slide:{slide}", "SPOOLED", "", {"key": "key-A1"}),
        ("daemon", "purged", f"slide:{late}", "LATE", "", {"key": None}),
    ]


def test_a_delivery_says_under_which_name_it_was_staged_and_why_it_moved(journal: Journal) -> None:  # noqa: F811 - the fixture
    made = journal.results.add_revision(spooled(journal), revision(), [intent()])
    delivery = journal.results.deliveries_of(made.id)[0].id
    journal.results.move_delivery(delivery, "STAGED", staged_name=".a.tmp", text="written")
    journal.results.move_delivery(delivery, "SENT", by="deliver")
    name = f"delivery:{delivery}"
    assert newest_rows(journal, 2) == [
        ("daemon", "moved", name, "RENDERED", "STAGED", {"text": "written", "staged_name": ".a.tmp"}),
        ("deliver", "moved", name, "STAGED", "SENT", {"text": ""}),
    ]


def test_a_migration_says_who_made_it_of_what_and_between_which_versions(path: Path) -> None:  # noqa: F811 - the fixture
    journal_of_version_1(path)
    opened = open_journal(path, now=lambda: "2026-11-23T09:00:00.000Z")
    assert newest_rows(opened, 1)[0][:5] == ("daemon", "journal migrated", "journal", "1", str(SCHEMA_VERSION))
    opened.close()


def test_a_move_that_is_not_allowed_names_the_row_and_both_states(journal: Journal) -> None:  # noqa: F811 - the fixture
    made = journal.results.add_revision(spooled(journal), revision(), [intent()])
    delivery = journal.results.deliveries_of(made.id)[0].id
    with pytest.raises(EdgeError, match=r"it is RENDERED and cannot become SENT\.") as refusal:
        journal.results.move_delivery(delivery, "SENT")
    assert refusal.value.where == f"delivery {delivery}"


def test_bytes_that_changed_are_refused_with_the_delivery_and_the_reason(journal: Journal) -> None:  # noqa: F811 - the fixture
    made = journal.results.add_revision(spooled(journal), revision(), [intent()])
    delivery = journal.results.deliveries_of(made.id)[0].id
    journal.connection.execute("UPDATE deliveries SET content = x'00'")
    with pytest.raises(EdgeError, match="the kept bytes do not match their digest") as refusal:
        journal.results.content(delivery)
    assert refusal.value.where == f"delivery {delivery}"


def test_deliveries_of_an_output_come_oldest_first_or_newest_first(journal: Journal) -> None:  # noqa: F811 - the fixture
    for key, number in (("A1", 1), ("A2", 2)):
        journal.results.add_revision(spooled(journal, key), revision(number), [intent(name=f"{key}.json")])
    for newest, names in ((False, ["A1.json", "A2.json"]), (True, ["A2.json", "A1.json"])):
        rows = journal.results.deliveries("json:/drop", ["RENDERED"], newest=newest)
        assert [row.final_name for row in rows] == names


def make_foreign(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA application_id = 7")


def make_newer(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (make_foreign, "MDSE-JOURNAL-004", ""),
        (make_newer, "MDSE-JOURNAL-002", f"(format 99; this one knows {SCHEMA_VERSION})"),
    ],
)
def test_a_journal_that_is_not_ours_to_open_is_named_in_the_refusal(journal, path, change, code, words) -> None:  # noqa: F811 - the fixture
    change(journal.connection)
    journal.close()
    with pytest.raises(EdgeError) as refusal:
        open_journal(path, now=lambda: "t")
    assert (refusal.value.code, refusal.value.where) == (code, str(path))
    assert words in str(refusal.value)


@pytest.mark.parametrize(("files", "free", "expected"), [(100, 7, 7), (0, 0, float("inf"))])
def test_a_file_system_that_counts_no_files_never_runs_out_of_them(tmp_path, monkeypatch, files, free, expected):
    facts = type("Facts", (), {"f_files": files, "f_favail": free})
    monkeypatch.setattr("edge.daemon.durable.os.statvfs", lambda folder: facts)
    assert free_files(tmp_path) == expected
