"""The journal's book of results: each revision that was made, and its way to each output."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.audit import AuditEvent
from edge.errors import EdgeError
from edge.journal_rows import DELIVERY_COLUMNS, REVISION_COLUMNS, DeliveryIntent, DeliveryRow, RevisionRow
from edge.journal_states import DELIVERY_MOVES, UNDELIVERED

if TYPE_CHECKING:
    from edge.journal import Journal

# CROSS JOIN keeps SQLite to this order, from the one delivery's folder on. Left to itself it looks through all of the
# output's deliveries, for every row anew: 2 s for 50 refused ones among 100,000.
IS_REPLACED = (
    "EXISTS (SELECT 1 FROM revisions r CROSS JOIN slides o ON o.id = r.slide_id"
    " CROSS JOIN slides t ON t.source = o.source AND t.slide_key = o.slide_key"
    " CROSS JOIN revisions s ON s.slide_id = t.id CROSS JOIN deliveries e ON e.revision_id = s.id"
    " AND e.output = d.output AND (s.number > r.number OR (s.id = r.id AND e.copy > d.copy))"
    " WHERE r.id = d.revision_id)"
)
"""Of a row `d` of deliveries: a newer result of its folder, or a later copy, is planned for its output or was sent."""


@dataclass(frozen=True, slots=True)
class NewRevision:
    """What the journal keeps of a result that lies, synced, in the archive."""

    number: int
    message_id: str
    status: str
    mode: str
    record_sha256: str
    report_sha256: str | None
    bundle_digest: str
    supersedes: str | None
    made_by: str
    reason: str | None


class ResultBook:
    """Reads and changes rows of `revisions` and `deliveries`. Every change of a state is checked and audited."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._journal.connection

    def add_revision(self, slide_id: int, new: NewRevision, intents: Iterable[DeliveryIntent]) -> RevisionRow:
        """Record a result and, in the same transaction, what is to be delivered where."""
        with self._journal.change():
            identity = self._connection.execute(
                "INSERT INTO revisions (slide_id, number, message_id, status, mode, record_sha256, report_sha256,"
                " bundle_digest, supersedes, made_by, reason, made_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) RETURNING id",
                (
                    slide_id,
                    new.number,
                    new.message_id,
                    new.status,
                    new.mode,
                    new.record_sha256,
                    new.report_sha256,
                    new.bundle_digest,
                    new.supersedes,
                    new.made_by,
                    new.reason,
                    self._journal.now(),
                ),
            ).fetchone()[0]
            detail = {
                "slide": slide_id,
                "message_id": new.message_id,
                "status": new.status,
                "reason": new.reason,
                "record_sha256": new.record_sha256,
                "bundle": new.bundle_digest,
                "supersedes": new.supersedes,
            }
            self._journal.note(AuditEvent(new.made_by, "result made", f"revision:{identity}", "", new.status, detail))
            for intent in intents:
                self.add_delivery(identity, intent, copy=intent.copy, by=new.made_by)
        return self.revision(new.message_id)

    def add_delivery(self, revision_id: int, intent: DeliveryIntent, *, copy: int = 1, by: str = "daemon") -> int:
        """Record what is to be delivered to one output; returns the delivery's id."""
        state = "PARKED" if intent.parked else "RENDERED"
        now = self._journal.now()
        with self._journal.change():
            identity = int(
                self._connection.execute(
                    "INSERT INTO deliveries (revision_id, output, state, final_name, content, sha256, size, copy,"
                    " reason_text, made_at, changed_at) VALUES (?,?,?,?,?,?,?,?,?,?,?) RETURNING id",
                    (
                        revision_id,
                        intent.output,
                        state,
                        intent.final_name,
                        intent.content,
                        intent.sha256,
                        intent.size,
                        copy,
                        intent.parked,
                        now,
                        now,
                    ),
                ).fetchone()[0]
            )
            detail = {
                "revision": revision_id,
                "output": intent.output,
                "final_name": intent.final_name,
                "sha256": intent.sha256,
                "text": intent.parked,
            }
            self._journal.note(AuditEvent(by, "delivery planned", f"delivery:{identity}", "", state, detail))
        return identity

    def move_delivery(
        self, delivery_id: int, state: str, *, by: str = "daemon", text: str = "", staged_name: str | None = None
    ) -> None:
        """Change a delivery's state, with the audit row; raises EdgeError MDSE-JOURNAL-006 when not allowed."""
        with self._journal.change():
            before = self.delivery(delivery_id)
            if state not in DELIVERY_MOVES[before.state]:
                raise EdgeError("MDSE-JOURNAL-006", where=f"delivery {delivery_id}", old=before.state, new=state)
            self._connection.execute(
                "UPDATE deliveries SET state = ?, reason_text = ?, staged_name = coalesce(?, staged_name),"
                " changed_at = ? WHERE id = ?",
                (state, text, staged_name, self._journal.now(), delivery_id),
            )
            if state == "ARCHIVED":
                self._connection.execute("UPDATE deliveries SET content = NULL WHERE id = ?", (delivery_id,))
            detail = {"text": text, "staged_name": staged_name} if staged_name else {"text": text}
            self._journal.note(AuditEvent(by, "moved", f"delivery:{delivery_id}", before.state, state, detail))

    def rerender(self, delivery_id: int, intent: DeliveryIntent, *, by: str) -> None:
        """Give a PARKED delivery the bytes that pass the check now; it becomes RENDERED."""
        with self._journal.change():
            self._connection.execute(
                "UPDATE deliveries SET final_name = ?, content = ?, sha256 = ?, size = ? WHERE id = ?",
                (intent.final_name, intent.content, intent.sha256, intent.size, delivery_id),
            )
            self.move_delivery(delivery_id, "RENDERED", by=by, text="rendered again")

    def revision(self, message_id: str) -> RevisionRow:
        """Return a revision by its message id; raises EdgeError MDSE-JOURNAL-005."""
        rows = self._revisions("WHERE message_id = ?", (message_id,))
        if not rows:
            raise EdgeError("MDSE-JOURNAL-005", where=message_id)
        return rows[0]

    def is_used(self, message_id: str) -> bool:
        """Tell whether a revision has this message id."""
        return bool(self._revisions("WHERE message_id = ?", (message_id,)))

    def _revisions(self, condition: str, values: Sequence[object]) -> list[RevisionRow]:
        rows = self._connection.execute(f"SELECT {REVISION_COLUMNS} FROM revisions {condition}", values)  # noqa: S608 - our own words
        return [RevisionRow(*row) for row in rows]

    def revisions_of_folder(self, source: str, slide_key: str) -> list[RevisionRow]:
        """Return every revision of a slide key, over all its arrivals, oldest first."""
        condition = "WHERE slide_id IN (SELECT id FROM slides WHERE source = ? AND slide_key = ?) ORDER BY number, id"
        return self._revisions(condition, (source, slide_key))

    def revision_by_id(self, revision_id: int) -> RevisionRow:
        """Return a revision by its row id; raises EdgeError MDSE-JOURNAL-005."""
        rows = self._revisions("WHERE id = ?", (revision_id,))
        if not rows:
            raise EdgeError("MDSE-JOURNAL-005", where=f"revision {revision_id}")
        return rows[0]

    def _deliveries(self, condition: str, values: Sequence[object]) -> list[DeliveryRow]:
        rows = self._connection.execute(f"SELECT {DELIVERY_COLUMNS} FROM deliveries {condition}", values)  # noqa: S608 - our own words
        return [DeliveryRow(*row) for row in rows]

    def delivery(self, delivery_id: int) -> DeliveryRow:
        """Return one delivery; raises EdgeError MDSE-JOURNAL-005."""
        rows = self._deliveries("WHERE id = ?", (delivery_id,))
        if not rows:
            raise EdgeError("MDSE-JOURNAL-005", where=f"delivery {delivery_id}")
        return rows[0]

    def deliveries_of(self, revision_id: int) -> list[DeliveryRow]:
        """Return the deliveries of a revision, in the order in which they were planned."""
        return self._deliveries("WHERE revision_id = ? ORDER BY id", (revision_id,))

    def deliveries(
        self, output: str, states: Iterable[str], *, limit: int = -1, newest: bool = False, after: int = 0
    ) -> list[DeliveryRow]:
        """Return deliveries of one output in any of the states above number `after`, oldest first (or newest)."""
        names = list(states)
        marks = ",".join("?" * len(names))
        order = "DESC" if newest else "ASC"
        return self._deliveries(
            f"WHERE output = ? AND state IN ({marks}) AND id > ? ORDER BY id {order} LIMIT ?",
            [output, *names, after, limit],
        )

    def content(self, delivery_id: int) -> bytes | None:
        """Return the bytes to deliver (None: the archived report). Raises EdgeError MDSE-JOURNAL-001 on damage."""
        row = self._connection.execute("SELECT content, sha256 FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
        if row[0] is not None and hashlib.sha256(row[0]).hexdigest() != row[1]:
            raise EdgeError(
                "MDSE-JOURNAL-001", where=f"delivery {delivery_id}", reason="the kept bytes do not match their digest"
            )
        return row[0] if row[0] is None else bytes(row[0])

    def newer_sent(self, delivery: DeliveryRow) -> str:
        """Return the message id of a newer revision of the same folder that has left for this output; "" when none."""
        # CROSS JOIN keeps SQLite to this order, from the one slide on. Left to itself it begins with the output's
        # deliveries, all of them: 65 ms for every result once 42,000 had been sent.
        query = (
            "SELECT s.message_id FROM revisions r CROSS JOIN slides o ON o.id = r.slide_id"
            " CROSS JOIN slides t ON t.source = o.source AND t.slide_key = o.slide_key"
            " CROSS JOIN revisions s ON s.slide_id = t.id AND s.number > r.number"
            " CROSS JOIN deliveries e ON e.revision_id = s.id AND e.output = ?"
            " WHERE r.id = ? AND e.state NOT IN ('RENDERED', 'PARKED') ORDER BY s.number DESC LIMIT 1"
        )
        row = self._connection.execute(query, (delivery.output, delivery.revision_id)).fetchone()
        return "" if row is None else str(row[0])

    def is_delivered(self, slide_id: int) -> bool:
        """Tell whether nothing of this slide still has to leave."""
        marks = ",".join("?" * len(UNDELIVERED))
        joined = "deliveries JOIN revisions ON revisions.id = revision_id"
        query = f"SELECT count(*) FROM {joined} WHERE slide_id = ? AND state IN ({marks})"  # noqa: S608 - our own words
        return bool(self._connection.execute(query, (slide_id, *UNDELIVERED)).fetchone()[0] == 0)

    def unanswered(self) -> dict[str, int]:
        """Count deliveries that our check or the receiver refused and that nothing newer of the folder has replaced."""
        query = (
            "SELECT d.state, count(*) FROM deliveries d WHERE d.state IN ('PARKED', 'REFUSED')"  # noqa: S608 - our own words
            f" AND NOT {IS_REPLACED} GROUP BY d.state"
        )
        return {"PARKED": 0, "REFUSED": 0} | dict(self._connection.execute(query))

    def is_replaced(self, delivery: DeliveryRow) -> bool:
        """Tell whether something newer of the same folder was planned for this delivery's output."""
        query = f"SELECT 1 FROM deliveries d WHERE d.id = ? AND {IS_REPLACED}"  # noqa: S608 - our own words
        return self._connection.execute(query, (delivery.id,)).fetchone() is not None

    def slide_of_delivery(self, delivery_id: int) -> int:
        """Return the id of the slide that a delivery belongs to."""
        query = "SELECT slide_id FROM revisions JOIN deliveries ON revisions.id = revision_id WHERE deliveries.id = ?"
        return int(self._connection.execute(query, (delivery_id,)).fetchone()[0])

    def counts(self) -> dict[str, int]:
        """Return the number of deliveries per state, every state named."""
        found = dict(self._connection.execute("SELECT state, count(*) FROM deliveries GROUP BY state"))
        return {state: found.get(state, 0) for state in DELIVERY_MOVES}
