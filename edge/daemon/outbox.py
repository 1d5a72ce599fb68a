"""The supervisor's side of an output: what is delivered next, and what is known of what was delivered.

    RENDERED  bytes and name are fixed in the journal
       stage: the deliverer writes and syncs the file in the staging folder; then the transaction STAGED
    STAGED
       publish: the deliverer proves and renames it, syncs both folders; then the transaction SENT
    SENT

Killed anywhere between, the next deliverer first says of every STAGED row where its file is: still staged (go on),
published, or gone (published and already taken). There is no third way, so nothing is lost and nothing is sent twice.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from edge.audit import AuditEvent
from edge.config import OutputSection
from edge.daemon.archive import archived_report
from edge.daemon.backoff import Backoff
from edge.daemon.books import output_name
from edge.daemon.channel import Message
from edge.daemon.child_process import ChildProcess
from edge.daemon.corrections import repeat_delivery
from edge.daemon.decisions import reopen
from edge.daemon.house import House
from edge.daemon.keeper import Keeper
from edge.daemon.pickup import PickupWatch
from edge.daemon.trouble import longest_pause_s
from edge.delivery.owner import machine_id
from edge.errors import EdgeError
from edge.journal_rows import SIDECAR_COPY, DeliveryRow

log = logging.getLogger("mds_edge.daemon")
ORDER_BUDGET_S = 60.0
ALARM_AFTER_S = 25.0
ACK_EVERY_S = 2.0
ACKS_PER_ORDER = 200
COLLECTED_TO_PROVE = 200
ACKS_UNREADABLE = "MDSE-DELIVERY-012"
NAME_TAKEN = "MDSE-DELIVERY-007"
PAUSE_FIRST_S, PAUSE_LONGEST_S = 1.0, 300.0
RESEND_FIRST_S, RESEND_LONGEST_S = 30.0, 600.0
STAGED_DAMAGED = "MDSE-DELIVERY-008"


class OutputKeeper(Keeper):
    """Keeps the deliverer of one output."""

    module = "edge.daemon.deliver"

    def __init__(self, house: House, output: OutputSection, index: int) -> None:
        super().__init__(house, f"output {index + 1} ({output.format})")
        self.output = output
        self.journal_name = output_name(output)
        self._lock = house.books.folders.locks / f"output-{index + 1}.lock"
        self._phase = "preparing"
        self._in_flight: dict[str, Any] | None = None
        self._pause = Backoff(PAUSE_FIRST_S, PAUSE_LONGEST_S)
        self._ack_pause = Backoff(PAUSE_FIRST_S, PAUSE_LONGEST_S)
        self._not_before_s: dict[int, float] = {}
        self._next_ack_s = 0.0
        self._ack_after = 0
        self._pickup = PickupWatch(house, self.journal_name, output.pickup_max_s)
        self._ordered_s = 0.0
        self.method = ""

    @property
    def is_settled(self) -> bool:
        """Whether the start is over for this output: recovered, or known to be away."""
        return self._phase == "ready" or self._pause.failures > 0

    @property
    def is_away(self) -> bool:
        """Whether the output could not be used at the last try."""
        return self._pause.failures > 0

    @property
    def is_busy(self) -> bool:
        """Whether an order is being carried out."""
        return self._in_flight is not None

    def begin(self, child: ChildProcess) -> None:
        """Send the settings; the first order prepares the drop folder."""
        identity = self._identity()
        child.send({
            "kind": "begin", "folder": str(self.output.path), "ack": self.output.ack, "lock": str(self._lock),
            "ack_folder": str(self.output.ack_folder), "identity": identity or None, "machine": machine_id(),
        })  # fmt: skip
        self._phase = "claiming" if identity is None else "preparing"
        self._in_flight = None

    def look_again(self) -> None:
        """Forget that the drop folder was another journal's: a person has said that it is ours."""
        if self._phase == "claiming" and self._in_flight is None:
            self._phase = "preparing"
            self._pause.succeeded()

    def _identity(self) -> str | None:
        """Return the drop folder's identity as the books know it; "" when claimed but not prepared, None when new."""
        row = self.house.books.journal.connection.execute(
            "SELECT value FROM meta WHERE name = ?", (f"drop {self.journal_name}",)
        ).fetchone()
        return None if row is None else str(row[0])

    def _send(self, order: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        if self.child is not None:
            self._in_flight = order
            self._ordered_s = self.house.monotonic()
            self.child.send(order, blobs)
            self.child.expect_within(ORDER_BUDGET_S, self._ordered_s)

    def work(self) -> None:
        """Give the deliverer its next order: recover first, then publish, stage, and ask for acknowledgements."""
        now_s = self.house.monotonic()
        if self.output.ack != "none":
            self._pickup.look(now_s)
        if self._in_flight is not None and now_s - self._ordered_s > ALARM_AFTER_S:
            text = f"the drop folder has not answered for {ALARM_AFTER_S:.0f} s"
            self.house.alarms.raise_alarm(self._alarm, text, now_s, is_open=True)
        if self._in_flight is not None or self.house.stopping or not self._pause.is_ready(now_s):
            return
        if self._phase == "claiming":
            self._send({"kind": "claim"})
        elif self._phase == "preparing":
            self._send({"kind": "prepare"})
        elif self._phase == "recovering":
            self._recover()
        elif staged := self._rows("STAGED"):
            self._publish(staged[0])
        elif rendered := self._next_rendered(now_s):
            self._stage(rendered)
        elif now_s >= self._next_ack_s and self._ack_pause.is_ready(now_s):
            self._next_ack_s = now_s + ACK_EVERY_S
            self._ask_for_acks()

    def _rows(self, state: str, limit: int = 1) -> list[DeliveryRow]:
        return self.house.books.journal.results.deliveries(self.journal_name, [state], limit=limit)

    def _next_rendered(self, now_s: float) -> DeliveryRow | None:
        """Return the oldest result that may be staged now; one that is sent again by itself waits for its time."""
        if not self._not_before_s:
            return next(iter(self._rows("RENDERED")), None)
        rows = self._rows("RENDERED", -1)
        self._not_before_s = {row.id: self._not_before_s[row.id] for row in rows if row.id in self._not_before_s}
        return next((row for row in rows if self._not_before_s.get(row.id, now_s) <= now_s), None)

    def _recover(self) -> None:
        results = self.house.books.journal.results
        # What a former output left staged here is looked at as well: the clean-up would take it for nobody's.
        identity, rows = self._identity(), self._rows("STAGED", -1)
        for name in self._former_names(identity) if identity else []:
            rows += results.deliveries(name, ["STAGED"])
        staged = [[row.id, row.staged_name, row.final_name] for row in rows]
        collected = results.deliveries(self.journal_name, ["COLLECTED"], limit=COLLECTED_TO_PROVE, newest=True)
        proved = [[row.id, row.final_name, row.sha256, row.size] for row in collected]
        self._send({"kind": "recover", "staged": staged, "collected": proved})

    def _publish(self, row: DeliveryRow) -> None:
        self._send({
            "kind": "publish", "id": row.id, "staged_name": row.staged_name, "final_name": row.final_name,
            "sha256": row.sha256, "size": row.size,
        })  # fmt: skip

    def _stage(self, row: DeliveryRow) -> None:
        results = self.house.books.journal.results
        if newer := results.newer_sent(row):
            # A repeat that waited or a parked result that was rendered again: a receiver that keeps what came last
            # would put the older result, perhaps a withdrawn one, back in force.
            self._mark(row.id, "ARCHIVED", f"not sent: {newer} has left already and replaces it")
            log.warning("delivery %d is not sent: %s has left already and replaces it", row.id, newer)
            return
        try:
            content = self._report(row) if row.copy == SIDECAR_COPY else results.content(row.id)
            missing = "the bytes are no longer kept"
        except EdgeError as error:
            content, missing = None, str(error)
        if content is None:
            self._mark(row.id, "PARKED", missing)
            return
        # A new name for every try: after a failed sync nothing is known of a file of the old name.
        self._send({"kind": "stage", "id": row.id, "staged_name": f"{row.id}-{secrets.token_hex(6)}"}, (content,))

    def _report(self, row: DeliveryRow) -> bytes:
        """Return the archived report that lies beside a message; raises EdgeError MDSE-JOURNAL-007."""
        books = self.house.books
        return archived_report(books.folders.archive, books.journal.results.revision_by_id(row.revision_id))

    def _ask_for_acks(self) -> None:
        results = self.house.books.journal.results
        asked = [] if self.output.ack == "none" else self._next_unanswered()
        if not asked:
            if self.journal_name in self.house.full_drops:
                self._send({"kind": "acks", "wanted": []})  # nothing else would tell that there is room again
            return
        self._ack_after = asked[-1].id
        wanted = [[row.id, row.final_name, results.revision_by_id(row.revision_id).message_id] for row in asked]
        self._send({"kind": "acks", "wanted": wanted})

    def _next_unanswered(self) -> list[DeliveryRow]:
        """Return the next deliveries whose answer is looked for, in turn: behind a silent receiver they are many."""
        results, awaited = self.house.books.journal.results, self._awaited()
        asked = results.deliveries(self.journal_name, awaited, limit=ACKS_PER_ORDER, after=self._ack_after)
        return asked or results.deliveries(self.journal_name, awaited, limit=ACKS_PER_ORDER)

    def _awaited(self) -> list[str]:
        """Return the states in which an answer of the LIS may still come."""
        return ["SENT", "DELIVERED_UNSEEN"] if self.output.ack == "ack-file" else ["SENT"]

    def on_message(self, message: Message) -> None:
        """Book what the deliverer has done."""
        now_s = self.house.monotonic()
        order, self._in_flight = self._in_flight, None
        if self.child is not None:
            self.child.expect_within(None, now_s)
        facts: dict[str, Any] = dict(message.header)
        self._watch_space(facts.get("free_bytes"), now_s)
        if message.kind == "failed":
            self._on_failed(order or {}, facts, now_s)
            return
        if message.kind == "claimed":
            self._on_claimed(facts, now_s)
        elif message.kind == "ready":
            self._on_prepared(facts)
        elif message.kind == "recovered":
            self._on_recovered(facts)
        elif message.kind == "staged" and order is not None:
            results = self.house.books.journal.results
            results.move_delivery(order["id"], "STAGED", staged_name=order["staged_name"])
        elif message.kind == "published" and order is not None:
            self._pause.succeeded()
            self.house.alarms.clear(self._alarm)
            self._mark_sent(order["id"])
        elif message.kind == "acks":
            self._on_acks(facts["states"], now_s)

    def _watch_space(self, free: int | None, now_s: float) -> None:
        """Stop taking slides while a drop folder is nearly full; what is finished still leaves."""
        if free is None:
            return
        floor, name = self.house.books.config.limits.min_free_drop_bytes, f"drop-disk-{self.journal_name}"
        if free < floor:
            self.house.full_drops.add(self.journal_name)
            text = f"less than {floor} bytes are free: no new slide is taken"
            self.house.alarms.raise_alarm(name, text, now_s, is_open=True)
            return
        self.house.full_drops.discard(self.journal_name)
        if free < 2 * floor:
            text = f"the drop folder fills: less than {2 * floor} bytes are free"
            self.house.alarms.raise_alarm(name, text, now_s, is_open=True)
        else:
            self.house.alarms.clear(name)

    @property
    def _alarm(self) -> str:
        return f"output-{self.journal_name}"

    def _on_claimed(self, facts: dict[str, Any], now_s: float) -> None:
        """Take a drop folder that nobody has, or that is ours from a former configuration. Another journal's is left.

        Either two machines write there, or our own journal was lost: then everything in the export folder looks new,
        and sending it again is for a person to say.
        """
        found = str(facts["identity"])
        if found and self._identity() is None and self._former_names(found):
            self._remember_identity(found)
        if found and self._identity() is None:
            wait_s = self._pause.failed(now_s)
            error = EdgeError("MDSE-DAEMON-015", where=str(self.output.path))
            self.house.alarms.raise_alarm(self._alarm, f"looked at again in {wait_s:.0f} s: {error}", now_s)
            return
        if self._identity() is None:
            self._remember_identity("")
        self._phase = "preparing"

    def _former_names(self, identity: str) -> list[str]:
        """Return the outputs, configured no longer, that delivered into the folder of this identity.

        Their format or path was changed. None when another configured output has the folder: one deliverer cleans up.
        """
        books = self.house.books
        query = "SELECT name FROM meta WHERE name LIKE 'drop %' AND value = ?"
        known = books.journal.connection.execute(query, (identity,))
        names = [str(row[0]).removeprefix("drop ") for row in known]
        if any(name in books.outputs() and name != self.journal_name for name in names):
            return []
        return [name for name in names if name != self.journal_name]

    def _remember_identity(self, identity: str) -> None:
        journal = self.house.books.journal
        with journal.change():
            journal.connection.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (f"drop {self.journal_name}", identity),
            )
            journal.note(AuditEvent("daemon", "drop folder claimed", self.journal_name, new=identity))

    def _on_prepared(self, facts: dict[str, Any]) -> None:
        self.method = facts["method"]
        if facts["identity"] != self._identity():
            self._remember_identity(facts["identity"])
        self._phase = "recovering"

    def _on_recovered(self, facts: dict[str, Any]) -> None:
        results = self.house.books.journal.results
        for delivery_id, state in facts["states"]:
            if state == "published":
                self._mark_sent(delivery_id, "found published after a restart")
            elif state == "gone":
                self._mark(delivery_id, "DELIVERED_UNSEEN", "published and gone before it was seen")
            elif results.delivery(delivery_id).output != self.journal_name:
                results.move_delivery(delivery_id, "RENDERED", text="its output is configured no longer")
        for delivery_id in facts["removed"]:
            log.warning("delivery %d had reappeared after it was collected and was removed", delivery_id)
        self._phase = "ready"
        self.restart.succeeded()
        self._pause.succeeded()
        self.house.alarms.clear(self._alarm)

    def _mark(self, delivery_id: int, state: str, text: str = "") -> None:
        """Book a delivery's new state and, when nothing of its slide is left to send, the slide's end."""
        with self.house.books.journal.change():
            self.house.books.journal.results.move_delivery(delivery_id, state, text=text)
            self._close_slide(delivery_id)

    def _mark_sent(self, delivery_id: int, text: str = "") -> None:
        """Book a published file. A report beside its message is done with that: no receiver answers to it."""
        results = self.house.books.journal.results
        with self.house.books.journal.change():
            self._mark(delivery_id, "SENT", text)
            row = results.delivery(delivery_id)
            if row.copy == SIDECAR_COPY:
                self._mark(delivery_id, "ARCHIVED", "published beside its message")
            elif row.output == self.journal_name:
                self._pickup.published(delivery_id)

    def _close_slide(self, delivery_id: int) -> None:
        journal = self.house.books.journal
        slide = journal.slides.get(journal.results.slide_of_delivery(delivery_id))
        if slide.state == "COMPUTED" and journal.results.is_delivered(slide.id):
            journal.slides.move(slide.id, "CLOSED")

    def _on_failed(self, order: dict[str, Any], facts: dict[str, Any], now_s: float) -> None:
        kind, code = order.get("kind"), facts["code"]
        if code == ACKS_UNREADABLE:
            # The drop folder is well: results go on leaving while their answers cannot be read.
            wait_s = self._ack_pause.failed(now_s)
            text = f"looked at again in {wait_s:.0f} s: {facts['text']}"
            self.house.alarms.raise_alarm(self._ack_alarm, text, now_s)
            return
        if kind == "publish" and code == NAME_TAKEN:
            # A file of this very record is there already, or a stranger's: sending a second one is for a person to say.
            self._mark(order["id"], "PARKED", facts["text"])
        elif kind == "publish" and code == STAGED_DAMAGED:
            self.house.books.journal.results.move_delivery(order["id"], "RENDERED", text=facts["text"])
        wait_s = self._pause.failed(now_s, at_most_s=longest_pause_s(int(facts.get("errno", 0))))
        self.house.alarms.raise_alarm(self._alarm, f"tried again in {wait_s:.0f} s: {facts['text']}", now_s)
        # Whatever happened there: prepare, look at what is staged, clean up, and only then go on.
        self._phase = "claiming" if self._identity() is None else "preparing"

    @property
    def _ack_alarm(self) -> str:
        return f"ack-folder-{self.journal_name}"

    def _on_acks(self, states: list[list[Any]], now_s: float) -> None:
        self._ack_pause.succeeded()
        self.house.alarms.clear(self._ack_alarm)
        if all(kind != "ignored" for _, kind, _, _ in states):
            self.house.alarms.clear(f"ack-{self.journal_name}")
        for delivery_id, kind, text, temporary in states:
            if kind in ("accepted", "refused", "collected"):
                with self.house.books.journal.change():
                    self._mark(delivery_id, kind.upper(), text)
                    if temporary:
                        self._plan_resend(delivery_id, now_s)
                self._pickup.settled(delivery_id)
                if kind == "refused":
                    log.warning("delivery %d was refused by the receiver", delivery_id)
            elif kind == "ignored":
                self.house.alarms.raise_alarm(f"ack-{self.journal_name}", f"delivery {delivery_id}: {text}", now_s)

    def _plan_resend(self, delivery_id: int, now_s: float) -> None:
        """Send the same bytes again, later and at most so often, after an error that the receiver calls its own."""
        results = self.house.books.journal.results
        refused = results.delivery(delivery_id)
        newest = max(row.copy for row in results.deliveries_of(refused.revision_id) if row.output == refused.output)
        if refused.copy > self.output.resends_max or refused.copy < newest:
            return
        revision = results.revision_by_id(refused.revision_id)
        again = repeat_delivery(self.house.books, revision, refused, by="daemon")
        wait_s = min(RESEND_FIRST_S * 2.0 ** (refused.copy - 1), RESEND_LONGEST_S)
        self._not_before_s[again] = now_s + wait_s
        text = f"to be sent again in {wait_s:.0f} s, copy {refused.copy + 1}"
        reopen(self.house.books, revision.slide_id, by="daemon", text=text)
        log.info("delivery %d: %s", delivery_id, text)

    def on_end(self, reason: str) -> None:
        """Begin anew with the successor: it looks first at what is staged."""
        self._phase = "preparing"
        self._in_flight = None
        if not self.house.stopping:
            self.house.alarms.raise_alarm(self._alarm, f"the deliverer is replaced: {reason}", self.house.monotonic())
