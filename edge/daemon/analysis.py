"""The supervisor's side of the worker: which slide it gets next, and what becomes of its answer."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.audit import AuditEvent
from edge.daemon.archive import archived_record, store_result
from edge.daemon.arrival import spooled_folder
from edge.daemon.backoff import Backoff
from edge.daemon.bundle_history import admit_bundle
from edge.daemon.channel import Message
from edge.daemon.child_process import ChildProcess
from edge.daemon.device_state import DeviceState, is_device_fault
from edge.daemon.filing import filed_under, label_objection
from edge.daemon.gate import COPY_DIFFERS, ask_gate
from edge.daemon.house import House
from edge.daemon.intents import ReportFacts, intents_for
from edge.daemon.keeper import Keeper
from edge.daemon.next_revision import last_revision
from edge.daemon.notice import Notices
from edge.daemon.plan_keeping import PlanKeeper
from edge.daemon.quarantine import quarantine_slide
from edge.daemon.records import is_same_outcome, proved_record
from edge.daemon.spool import FILES_NAME, read_manifest
from edge.daemon.trouble import Doubts, error_number_of, longest_pause_s
from edge.daemon.worker_orders import message_id_of, model_settings, order_for
from edge.errors import EXIT_BUNDLE_DOES_NOT_FIT, EXIT_CONFIGURATION, EdgeError
from edge.journal_results import NewRevision
from edge.journal_rows import SlideRow

log = logging.getLogger("mds_edge.daemon")
OPENING_BUDGET_S = 600.0
"""Compiling the network for a slow machine and proving the golden cells may take minutes, once."""
DEVICE_OPENING_BUDGET_S = 120.0
"""A GPU's plan is there already: loading it takes seconds, and slides must not wait long for a device that hangs."""
CRASH_PAUSE_S = 1.0
UNFORESEEN = "MDSE-DAEMON-006"


class AnalysisKeeper(Keeper):
    """Keeps the one worker."""

    module = "edge.daemon.worker"

    def __init__(self, house: House, *, was_ready: bool = False) -> None:
        super().__init__(house, "worker")
        self.facts: dict[str, Any] = {}
        self.is_ready = False
        # In this life of the process, also before a reload: what worked once is no fault of the start any more.
        self.was_ready = was_ready
        self.on_result: Callable[[], None] = lambda: None
        self.devices = DeviceState(house)
        self.notices = Notices(house)
        self.plans = PlanKeeper(house, lambda: self._models_of(self.devices.configured), self.devices.plan_is_there)
        self.in_work: int | None = None
        self._order: dict[str, Any] = {}
        self._digest = ""
        self._doubts = Doubts()
        self._pauses: dict[int, Backoff] = {}
        self._owed_to_cpu: set[int] = set()  # slides that broke another device: the CPU has them before it goes back

    @property
    def device(self) -> str:
        """The device that slides run on now."""
        return self.devices.current

    @property
    def is_degraded(self) -> bool:
        """Whether slides run on the CPU although the site configured another device."""
        return self.devices.is_degraded

    def may_start(self) -> bool:
        """Tell whether a worker may begin. Two that cannot be ended mean a sick machine: systemd must act."""
        if self.abandoned >= 2:
            self.house.fatal = EdgeError("MDSE-DAEMON-008", where=self.name)
            return False
        return True

    def begin(self, child: ChildProcess) -> None:
        """Send the settings of the models."""
        self.is_ready = False
        child.send({"kind": "begin", "test_analyzer": self.house.test_analyzer, **self._models_of(self.device)})
        budget_s = OPENING_BUDGET_S if self.device == "cpu" else DEVICE_OPENING_BUDGET_S
        child.expect_within(budget_s, self.house.monotonic())

    def _models_of(self, device: str) -> dict[str, Any]:
        books = self.house.books
        return model_settings(books.config, device=device, cache=str(books.folders.cache))

    def on_message(self, message: Message) -> None:
        """Take the worker's answer."""
        child = self.child
        if child is not None:
            child.expect_within(None, self.house.monotonic())
        if message.kind == "ready":
            self._on_ready(dict(message.header))
        elif self.in_work is None:
            self._on_opening_failed(dict(message.header))
        elif message.kind == "analyzed":
            self._on_analyzed(*message.blobs)
        elif message.kind == "rejected":
            self._set_aside(str(message.header["code"]), str(message.header["text"]), "analyzing")
        elif message.kind == "failed":
            self._on_failed(dict(message.header))
            if not message.header.get("retry"):
                # It ends by itself now: the next slide must not be handed to a process that is going.
                self.end_child("an unforeseen error")

    def _on_ready(self, facts: dict[str, Any]) -> None:
        books = self.house.books
        self.facts = {name: value for name, value in facts.items() if name != "kind"}
        if facts.get("intended_use") == "demo" and books.config.outputs and not books.config.bundle.allow_demo:
            self._refuse_bundle(EdgeError("MDSE-DAEMON-003", where=str(books.config.bundle.path)))
            return
        try:
            admit_bundle(books, self.facts)
        except EdgeError as error:
            self._refuse_bundle(error)
            return
        if self._digest and self._digest != facts.get("digest"):
            log.warning("the bundle was changed while the daemon runs: results name the one that made them")
        self._digest = str(facts.get("digest"))
        with books.journal.change():
            detail = self.facts | {"device": self.device}
            books.journal.note(AuditEvent("daemon", "model ready", "journal", detail=detail))
        self.is_ready = self.was_ready = True
        self.restart.succeeded()
        self.devices.opened()
        if self.device != "cpu":
            self.plans.was_of_use()
        self.house.alarms.clear("model")
        log.info("the model is ready on %s", self.device)

    def _on_opening_failed(self, facts: dict[str, Any]) -> None:
        settled = facts.get("exit") in (EXIT_CONFIGURATION, EXIT_BUNDLE_DOES_NOT_FIT)
        if settled and not self.was_ready and not (self.device != "cpu" and is_device_fault(str(facts["code"]))):
            where = str(self.house.books.config.bundle.path)
            self._refuse_bundle(EdgeError("MDSE-DAEMON-002", where=where, reason=facts["text"]))
            return
        if self._fall_back(str(facts["code"]), str(facts["text"])):
            return
        self._wait_for_model(str(facts["code"]), str(facts["text"]))

    def _refuse_bundle(self, error: EdgeError) -> None:
        """Use no bundle that may not be used. At the start that is a fault of the configuration: say so and end.

        Later (a reload, a bundle that was changed) the daemon stays up: finished results leave, slides are copied, and
        the next look at the bundle finds it mended.
        """
        if self.was_ready:
            self._wait_for_model(error.code, str(error))
        else:
            self.house.fatal = error

    def _wait_for_model(self, code: str, text: str) -> None:
        self.house.alarms.raise_alarm("model", f"the model cannot be opened: {text}", self.house.monotonic())
        self.end_child(f"the model cannot be opened ({code})")

    def _fall_back(self, code: str, reason: str) -> bool:
        """Go on with the CPU when another device failed; True when that was done. Visible in every result."""
        if self.device == "cpu":
            return False
        self.devices.fall_back(code, reason)
        if self.devices.awaits_plan:
            self.plans.want()
        # The log gets the code alone: the words may name a slide's file.
        self.end_child(f"slides go on on the CPU ({code or 'no code'})", expected=self.devices.awaits_plan)
        return True

    def work(self) -> None:
        """Give the worker the oldest slide that may be tried."""
        if not self.is_ready or self.in_work is not None or self.house.stopping or self.child is None:
            return
        now_s = self.house.monotonic()
        spooled = self.house.books.journal.slides.spooled_by_urgency()
        self._owed_to_cpu &= {slide.id for slide in spooled}
        if not self._owed_to_cpu and self.devices.may_return():
            self.devices.return_to_configured()
            self.end_child("the configured device is tried again", expected=True)
            return
        if not self.house.has_room():
            return
        for slide in sorted(spooled, key=lambda slide: slide.id not in self._owed_to_cpu):
            pause = self._pauses.get(slide.id)
            if pause is None or pause.is_ready(now_s):
                self._begin_slide(slide)
                return

    def _begin_slide(self, slide: SlideRow) -> None:
        books = self.house.books
        files = spooled_folder(books, slide)
        self.in_work = slide.id
        if files is None:
            error = EdgeError("MDSE-SPOOL-008", where=f"slide {slide.id}")
            self._set_aside(error.code, str(error), "analyzing")
            return
        if slide.attempts >= books.config.limits.attempts:
            error = EdgeError("MDSE-DAEMON-007", where=f"slide {slide.id}", attempts=slide.attempts, stage="analyzing")
            self._set_aside(error.code, str(error), "analyzing")
            return
        if self._is_stopped(slide, files):
            return
        books.journal.slides.begin_attempt(slide.id)
        try:
            self._order = order_for(self.house, slide, str(files / FILES_NAME), is_degraded=self.is_degraded)
        except EdgeError as error:
            # The result that this one follows cannot be read: what it takes back would be a guess.
            self._set_aside(error.code, str(error), "analyzing")
            return
        if self.child is not None:
            self.child.send(self._order)
            self.child.expect_within(books.config.limits.worker_budget_s, self.house.monotonic())

    def _is_stopped(self, slide: SlideRow, copy: Path) -> bool:
        """Ask the gate; True when the slide is not analyzed: held, set aside, or to be asked about again."""
        try:
            error, twin = ask_gate(self.house.books, slide, copy)
        except OSError as failure:
            self.in_work = None
            self._pause(slide.id, error_number_of(failure), f"{type(failure).__name__}: {failure}")
            return True
        if error is None:
            return False
        if error.code == COPY_DIFFERS:
            self._set_aside(error.code, str(error), "analyzing")
            return True
        self.in_work = None
        self._pauses.pop(slide.id, None)
        columns: dict[str, Any] = {"released": 0} if twin is None else {"released": 0, "related_slide": twin.id}
        self.house.books.journal.slides.move(slide.id, "HELD", code=error.code, text=str(error), **columns)
        log.warning("slide %d is held: %s", slide.id, error.code)
        return True

    def _on_analyzed(self, record_bytes: bytes, report: bytes) -> None:
        books = self.house.books
        slide = books.journal.slides.get(self.in_work or 0)
        if slide.state != "SPOOLED":
            # A person discarded it while the worker had it: the decision stands, the answer is dropped.
            self.in_work = None
            return
        try:
            digests = {entry.sha256 for entry in read_manifest(books.folders.spool / str(slide.spool_name))}
            record = proved_record(record_bytes, self._order, digests)
            if not self._is_still_next(slide):
                text = "another revision of this folder was made meanwhile"
                self._on_failed({"code": "", "text": text, "retry": True})
                return
            self._check_mode(record)
            if not self._hold_back(slide, record):
                self._book(slide, record, record_bytes, report)
        except EdgeError as error:
            self._on_failed({"code": error.code, "text": str(error), "retry": False})
            self.end_child("its answer cannot be believed")
            return
        except sqlite3.IntegrityError as error:
            # The books refuse it, and would again in the next life: no fault of the worker, and no end of the daemon.
            self._count_failure(slide, {"code": UNFORESEEN, "text": f"{type(error).__name__}: {error}"})
            return
        except (OSError, ValueError) as error:
            number = error_number_of(error)
            self._on_failed({"code": "", "text": f"{type(error).__name__}: {error}", "retry": True, "errno": number})
            return
        self.in_work = None
        self._pauses.pop(slide.id, None)
        self._doubts.forget(slide.id)
        self.house.alarms.clear("worker")
        self.devices.worked()
        self.on_result()

    def _is_still_next(self, slide: SlideRow) -> bool:
        """Tell whether the record follows the newest revision, which a person may have released or withdrawn since."""
        last = last_revision(self.house.books, slide)
        return bool(self._order["job"]["supersedes"] == (last.message_id if last else None))

    def _check_mode(self, record: dict[str, Any]) -> None:
        """Refuse to send what a demonstration model or a test analyzer made as if it were a patient's result."""
        allowed = self.house.books.config.bundle.allow_demo
        if (record["mode"] == "T" and not allowed) or (self.house.test_analyzer and record["mode"] != "T"):
            raise EdgeError("MDSE-DAEMON-003", where=str(self.house.books.config.bundle.path))

    def _hold_back(self, slide: SlideRow, record: dict[str, Any]) -> bool:
        """Hold the slide when another result is in the way of its label; True when it gets none now."""
        books = self.house.books
        try:
            objection = label_objection(books, slide, record)
        except EdgeError as error:
            # What stands at the receiver cannot be read: whether this would take its place would be a guess.
            self._set_aside(error.code, str(error), "analyzing")
            return True
        if objection is None:
            return False
        # An earlier release was about something else.
        books.journal.slides.move(slide.id, "HELD", code=objection.code, text=str(objection), attempts=0, released=0)
        return True

    def _book(self, slide: SlideRow, record: dict[str, Any], record_bytes: bytes, report: bytes) -> None:
        """Archive, then one transaction: the result, what is to be delivered, the slide's state."""
        books = self.house.books
        last = last_revision(books, slide)
        if last is not None and last.slide_id == slide.id:
            before = json.loads(archived_record(books.folders.archive, last))
            if last.status != "W" and is_same_outcome(before, record):
                text = f"analyzed again with the same outcome as {last.message_id}: nothing is sent"
                cleared: dict[str, Any] = {"attempts": 0, "planned_reason": None, "planned_by": None}
                state = "CLOSED" if books.journal.results.is_delivered(slide.id) else "COMPUTED"
                books.journal.slides.move(slide.id, state, text=text, **cleared)
                return
        message_id = str(record["message_id"])
        if books.journal.results.is_used(message_id):
            # What the archive holds under it is another slide's.
            raise sqlite3.IntegrityError(f"{message_id} is the message id of another result")
        record_sha256, report_sha256 = store_result(books.folders.archive, message_id, record_bytes, report)
        new = NewRevision(
            int(record["revision"]), message_id, str(record["status"]), str(record["mode"]), record_sha256,
            report_sha256, str(record["provenance"]["bundle"]["digest"]), record["supersedes"],
            slide.planned_by or "daemon", slide.planned_reason,
        )  # fmt: skip
        with books.journal.change():
            facts = ReportFacts(report_sha256, len(report)) if report_sha256 is not None else None
            intents = intents_for(books.config.outputs, record, report=facts)
            books.journal.results.add_revision(slide.id, new, intents)
            books.journal.slides.move(
                slide.id, "COMPUTED", attempts=0, planned_reason=None, planned_by=None, released=0,
                filed_as=filed_under(record)[1],
            )  # fmt: skip

    def _on_failed(self, facts: dict[str, Any]) -> None:
        """Book a failure: the disk's is tried again for ever, any other counts until the slide is set aside."""
        books, slide_id, now_s = self.house.books, self.in_work or 0, self.house.monotonic()
        self.in_work = None
        slide = books.journal.slides.get(slide_id)
        if self.device != "cpu" and not facts.get("retry"):
            self._owe_to_cpu(slide_id)
            self._fall_back(str(facts["code"]), str(facts["text"]))
            return
        number = int(facts.get("errno", 0))
        from_worker = facts.get("retry") and facts["code"] == UNFORESEEN
        if from_worker and self._doubts.is_of_the_slide(slide_id, number, now_s):
            # The worker could not read its copy: the disk's trouble, until nobody believes that any more.
            error = EdgeError("MDSE-SPOOL-009", where=f"slide {slide_id}", reason=facts["text"])
            self.in_work = slide_id
            self._set_aside(error.code, str(error), "analyzing")
            return
        if facts.get("retry"):
            books.journal.slides.refund_attempt(slide_id)
            self._pause(slide_id, number, str(facts["text"]))
            return
        self._count_failure(slide, facts)

    def _pause(self, slide_id: int, number: int, reason: str) -> None:
        """Let the disk have time (`number`: its errno); the alarm says so."""
        now_s = self.house.monotonic()
        wait_s = self._pauses.setdefault(slide_id, Backoff()).failed(now_s, at_most_s=longest_pause_s(number))
        text = f"slide {slide_id} is tried again in {wait_s:.0f} s: {reason}"
        self.house.alarms.raise_alarm("worker", text, now_s)

    def _count_failure(self, slide: SlideRow, facts: dict[str, Any]) -> None:
        """Try a slide again that failed, until it has used its attempts."""
        self.in_work = None
        log.warning("slide %d failed (attempt %d)", slide.id, slide.attempts)
        if slide.attempts >= self.house.books.config.limits.attempts:
            self.in_work = slide.id
            trace = str(facts.get("traceback", ""))
            self._set_aside(str(facts["code"]), str(facts["text"]), "analyzing", traceback=trace)
        else:
            self._pauses.setdefault(slide.id, Backoff(CRASH_PAUSE_S)).failed(self.house.monotonic())

    def _owe_to_cpu(self, slide_id: int) -> None:
        """The device's fault costs the slide no attempt; it runs again, whole, before the device is tried again."""
        self.house.books.journal.slides.refund_attempt(slide_id)
        self._owed_to_cpu.add(slide_id)

    def _set_aside(self, code: str, text: str, stage: str, *, traceback: str = "") -> None:
        books = self.house.books
        slide = books.journal.slides.get(self.in_work or 0)
        self.in_work = None
        self._pauses.pop(slide.id, None)
        self._doubts.forget(slide.id)
        if slide.state != "SPOOLED":
            return  # a person decided about it while the worker had it
        files = spooled_folder(books, slide)
        quarantine_slide(books, slide, files, code=code, text=text, stage=stage, traceback=traceback)
        log.warning("slide %d is quarantined: %s", slide.id, code)
        if slide.idempotency_key is not None:  # without one no message can be named
            self.notices.plan(slide, code=code, model=self.facts, message_id=message_id_of(slide, 1))

    def on_end(self, reason: str) -> None:
        """A worker that died with a slide in hand has used one attempt; one that was stopped on request has not."""
        was_open, self.is_ready = self.is_ready, False
        slide_id, self.in_work = self.in_work, None
        if slide_id is None:
            if not was_open and not self.house.stopping:
                # It died or hung while it opened the device: the next one must not try the same for ever.
                self._fall_back("", f"the worker ended while it opened the device: {reason}")
            return
        if self.house.stopping:
            if self.house.is_blameless:
                self.house.books.journal.slides.refund_attempt(slide_id)
            return
        if self.device != "cpu":
            self._owe_to_cpu(slide_id)
            self._fall_back("", f"the worker ended with a slide in hand: {reason}")
            return
        self._pauses.setdefault(slide_id, Backoff(CRASH_PAUSE_S)).failed(self.house.monotonic())
        log.warning("slide %d: the worker ended with it in hand (%s)", slide_id, reason)
