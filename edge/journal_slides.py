"""The journal's book of slides: which folder arrived, in which state it is, and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from edge.audit import AuditEvent
from edge.errors import EdgeError
from edge.journal_rows import SLIDE_COLUMNS, SlideRow
from edge.journal_states import NEW_SLIDE_STATES, SLIDE_MOVES

if TYPE_CHECKING:
    from edge.journal import Journal

SETTABLE = frozenset(SLIDE_COLUMNS.split(", ")) - {"id", "source", "slide_key", "folder", "arrival", "state"}


class SlideBook:
    """Reads and changes rows of `slides`. Every change of a state is checked, dated and audited."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._journal.connection

    def _select(self, condition: str, values: Sequence[object] = ()) -> list[SlideRow]:
        rows = self._connection.execute(f"SELECT {SLIDE_COLUMNS} FROM slides {condition}", values)  # noqa: S608 - our own words
        return [SlideRow(*row) for row in rows]

    def add(self, source: str, slide_key: str, folder: bytes, *, state: str = "SEEN", **columns: object) -> SlideRow:
        """Add an arrival (`SEEN`, or `LATE` beside an earlier one) and return its row."""
        if state not in NEW_SLIDE_STATES:
            raise ValueError(f"a slide does not begin as {state}")
        check_columns(columns)
        now = self._journal.now()
        with self._journal.change():
            arrival = self._connection.execute(
                "SELECT coalesce(max(arrival), 0) + 1 FROM slides WHERE source = ? AND slide_key = ?",
                (source, slide_key),
            ).fetchone()[0]
            identity = self._connection.execute(
                "INSERT INTO slides (source, slide_key, folder, arrival, state, seen_at, changed_at)"
                " VALUES (?,?,?,?,?,?,?) RETURNING id",
                (source, slide_key, folder, arrival, state, now, now),
            ).fetchone()[0]
            self._set(identity, columns)
            event = AuditEvent("daemon", "arrived", f"slide:{identity}", "", state, {"arrival": arrival})
            self._journal.note(event)
        return self.get(identity)

    def _set(self, slide_id: int, columns: dict[str, object]) -> None:
        if columns:
            names = ", ".join(f"{name} = ?" for name in columns)
            self._connection.execute(f"UPDATE slides SET {names} WHERE id = ?", (*columns.values(), slide_id))  # noqa: S608 - checked names

    def move(
        self, slide_id: int, state: str, *, by: str = "daemon", code: str = "", text: str = "", **columns: object
    ) -> SlideRow:
        """Change a slide's state, with reason and any other columns, and append the audit row.

        Raises EdgeError MDSE-JOURNAL-006 when the present state does not allow it, MDSE-JOURNAL-005 when unknown.
        """
        check_columns(columns)
        with self._journal.change():
            before = self.get(slide_id)
            if state not in SLIDE_MOVES[before.state]:
                raise EdgeError("MDSE-JOURNAL-006", where=f"slide {slide_id}", old=before.state, new=state)
            self._connection.execute("UPDATE slides SET state = ? WHERE id = ?", (state, slide_id))
            changed = {"reason_code": code, "reason_text": text, "changed_at": self._journal.now()}
            self._set(slide_id, {**columns, **changed})
            detail = {"code": code, "text": text, **{name: columns[name] for name in columns if name != "folder"}}
            self._journal.note(AuditEvent(by, "moved", f"slide:{slide_id}", before.state, state, detail))
        return self.get(slide_id)

    def amend(self, slide_id: int, action: str, *, by: str = "daemon", **columns: object) -> SlideRow:
        """Change columns without changing the state, with an audit row that names the action."""
        check_columns(columns)
        with self._journal.change():
            before = self.get(slide_id)
            self._set(slide_id, columns)
            self._journal.note(AuditEvent(by, action, f"slide:{slide_id}", before.state, before.state, dict(columns)))
        return self.get(slide_id)

    def begin_attempt(self, slide_id: int) -> int:
        """Count an attempt before the work begins, so that a slide that kills us is known after the restart."""
        attempts = self.get(slide_id).attempts + 1
        self.amend(slide_id, "attempt begun", attempts=attempts)
        return attempts

    def refund_attempt(self, slide_id: int) -> None:
        """Take an attempt back: it ended for a reason that is not the slide's (disk, stop of the daemon)."""
        self.amend(slide_id, "attempt not counted", attempts=max(0, self.get(slide_id).attempts - 1))

    def get(self, slide_id: int) -> SlideRow:
        """Return one slide; raises EdgeError MDSE-JOURNAL-005."""
        rows = self._select("WHERE id = ?", (slide_id,))
        if not rows:
            raise EdgeError("MDSE-JOURNAL-005", where=str(slide_id))
        return rows[0]

    def newest(self, source: str, slide_key: str) -> SlideRow | None:
        """Return the latest arrival of a folder, or None."""
        rows = self._select("WHERE source = ? AND slide_key = ? ORDER BY id DESC LIMIT 1", (source, slide_key))
        return rows[0] if rows else None

    def arrivals(self, source: str, slide_key: str) -> list[SlideRow]:
        """Return every arrival of a folder, oldest first."""
        return self._select("WHERE source = ? AND slide_key = ? ORDER BY id", (source, slide_key))

    def by_key(self, idempotency_key: str) -> SlideRow | None:
        """Return the slide with this source, slide key and manifest, or None."""
        rows = self._select("WHERE idempotency_key = ?", (idempotency_key,))
        return rows[0] if rows else None

    def was_purged(self, idempotency_key: str) -> bool:
        """Tell whether rows of this source, slide key and manifest were given back after their retention."""
        query = "SELECT 1 FROM purged WHERE idempotency_key = ?"
        return self._connection.execute(query, (idempotency_key,)).fetchone() is not None

    def was_content_purged(self, content_sha256: str) -> bool:
        """Tell whether rows of a slide with exactly these images were given back, under whatever name and sample id."""
        query = "SELECT 1 FROM purged WHERE content_sha256 = ? LIMIT 1"
        return self._connection.execute(query, (content_sha256,)).fetchone() is not None

    def purge(self, source: str, slide_key: str) -> int:
        """Delete every row of a folder; return how many arrivals there were.

        Digests are kept of what had its result, here or before this journal (ADOPTED): only that gets no second one.
        The audit keeps what happened, without the slide's key and sample id beyond what its earlier rows say.
        """
        rows = self.arrivals(source, slide_key)
        now = self._journal.now()
        made = self._journal.results.revisions_of_folder(source, slide_key)
        with_result = {revision.slide_id for revision in made if revision.status != "X"}
        with self._journal.change():
            for row in rows:
                is_known = row.id in with_result or row.reason_code == "ADOPTED"
                key = row.idempotency_key if is_known else None
                # The account counts the arrivals that were given back: one row for each.
                self._connection.execute(
                    "INSERT OR IGNORE INTO purged VALUES (?, ?, ?)",
                    (key or f"without a key {row.id} {now}", row.content_sha256 if is_known else None, now),
                )
            mine = "(SELECT id FROM slides WHERE source = ? AND slide_key = ?)"
            names = (source, slide_key)
            self._connection.execute(
                f"DELETE FROM deliveries WHERE revision_id IN (SELECT id FROM revisions WHERE slide_id IN {mine})",  # noqa: S608 - our own words
                names,
            )
            self._connection.execute(f"DELETE FROM revisions WHERE slide_id IN {mine}", names)  # noqa: S608 - as above
            self._connection.execute(f"UPDATE slides SET related_slide = NULL WHERE related_slide IN {mine}", names)  # noqa: S608 - as above
            self._connection.execute("DELETE FROM slides WHERE source = ? AND slide_key = ?", names)
            for row in rows:
                event = AuditEvent("daemon", "purged", f"slide:{row.id}", row.state, "", {"key": row.idempotency_key})
                self._journal.note(event)
        return len(rows)

    def with_content(self, content_sha256: str) -> list[SlideRow]:
        """Return slides that hold exactly these images, under whatever name, oldest first."""
        return self._select("WHERE content_sha256 = ? ORDER BY id", (content_sha256,))

    def filed(self, sample_id: str, label: str) -> list[SlideRow]:
        """Return the arrivals of a sample, from any source, whose result has this label or one that is not known."""
        # UNION: for an OR, SQLite walks through every slide of the sample.
        of_sample = "SELECT id FROM slides WHERE sample_id = ?1 AND filed_as"
        condition = f"WHERE id IN ({of_sample} = ?2 UNION {of_sample} IS NULL) ORDER BY id"
        return self._select(condition, (sample_id, label))

    def duplicates_of(self, slide_id: int) -> list[SlideRow]:
        """Return the slides that were set aside as copies of this one, oldest first."""
        return self._select("WHERE state = 'DUPLICATE' AND related_slide = ? ORDER BY id", (slide_id,))

    def in_states(self, states: Iterable[str], *, source: str | None = None, limit: int = -1) -> list[SlideRow]:
        """Return slides in any of the states, oldest first."""
        names = list(states)
        marks = ",".join("?" * len(names))
        extra, values = (" AND source = ?", [source]) if source is not None else ("", [])
        return self._select(f"WHERE state IN ({marks}){extra} ORDER BY id LIMIT ?", [*names, *values, limit])

    def newest_of_source(self, source: str) -> list[SlideRow]:
        """Return the latest arrival of every folder of a source: what a scanner has to know."""
        condition = "WHERE id IN (SELECT max(id) FROM slides WHERE source = ? GROUP BY slide_key) ORDER BY id"
        return self._select(condition, (source,))

    def listed_folders(self, source: str) -> Iterator[tuple[bytes, str, str | None, int]]:
        """Yield folder, state, signature and release of the latest arrival of every folder that is still listed."""
        query = (
            "SELECT folder, state, signature, released, max(id), unlisted_at FROM slides WHERE source = ?"
            # The bare columns are those of the row with max(id) (SQLite's documentation).
            " GROUP BY slide_key ORDER BY max(id)"
        )
        for folder, state, signature, released, _, unlisted_at in self._connection.execute(query, (source,)):
            if unlisted_at is None:
                yield bytes(folder), str(state), signature, int(released)

    def count(self, state: str) -> int:
        """Return the number of slides in one state; unlike `counts` it costs nothing for those in the others."""
        return int(self._connection.execute("SELECT count(*) FROM slides WHERE state = ?", (state,)).fetchone()[0])

    def counts(self) -> dict[str, int]:
        """Return the number of slides per state, every state named."""
        found = dict(self._connection.execute("SELECT state, count(*) FROM slides GROUP BY state"))
        return {state: found.get(state, 0) for state in SLIDE_MOVES}

    def spooled_by_urgency(self) -> list[SlideRow]:
        """Return the slides that wait for the worker: STAT orders first, then the oldest."""
        return self._select("WHERE state = 'SPOOLED' ORDER BY priority DESC, id")


def check_columns(columns: dict[str, object]) -> None:
    """Refuse names that are not columns: they become part of a statement."""
    unknown = set(columns) - SETTABLE
    if unknown:
        raise ValueError(f"not columns of slides: {sorted(unknown)}")
