"""An older bundle needs a decision, and the decision is in the audit."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import config_from_text
from edge.daemon.books import Books, utc_now, utc_text
from edge.daemon.bundle_history import admit_bundle, version_key
from edge.daemon.state_folders import StateFolders
from edge.errors import EdgeError
from edge.journal import open_journal

CONFIG = """
site = {{ id = "T", timezone = "UTC", state_dir = "{0}/state" }}
bundle = {{ path = "{0}/bundle", allow_older = {1} }}
source = [{{ id = "di60", path = "{0}/export" }}]
output = [{{ format = "json", path = "{0}/drop", ack = "none" }}]
"""


@pytest.fixture
def books_with(tmp_path: Path):
    folders = StateFolders(tmp_path / "state")
    folders.make()
    journal = open_journal(folders.journal, now=lambda: utc_text(utc_now()))
    yield lambda allowed: Books(config_from_text(CONFIG.format(tmp_path, allowed)), journal, folders, utc_now)
    journal.close()


def facts(version: str, name: str = "wbc") -> dict[str, str]:
    return {"bundle": name, "version": version, "digest": "0" * 64}


@pytest.mark.case("H11")
def test_an_older_bundle_is_refused_after_a_newer_one_and_let_in_with_an_audit_row(books_with) -> None:
    books = books_with("false")
    admit_bundle(books, facts("2026.9"))
    admit_bundle(books, facts("2026.10"))
    admit_bundle(books, facts("2026.10"))
    admit_bundle(books, facts("1.0", name="other"))
    with pytest.raises(EdgeError, match=r"MDSE-DAEMON-016.*2026.9.*2026.10") as caught:
        admit_bundle(books, facts("2026.9"))
    assert caught.value.exit_status == 78
    admit_bundle(books_with("true"), facts("2026.9"))
    row = books.journal.connection.execute("SELECT action, old, new FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    assert row == ("older bundle allowed", "2026.10", "2026.9")
    with pytest.raises(EdgeError, match="MDSE-DAEMON-016"):
        admit_bundle(books_with("false"), facts("2026.9"))


def test_versions_are_compared_by_their_numbers() -> None:
    assert version_key("wbc-2026.10") > version_key("2026.9")
    assert version_key("1.2") < version_key("1.2.1")
