"""Which bundles have run here: an older one is never put in the place of a newer one unseen.

A signature says who sealed a bundle, not that it is the wanted one: a bundle with a known fault stays validly signed
for ever. Versions are compared by the numbers in them (`2026.1` < `2026.10`), per bundle name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edge.audit import AuditEvent
from edge.daemon.books import Books
from edge.errors import EdgeError

_NUMBER = re.compile(r"[0-9]+")


def version_key(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparison."""
    return tuple(int(number[:18]) for number in _NUMBER.findall(version))


def admit_bundle(books: Books, facts: Mapping[str, Any]) -> None:
    """Remember the newest version of this bundle; raises EdgeError MDSE-DAEMON-016 for an older one.

    With `bundle.allow_older` an older one is let in, and that is written into the audit each time.
    """
    name, version = str(facts["bundle"]), str(facts["version"])
    key, journal = f"bundle {name}", books.journal
    row = journal.connection.execute("SELECT value FROM meta WHERE name = ?", (key,)).fetchone()
    newest = str(row[0]) if row else ""
    if row is None or version_key(version) > version_key(newest):
        with journal.change():
            journal.connection.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (key, version)
            )
            journal.note(AuditEvent("daemon", "newest bundle", "journal", newest, version, {"bundle": name}))
        return
    if version_key(version) == version_key(newest):
        return
    if not books.config.bundle.allow_older:
        raise EdgeError(
            "MDSE-DAEMON-016", where=str(books.config.bundle.path), name=name, version=version, newest=newest
        )
    with journal.change():
        detail = {"bundle": name, "digest": facts.get("digest")}
        journal.note(AuditEvent("daemon", "older bundle allowed", "journal", newest, version, detail))
