"""The supervisor's side of a source: what its scanner tells is booked, settled slides are ordered into the spool."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from edge.config import SourceSection
from edge.daemon.arrival import NOTHING_KEPT, Arrival, accept_arrival, drop_incoming
from edge.daemon.backoff import Backoff
from edge.daemon.channel import Message
from edge.daemon.child_process import ChildProcess
from edge.daemon.decisions import release_late
from edge.daemon.house import SPOOLED_MAX, House
from edge.daemon.keeper import Keeper
from edge.daemon.next_revision import has_own_result, may_follow_unasked
from edge.daemon.quarantine import quarantine_slide
from edge.daemon.trouble import Doubts, longest_pause_s
from edge.errors import EXIT_SLIDE_REJECTED, EdgeError, printable
from edge.journal_rows import SlideRow
from edge.journal_slides import SlideBook
from edge.journal_states import WATCHED

log = logging.getLogger("mds_edge.daemon")
SILENT_BUDGET_S = 60.0
ALARM_AFTER_S = 25.0
"""Below 30 s by more than the time between two messages of a scanner that is well."""
KNOWN_PER_MESSAGE = 1000


class SourceKeeper(Keeper):
    """Keeps the scanner of one source."""

    module = "edge.daemon.scanner"

    def __init__(self, house: House, source: SourceSection) -> None:
        super().__init__(house, f"scanner {source.id}")
        self.source = source
        self.folders_seen = 0
        self.is_working_on: Callable[[int], bool] = lambda _slide_id: False
        self._settled: dict[str, str] = {}
        self._urgent: set[str] = set()
        self._doubts = Doubts()
        self._fetching: dict[str, Any] | None = None
        self._retry: dict[str, Backoff] = {}
        self._heard_at_s = self._looked_at_s = house.monotonic()
        self._away_since_s: float | None = None

    @property
    def _slides(self) -> SlideBook:
        return self.house.books.journal.slides

    def begin(self, child: ChildProcess) -> None:
        """Send the settings and every folder that is known."""
        source, limits = self.source, self.house.books.config.limits
        # What is gone is told again as new when it comes back; until then it must not look like an empty source.
        rows = list(self._slides.listed_folders(self.source.id))
        starts = range(0, len(rows), KNOWN_PER_MESSAGE)
        child.send({
            "kind": "begin", "known_messages": len(starts), "path": str(source.path), "scan_s": source.scan_s,
            "quiet_s": source.quiet_s, "max_wait_s": source.max_wait_s, "marker": list(source.marker),
            "marker_required": source.marker_required, "sentinel": source.sentinel,
            "sample_id_pattern": source.sample_id_pattern, "cell_bytes": limits.cell_bytes,
            "spool": str(self.house.books.folders.spool),
        })  # fmt: skip
        for start in starts:
            known = [standing(*row) for row in rows[start : start + KNOWN_PER_MESSAGE]]
            child.send({"kind": "known", "folders": known})
        child.expect_within(SILENT_BUDGET_S, self.house.monotonic())

    def on_message(self, message: Message) -> None:
        """Book what the scanner tells."""
        now_s = self.house.monotonic()
        self._heard_at_s = now_s
        if self.child is not None:
            self.child.expect_within(SILENT_BUDGET_S, now_s)
        facts: dict[str, Any] = dict(message.header)
        kind = message.kind
        if kind == "looked":
            self.restart.succeeded()
            self.folders_seen = facts["folders"]
            self._note_work_ended(facts["slow"], now_s)
            self._watch_emptiness(facts["all_gone"], facts["slow"], now_s)
        elif kind == "source":
            self._on_source(facts["away"], now_s)
        elif kind == "seen":
            self._on_seen(facts["folders"])
        elif kind == "settled":
            self._on_settled(facts["folder"], facts["signature"], urgent=facts["stat"])
        elif kind == "overdue":
            self._on_overdue(facts["folder"], facts["reason"])
        elif kind == "vanished":
            self._on_vanished(facts["folders"])
        elif kind == "unlisted":
            self._on_unlisted(facts["folders"])
        elif kind == "hopeless":
            self._on_hopeless(facts)
        elif kind in ("fetched", "moved", "refused", "failed"):
            self._on_fetch_answer(kind, facts, now_s)

    def looked_s_ago(self, now_s: float) -> float:
        """Return the seconds since a whole look at the source, or a copy out of it, that the share did not delay."""
        return now_s - self._looked_at_s

    def _note_work_ended(self, slow: bool, now_s: float) -> None:
        """Note that a look or a copy has ended. One that the share delayed is no sign that it is well."""
        if not slow:
            self._looked_at_s = now_s

    def _watch_emptiness(self, all_gone: bool, slow: bool, now_s: float) -> None:
        """Say that none of the finished folders is listed: they were cleaned away, or another share is mounted."""
        if all_gone:
            reason = "it lists none of its known folders, which are all finished"
            error = EdgeError("MDSE-DAEMON-004", where=self.source.id, reason=reason)
            self.house.alarms.raise_alarm(f"source-{self.source.id}", str(error), now_s)
        elif not slow:
            self.house.alarms.clear(f"source-{self.source.id}")

    def _newest(self, folder: str) -> SlideRow | None:
        return self._slides.newest(self.source.id, printable(folder))

    def _on_seen(self, folders: list[str]) -> None:
        with self.house.books.journal.change():
            for folder in folders:
                row = self._newest(folder)
                if row is None:
                    self._slides.add(self.source.id, printable(folder), os.fsencode(folder))
                elif row.state in ("VANISHED", "WAITING_SOURCE"):
                    self._slides.move(row.id, "SEEN", text="the folder is there again", unlisted_at=None)
                else:
                    if row.unlisted_at is not None:
                        row = self._slides.amend(row.id, "listed again", unlisted_at=None)
                    self.tell(row)

    def _on_unlisted(self, folders: list[str]) -> None:
        """Remember since when finished folders are no longer listed: only then may their rows be given back one day."""
        with self.house.books.journal.change():
            for folder in folders:
                row = self._newest(folder)
                if row is not None and row.unlisted_at is None:
                    self._slides.amend(row.id, "no longer listed", unlisted_at=self.house.books.journal.now())

    def _on_hopeless(self, facts: dict[str, Any]) -> None:
        """Set a folder aside that cannot be a slide: it is not read, and looked at again when it has changed."""
        row = self._newest(facts["folder"])
        if row is None or row.state not in (*WATCHED, "HELD"):
            return
        with self.house.books.journal.change():
            if row.state in ("VANISHED", "WAITING_SOURCE"):
                row = self._slides.move(row.id, "SEEN", text="the folder is there again", unlisted_at=None)
            if row.state == "SEEN":
                row = self._slides.move(row.id, "SETTLED")
            code, text, signature = facts["code"], facts["text"], facts["signature"]
            row = quarantine_slide(
                self.house.books, row, None, code=code, text=text, stage="looking", signature=signature,
                spool_name=None,
            )  # fmt: skip
        self.tell(row)

    def _on_settled(self, folder: str, signature: str, *, urgent: bool = False) -> None:
        row = self._newest(folder)
        if row is None:
            return
        if row.state == "CLOSED" and row.manifest_sha256 is None and row.signature is None:
            # A person discarded it before it was ever read: only a change of its files brings it back.
            self.tell(self._slides.amend(row.id, "look remembered", signature=signature))
            return
        if row.state in WATCHED or row.state == "HELD":
            if row.state in ("VANISHED", "WAITING_SOURCE"):
                self._slides.move(row.id, "SEEN", text="the folder is there again", unlisted_at=None)
            if row.state != "SETTLED":
                self._slides.move(row.id, "SETTLED")
        self._settled[folder] = signature
        if urgent:
            self._urgent.add(folder)

    def _on_overdue(self, folder: str, reason: str) -> None:
        row = self._newest(folder)
        if row is not None and row.state in ("SEEN", "SETTLED", "WAITING_SOURCE"):
            error = EdgeError("MDSE-SPOOL-004", where=f"slide {row.id}", reason=reason)
            self._slides.move(row.id, "HELD", code=error.code, text=str(error))

    def _on_vanished(self, folders: list[str]) -> None:
        with self.house.books.journal.change():
            for folder in folders:
                self._settled.pop(folder, None)
                row = self._newest(folder)
                if row is not None and row.state in ("SEEN", "SETTLED", "WAITING_SOURCE", "HELD"):
                    error = EdgeError("MDSE-SPOOL-003", where=f"slide {row.id}")
                    gone_at = self.house.books.journal.now()
                    self._slides.move(row.id, "VANISHED", code=error.code, text=str(error), unlisted_at=gone_at)

    def _on_source(self, away: str, now_s: float) -> None:
        if away:
            self._away_since_s = self._away_since_s if self._away_since_s is not None else now_s
            error = EdgeError("MDSE-DAEMON-004", where=self.source.id, reason=away)
            self.house.alarms.raise_alarm(f"source-{self.source.id}", str(error), now_s)
            self._settled.clear()
            return
        self._away_since_s = None
        self.house.alarms.clear(f"source-{self.source.id}")
        with self.house.books.journal.change():
            for row in self._slides.in_states(["WAITING_SOURCE"], source=self.source.id):
                self._slides.move(row.id, "SEEN", text="the source is there again")

    def _on_fetch_answer(self, kind: str, facts: dict[str, Any], now_s: float) -> None:
        folder = facts["folder"]
        if self._fetching is None or facts["slide"] != self._fetching["slide"]:
            if kind == "failed":
                self.house.alarms.raise_alarm(f"folder-{self.source.id}", facts["text"], now_s)
            elif "token" in facts:
                drop_incoming(self.house.books, facts["token"])
            return
        self._fetching = None
        self._note_work_ended(facts["slow"], now_s)  # a copy is as good a sign of life as a look
        row = self._newest(folder)
        if row is None:
            return
        if kind == "fetched":
            self._on_fetched(row, facts)
        elif kind == "refused" and facts["exit"] == EXIT_SLIDE_REJECTED:
            self._on_refused(row, facts)
        elif kind == "moved":
            if row.state == "SETTLED":
                with self.house.books.journal.change():
                    self._slides.refund_attempt(row.id)
                    self._slides.move(row.id, "SEEN", text=facts["text"])
        else:
            self._on_fetch_failed(row, facts, now_s)

    def _on_fetched(self, row: SlideRow, facts: dict[str, Any]) -> None:
        books = self.house.books
        self._retry.pop(facts["folder"], None)
        self._doubts.forget(row.id)
        self.house.alarms.clear(f"folder-{self.source.id}")
        booked = accept_arrival(books, row, Arrival.from_message(facts), in_work=self.is_working_on(row.id))
        wanted = booked.state == "LATE" and self.source.late_policy == "revise"
        if wanted and may_follow_unasked(books, booked):
            booked = release_late(books, booked, by="daemon", reason="files changed after the result (late_policy)")
        self.tell(booked)

    def _on_refused(self, row: SlideRow, facts: dict[str, Any]) -> None:
        books = self.house.books
        files = books.folders.incoming / facts["token"]
        if row.state in ("SETTLED", "HELD", "QUARANTINED", "SPOOLED", "DUPLICATE"):
            code, text, signature = facts["code"], facts["text"], facts["signature"]
            # An earlier copy holds what the folder no longer does.
            is_copy = row.state == "DUPLICATE" and not has_own_result(books, row)
            kept = NOTHING_KEPT if is_copy else {"spool_name": None}
            row = quarantine_slide(
                books, row, files, code=code, text=text, stage="copying", signature=signature, **kept
            )
        elif row.state == "LATE":
            # What was set aside is no longer what the folder holds: a release must not send it.
            columns = {**NOTHING_KEPT, "signature": facts["signature"]}
            row = self._slides.move(row.id, row.state, code=facts["code"], text=facts["text"], **columns)
        else:
            row = self._slides.amend(row.id, f"later files refused: {facts['text']}", signature=facts["signature"])
        drop_incoming(books, facts["token"])
        self.tell(row)

    def _on_fetch_failed(self, row: SlideRow, facts: dict[str, Any], now_s: float) -> None:
        if row.state == "SETTLED":
            self._slides.refund_attempt(row.id)
            if self._doubts.is_of_the_slide(row.id, int(facts.get("errno", 0)), now_s):
                self._doubts.forget(row.id)
                error = EdgeError("MDSE-SPOOL-009", where=f"slide {row.id}", reason=facts["text"])
                code, text, signature = error.code, str(error), facts["signature"]
                row = quarantine_slide(
                    self.house.books, row, None, code=code, text=text, stage="copying", signature=signature,
                    spool_name=None,
                )  # fmt: skip
                self.tell(row)
                return
        at_most_s = longest_pause_s(int(facts.get("errno", 0)), self.source.scan_s)
        wait_s = self._retry.setdefault(facts["folder"], Backoff()).failed(now_s, at_most_s=at_most_s)
        self._settled[facts["folder"]] = facts["signature"]
        text = f"slide {row.id} cannot be copied, next try in {wait_s:.0f} s: {facts['text']}"
        self.house.alarms.raise_alarm(f"folder-{self.source.id}", text, now_s)

    def tell(self, row: SlideRow) -> None:
        """Tell the scanner how a row's folder stands in the books: to be watched, or finished as it looks now.

        Whichever arrival was booked, the folder stands as its newest one does.
        """
        if self.child is None:
            return
        folder, finished, signature, released = known_folder(self._slides.newest(row.source, row.slide_key) or row)
        if finished:
            self.child.send({"kind": "finished", "folder": folder, "signature": signature})
        else:
            self.child.send({"kind": "watch", "folder": folder, "released": released})

    def work(self) -> None:
        """Order the next settled slide into the spool; notice a scanner that has gone silent."""
        now_s = self.house.monotonic()
        self._watch_progress(now_s)
        self._mark_waiting(now_s)
        if self._fetching is not None or not self._settled or self.house.stopping or self.child is None:
            return
        self._urgent &= self._settled.keys()
        is_full = len(self._slides.in_states(["SPOOLED"], limit=SPOOLED_MAX)) >= SPOOLED_MAX
        if (is_full and not self._urgent) or not self.house.may_take():
            return
        waiting = sorted(self._settled, key=lambda folder: folder not in self._urgent)
        for folder in waiting[: len(self._urgent)] if is_full else waiting:
            row = self._newest(folder)
            if row is None:
                del self._settled[folder]
            elif folder not in self._retry or self._retry[folder].is_ready(now_s):
                self._order(row, folder, self._settled.pop(folder))
                return

    def _watch_progress(self, now_s: float) -> None:
        """Raise the alarm of a share that hangs (no word), or delays every look and every copy."""
        reason = ""
        if now_s - self._heard_at_s > ALARM_AFTER_S:
            reason = f"the scanner has been silent for {ALARM_AFTER_S:.0f} s"
        elif self._away_since_s is None and now_s - self._looked_at_s > ALARM_AFTER_S + self.source.scan_s:
            reason = f"slow: no look was finished without delay for {ALARM_AFTER_S + self.source.scan_s:.0f} s"
        if reason:
            error = EdgeError("MDSE-DAEMON-004", where=self.source.id, reason=reason)
            self.house.alarms.raise_alarm(f"source-{self.source.id}", str(error), now_s)

    def _order(self, row: SlideRow, folder: str, signature: str) -> None:
        books = self.house.books
        if row.state == "SETTLED":
            if row.attempts >= books.config.limits.attempts:
                error = EdgeError("MDSE-DAEMON-007", where=f"slide {row.id}", attempts=row.attempts, stage="copying")
                text = str(error)
                row = quarantine_slide(
                    books, row, None, code=error.code, text=text, stage="copying", signature=signature, spool_name=None
                )
                self.tell(row)
                return
            self._slides.begin_attempt(row.id)
        self._fetching = {"kind": "fetch", "slide": row.id, "folder": folder, "signature": signature}
        if self.child is not None:
            self.child.send(self._fetching)

    def _mark_waiting(self, now_s: float) -> None:
        """After the alarm time, show the slides of a source that is away as WAITING_SOURCE."""
        if self._away_since_s is None or now_s - self._away_since_s < ALARM_AFTER_S:
            return
        rows = self._slides.in_states(["SEEN", "SETTLED"], source=self.source.id)
        with self.house.books.journal.change():
            for row in rows:
                self._slides.move(row.id, "WAITING_SOURCE", code="MDSE-DAEMON-004", text="the source is away")

    def on_end(self, reason: str) -> None:  # noqa: ARG002 - the keeper has logged it
        """Forget what only the scanner knew: its successor looks anew."""
        self._fetching = None
        self._heard_at_s = self._looked_at_s = max(self._heard_at_s, self._looked_at_s)
        self._settled.clear()
        if self.house.stopping and self.house.is_blameless:
            for row in self._slides.in_states(["SETTLED"], source=self.source.id):
                if row.attempts:
                    self._slides.refund_attempt(row.id)


def known_folder(row: SlideRow) -> list[Any]:
    """Return how a folder stands in the books, as the scanner takes it: name, finished, signature, released."""
    return standing(row.folder, row.state, row.signature, row.released)


def standing(folder: bytes, state: str, signature: str | None, released: int) -> list[Any]:
    """As `known_folder`, from the columns."""
    unread = state == "HELD" and signature is None
    return [os.fsdecode(folder), not (state in WATCHED or unread), signature or "", bool(released)]
