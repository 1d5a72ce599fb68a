"""The gate before every analysis: nothing is analyzed that the books do not speak for, whatever path led there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from decided_slides import Laboratory
from test_late_revision import Worker
from test_outbox import PAGE, RECORD
from test_sources import Scanner

from edge.commands.journal import _text
from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.arrival import spooled_folder
from edge.daemon.channel import Message
from edge.daemon.house import House
from edge.daemon.recovery import remove_unnamed_copies
from edge.daemon.sources import SourceKeeper
from edge.daemon.spool import MANIFEST_NAME, content_digest, read_manifest
from edge.daemon.waiting import raise_alarms_for_people
from edge.daemon.worker_orders import message_id_of
from edge.errors import EdgeError
from edge.journal_rows import SlideRow
from edge.record_text import record_bytes


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Gated(Laboratory):
    """A laboratory with true manifests, a scanner and a worker: slides are analyzed as the daemon does it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.house = self.place.keeper.house
        self.scanner = self.scanner_with()
        self.analysis = AnalysisKeeper(self.house)
        self.analysis.child, self.analysis.is_ready = Worker(), True  # type: ignore[assignment]  # like a child
        self.looks = 0

    def scanner_with(self, **section: Any) -> SourceKeeper:
        keeper = SourceKeeper(self.house, self.books.config.sources[0].model_copy(update=section))
        keeper.child = Scanner()  # type: ignore[assignment]  # like a child
        keeper.is_working_on = lambda slide_id: self.analysis.in_work == slide_id
        self.scanner = keeper
        return keeper

    def facts_of(self, key: str, *, sample: str | None, images: str, token: str = "t") -> dict[str, Any]:  # noqa: S107 - a folder's name
        facts = super().facts_of(key, sample=sample, images=images, token=token)
        manifest = read_manifest(self.books.folders.incoming / token)
        self.looks += 1
        return facts | {"content_sha256": content_digest(manifest), "signature": f"look {self.looks}"}

    def order(self, key: str) -> dict[str, Any]:
        """Let the folder settle with another look, and return what its scanner is to copy."""
        self.looks += 1
        facts = {"folder": key, "signature": f"look {self.looks}", "reason": "", "stat": False}
        self.scanner.on_message(Message({"kind": "settled", **facts}))
        self.scanner.work()
        order: dict[str, Any] = self.scanner.child.orders[-1]  # type: ignore[union-attr]  # like a child
        assert order["kind"] == "fetch"
        return order

    def read(self, key: str = "A1", *, sample: str | None = "0042", images: str = "first") -> SlideRow:
        """Let the scanner see a change of the folder and copy it."""
        order = self.order(key)
        facts = self.facts_of(key, sample=sample, images=images, token=f"t{self.looks}")
        self.hear("fetched", order, **facts)
        return self.slide(key)

    def refuse(self, key: str = "A1") -> SlideRow:
        """Let the scanner see a change of the folder to what is never copied."""
        facts = {"token": "t", "code": "MDSE-SPOOL-001", "text": "a link", "exit": 5}
        self.hear("refused", self.order(key), **facts)
        return self.slide(key)

    def hear(self, kind: str, order: dict[str, Any], **facts: Any) -> None:
        message = {"kind": kind, "slide": order["slide"], "folder": order["folder"], "signature": order["signature"]}
        self.scanner.on_message(Message({**message, "slow": False, **facts}))

    def begin(self) -> None:
        self.place.now_s[0] += 600
        self.analysis.work()

    def answer(self) -> None:
        """Let the worker answer its last order."""
        order = self.analysis.child.orders[-1]  # type: ignore[union-attr]  # like a child
        job = order["job"]
        slide = RECORD["slide"] | {
            "source": "di60", "slide_key": order["slide_key"], "sample_id": order["sample_id"],
            "slide_no": None, "manifest_sha256": job["manifest_sha256"],
        }  # fmt: skip
        names = ("message_id", "revision", "status", "supersedes", "reason", "analysed_at")
        record = RECORD | {name: job[name] for name in names} | {"slide": slide}
        self.analysis.on_message(Message({"kind": "analyzed"}, (record_bytes(record), PAGE)))

    def work_off(self) -> None:
        """Let the worker have every slide that the gate lets through, and send what comes of it."""
        for _ in range(20):
            self.begin()
            if self.analysis.in_work is not None:
                self.answer()
        self.place.run()

    def sent(self) -> list[tuple[str, str]]:
        """Return sample id and status of every published result, in the order of their names."""
        records = [json.loads(path.read_text()) for path in self.place.published()]
        return sorted((record["slide"]["sample_id"], record["status"]) for record in records)

    def stands(self, key: str = "A1") -> tuple[str, str]:
        row = self.slide(key)
        return row.state, row.reason_code

    def alarms_raised(self) -> list[str]:
        raise_alarms_for_people(self.house)
        return [str(alarm["name"]) for alarm in self.house.alarms.listed(0.0)]

    def done(self, key: str = "A1", *, sample: str = "0042", images: str = "first") -> SlideRow:
        """Return a slide whose result was delivered, all of it as the daemon does it."""
        self.arrive(key, sample=sample, images=images)
        self.work_off()
        assert self.slide(key).state == "CLOSED"
        return self.slide(key)


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    monkeypatch.setattr(House, "may_take", lambda self: True)
    monkeypatch.setattr(House, "has_room", lambda self: True)
    made = Gated(tmp_path)
    yield made
    made.books.journal.close()


def refused(laboratory: Gated, command: str, name: str) -> str:
    with pytest.raises(EdgeError) as failure:
        laboratory.decide(command, name)
    return failure.value.code


# ---- the copy


def test_what_is_as_it_should_be_passes_the_gate(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.decide("reanalyze", "A1")
    laboratory.begin()
    assert laboratory.analysis.in_work == laboratory.slide().id
    laboratory.answer()
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.work_off()
    assert laboratory.revisions() == [("1P", None), ("2P", laboratory.revisions()[1][1])]


@pytest.mark.parametrize("damage", ["another manifest", "no manifest", "no JSON", "no key"])
def test_a_copy_that_is_not_what_the_row_says_is_set_aside(laboratory: Gated, damage: str) -> None:
    row = laboratory.arrive()
    copy = spooled_folder(laboratory.books, row)
    assert copy is not None
    if damage == "another manifest":
        (copy / MANIFEST_NAME).write_text('[["1.jpg",4,"00"]]')
    elif damage == "no JSON":
        (copy / MANIFEST_NAME).write_text("[[")
    elif damage == "no manifest":
        (copy / MANIFEST_NAME).unlink()
    else:
        laboratory.slides.amend(row.id, "key lost", idempotency_key=None)
    laboratory.begin()
    assert (laboratory.stands(), laboratory.analysis.in_work) == (("QUARANTINED", "MDSE-SPOOL-018"), None)
    assert laboratory.decide("requeue", "A1")["state"] == "SEEN"
    laboratory.read()
    laboratory.work_off()
    assert laboratory.sent() == [("0042", "P")]


def test_a_disk_that_cannot_read_the_copy_now_costs_the_slide_nothing(
    laboratory: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.arrive()
    with monkeypatch.context() as failing:
        failing.setattr("edge.daemon.gate.read_manifest", lambda _: (_ for _ in ()).throw(OSError(5, "I/O error")))
        laboratory.begin()
    row = laboratory.slide()
    assert (row.state, row.attempts, laboratory.analysis.in_work) == ("SPOOLED", 0, None)
    assert "tried again" in laboratory.place.alarms()
    laboratory.work_off()
    assert laboratory.sent() == [("0042", "P")]


def test_a_slide_without_a_key_has_no_message_id(laboratory: Gated) -> None:
    row = laboratory.arrive()
    assert message_id_of(row, 1).endswith(".R1")
    row = laboratory.slides.amend(row.id, "key lost", idempotency_key=None)
    with pytest.raises(EdgeError):
        message_id_of(row, 1)


def test_files_of_a_purged_slide_that_come_back_leave_no_earlier_copy_to_be_released(laboratory: Gated) -> None:
    for key in ("A1", "B1"):
        laboratory.done(key, images=f"whole {key}")
        laboratory.slides.purge("di60", key)
        laboratory.arrive(key, images=f"half {key}")
        laboratory.read(key, images=f"whole {key}")
        row = laboratory.slide(key)
        assert (row.state, row.idempotency_key, row.spool_name) == ("DUPLICATE", None, None)
        assert refused(laboratory, "release", key) == "MDSE-JOURNAL-010"
    # A row from before, with a copy and without a key.
    laboratory.slides.amend(row.id, "an older version", spool_name="copy")
    (laboratory.books.folders.spool / "copy").mkdir()
    assert refused(laboratory, "release", "B1") == "MDSE-JOURNAL-010"
    laboratory.work_off()
    assert len(laboratory.sent()) == 2


# ---- failures that the books see


def test_a_result_that_the_books_refuse_is_a_failure_of_its_slide_and_overwrites_no_other(laboratory: Gated) -> None:
    laboratory.done("A1", images="of A1")
    key = laboratory.slide("A1").idempotency_key
    assert key is not None
    archived = {path: path.read_bytes() for path in laboratory.books.folders.archive.rglob("*.json")}
    row = laboratory.arrive("B1", images="of B1")
    laboratory.slides.amend(row.id, "the first digits are the same", idempotency_key=key[:12] + "f" * 52)
    for attempt in (1, 2, 3):
        laboratory.begin()
        assert laboratory.slide("B1").attempts == attempt
        laboratory.answer()
    assert laboratory.stands("B1") == ("QUARANTINED", "MDSE-DAEMON-006")
    assert {path: path.read_bytes() for path in laboratory.books.folders.archive.rglob("*.json")} == archived


@pytest.mark.parametrize("blameless", [True, False])
def test_an_attempt_is_given_back_when_the_stop_was_asked_for_and_not_when_something_broke(
    laboratory: Gated, blameless: bool
) -> None:
    laboratory.arrive()
    laboratory.begin()
    order = laboratory.order("B1") if laboratory.slides.add("di60", "B1", b"B1") else {}
    assert (laboratory.slide().attempts, laboratory.slide("B1").attempts, order["folder"]) == (1, 1, "B1")
    laboratory.house.stopping, laboratory.house.is_blameless = True, blameless
    laboratory.analysis.on_end("the daemon stops")
    laboratory.scanner.on_end("the daemon stops")
    attempts = 0 if blameless else 1
    assert (laboratory.slide().attempts, laboratory.slide("B1").attempts) == (attempts, attempts)


# ---- withdrawn results


def test_a_held_slide_whose_folder_is_touched_does_not_follow_the_withdrawal_unasked(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.decide("withdraw", "A1")
    assert laboratory.stands() == ("HELD", "MDSE-SPOOL-013")
    laboratory.read(images="more")
    laboratory.work_off()
    assert laboratory.stands() == ("HELD", "MDSE-SPOOL-013")
    assert [name for name, _ in laboratory.revisions()] == ["1P", "2W"]
    laboratory.decide("release", "A1")
    laboratory.work_off()
    assert [name for name, _ in laboratory.revisions()] == ["1P", "2W", "3P"]


def test_what_was_requeued_before_a_withdrawal_is_held_when_it_was_read_after_it(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.lose_copy(laboratory.quarantine(laboratory.slide()))
    laboratory.decide("requeue", "A1")
    assert laboratory.slide().planned_by == "uid:1 K. Sato"
    laboratory.decide("withdraw", "A1")
    if laboratory.slide().state == "SEEN":
        laboratory.read(images="more")
        laboratory.work_off()
    assert laboratory.stands() == ("HELD", "MDSE-SPOOL-013")
    assert [name for name, _ in laboratory.revisions()] == ["1P", "2W"]
    # Whoever asks now gets it: the slide is read anew, and analyzed.
    laboratory.decide("requeue", "A1")
    laboratory.read(images="more")
    laboratory.work_off()
    assert [name for name, _ in laboratory.revisions()] == ["1P", "2W", "3P"]


def test_a_withdrawn_slide_may_be_analyzed_again_by_who_wants_it(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.decide("withdraw", "A1")
    laboratory.place.run()
    laboratory.decide("reanalyze", "A1")
    laboratory.work_off()
    assert [name for name, _ in laboratory.revisions()] == ["1P", "2W", "3P"]


# ---- whose images


@pytest.mark.parametrize("listed", [True, False])
def test_a_slide_that_is_tried_again_is_asked_about_images_that_were_reported_meanwhile(
    laboratory: Gated, listed: bool
) -> None:
    laboratory.quarantine(laboratory.arrive("P1", sample="0042"))
    laboratory.done("P2", sample="0099")
    if not listed:
        laboratory.scanner.on_message(Message({"kind": "unlisted", "folders": ["P1"]}))
    laboratory.decide("requeue", "P1")
    if listed:
        laboratory.read("P1", sample="0042")
    laboratory.work_off()
    assert laboratory.stands("P1") == ("HELD", "MDSE-SPOOL-005")
    assert laboratory.sent() == [("0099", "P")]
    laboratory.decide("release", "P1")
    laboratory.work_off()
    assert laboratory.sent() == [("0042", "P"), ("0099", "P")]


def test_the_gate_asks_also_where_no_command_did(laboratory: Gated) -> None:
    """As a version before this one, or a path that nobody thought of, may have left it."""
    laboratory.quarantine(laboratory.arrive("P1", sample="0042"))
    laboratory.done("P2", sample="0099")
    laboratory.slides.move(laboratory.slide("P1").id, "SPOOLED", released=1)
    laboratory.work_off()
    row = laboratory.slide("P1")
    assert (row.state, row.reason_code, row.related_slide) == ("HELD", "MDSE-SPOOL-005", laboratory.slide("P2").id)
    assert laboratory.decide("release", "P1")["state"] == "SPOOLED"
    laboratory.work_off()
    assert laboratory.slide("P1").state == "CLOSED"


@pytest.mark.parametrize(("sample", "code"), [("0042", "MDSE-SPOOL-006"), ("0099", "MDSE-SPOOL-005")])
def test_of_two_slides_with_the_same_images_the_earlier_one_goes_first_and_none_waits_for_ever(
    laboratory: Gated, sample: str, code: str
) -> None:
    first = laboratory.quarantine(laboratory.arrive("P1", sample="0042"))
    laboratory.arrive("P2", sample=sample)
    laboratory.slides.move(first.id, "SPOOLED", attempts=0)
    laboratory.work_off()
    assert laboratory.slide("P1").state == "CLOSED"
    assert laboratory.stands("P2") == ("HELD", code)
    assert laboratory.decide("release", "P2")["state"] == "SPOOLED"
    laboratory.work_off()
    assert laboratory.slide("P2").state == "CLOSED"


def test_late_files_for_another_sample_that_are_a_third_ones_images_are_asked_about_both(laboratory: Gated) -> None:
    laboratory.done("B1", sample="0077", images="of B1")
    laboratory.done("A1", sample="0042")
    laboratory.arrive("A1", sample="0099", images="of B1")
    assert laboratory.stands() == ("LATE", "MDSE-SPOOL-010")
    laboratory.decide("withdraw", "A1")
    reply = laboratory.decide("release", "A1")
    assert (reply["state"], reply["reason_code"]) == ("LATE", "MDSE-SPOOL-005")
    assert _text("release", reply).endswith("is LATE (MDSE-SPOOL-005: edge-journal show)")
    assert laboratory.stands() == ("LATE", "MDSE-SPOOL-005")
    laboratory.work_off()
    assert ("0099", "P") not in laboratory.sent()
    # Now a person has seen both.
    assert laboratory.decide("release", "A1")["state"] == "SPOOLED"
    laboratory.work_off()
    assert ("0099", "P") in laboratory.sent()


@pytest.mark.parametrize("purged", [True, False])
def test_late_files_that_are_another_slides_images_do_not_follow_by_themselves(laboratory: Gated, purged: bool) -> None:
    laboratory.done("B1", sample="0042", images="of B1")
    if purged:
        laboratory.slides.purge("di60", "B1")
    laboratory.done("A1", sample="0042")
    laboratory.scanner_with(late_policy="revise")
    laboratory.read("A1", images="of B1")
    assert laboratory.stands() == ("LATE", "MDSE-SPOOL-011" if purged else "MDSE-SPOOL-006")
    assert laboratory.decide("release", "A1")["state"] == "SPOOLED"
    laboratory.work_off()
    assert [name for name, _ in laboratory.revisions()] == ["1P", "2P"]


def test_images_of_a_slide_whose_rows_are_gone_are_analyzed_when_a_person_has_let_them_pass_once(
    laboratory: Gated,
) -> None:
    laboratory.done("P1")
    laboratory.slides.purge("di60", "P1")
    laboratory.arrive("P2")
    assert laboratory.stands("P2") == ("HELD", "MDSE-SPOOL-011")
    laboratory.decide("release", "P2")
    laboratory.work_off()
    assert laboratory.slide("P2").state == "CLOSED"


def test_the_images_of_a_result_are_known_also_when_its_folder_was_released_incomplete(laboratory: Gated) -> None:
    laboratory.done("A1", sample="0042")
    laboratory.decide("reanalyze", "A1")
    laboratory.lose_copy(laboratory.quarantine(laboratory.slide()))
    laboratory.decide("requeue", "A1")
    overdue = {"kind": "overdue", "folder": "A1", "reason": "the marker is missing"}
    laboratory.scanner.on_message(Message(overdue))
    assert laboratory.decide("release", "A1")["state"] == "SEEN"
    laboratory.scanner.on_message(Message({"kind": "vanished", "folders": ["A1"]}))
    laboratory.arrive("B1", sample="0099")
    assert laboratory.stands("B1") == ("HELD", "MDSE-SPOOL-005")


def test_a_slide_with_its_own_result_is_no_doubt_about_itself(laboratory: Gated) -> None:
    laboratory.done("P1", sample="0042")
    laboratory.arrive("P2", sample="0099")
    laboratory.decide("release", "P2")
    laboratory.work_off()
    for key in ("P1", "P2"):
        laboratory.decide("reanalyze", key)
        laboratory.work_off()
        assert laboratory.stands(key) == ("CLOSED", "")


# ---- what the folder shows


def test_a_refused_change_leaves_no_earlier_copy_and_no_answered_question(laboratory: Gated) -> None:
    laboratory.done("P1", sample="0042")
    laboratory.arrive("P2", sample="0099")
    laboratory.arrive("A1", images="half")
    for key in ("P2", "A1"):
        row = laboratory.refuse(key)
        assert (row.state, row.reason_code, row.spool_name) == ("QUARANTINED", "MDSE-SPOOL-001", None)
        assert laboratory.decide("requeue", key)["state"] == "SEEN"
    assert len(remove_unnamed_copies(laboratory.books)) == 2
    laboratory.read("P2", sample="0099")
    assert laboratory.stands("P2") == ("HELD", "MDSE-SPOOL-005")


def test_a_label_that_was_put_right_again_leaves_nothing_for_the_wrong_sample(laboratory: Gated) -> None:
    laboratory.done(sample="0042")
    laboratory.arrive(sample="0099")
    laboratory.decide("withdraw", "A1")
    row = laboratory.read(sample="0042")
    assert (row.state, row.reason_code, row.spool_name) == ("DUPLICATE", "MDSE-SPOOL-006", None)
    assert refused(laboratory, "release", "A1") != ""
    laboratory.decide("reanalyze", "row:1")
    laboratory.work_off()
    assert laboratory.sent() == [("0042", "P"), ("0042", "P"), ("0042", "W")]


def test_files_that_were_put_back_take_the_others_out_of_the_line_in_every_state(laboratory: Gated) -> None:
    for number, state in enumerate(("LATE", "HELD", "QUARANTINED", "SPOOLED")):
        key = f"A{number}"
        laboratory.done(key, images=f"first {key}")
        laboratory.arrive(key, images=f"second {key}")
        if state != "LATE":
            laboratory.decide("release", key)
        if state == "HELD":
            laboratory.decide("withdraw", key)
        if state == "QUARANTINED":
            laboratory.quarantine(laboratory.slide(key))
        assert laboratory.slide(key).state == state
        row = laboratory.read(key, images=f"first {key}")
        assert (row.state, row.spool_name, row.planned_by) == ("DUPLICATE", None, None)
        # And back once more: they are late files as any.
        assert laboratory.read(key, images=f"second {key}").state == "LATE"


def test_what_the_worker_has_in_hand_is_left_to_it_and_told_when_its_files_were_put_back(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.arrive(images="second")
    laboratory.decide("release", "A1")
    laboratory.begin()
    assert laboratory.read(images="first").state == "SPOOLED"
    laboratory.answer()
    laboratory.place.run()
    assert "results-of-replaced-files" in laboratory.alarms_raised()


def test_a_result_of_files_that_were_replaced_is_an_alarm_until_the_files_that_are_there_have_theirs(
    laboratory: Gated,
) -> None:
    laboratory.done()
    laboratory.scanner_with(late_policy="revise")
    laboratory.read(images="another slide's")
    laboratory.work_off()
    assert "results-of-replaced-files" not in laboratory.alarms_raised()
    laboratory.read(images="first")
    assert "results-of-replaced-files" in laboratory.alarms_raised()
    assert refused(laboratory, "reanalyze", "row:2") == "MDSE-JOURNAL-020"
    laboratory.decide("reanalyze", "row:1")
    laboratory.work_off()
    assert [name for name, _ in laboratory.revisions()] == ["1P", "2P", "3P"]
    assert "results-of-replaced-files" not in laboratory.alarms_raised()
    # Once more the other way round.
    laboratory.read(images="another slide's")
    assert "results-of-replaced-files" in laboratory.alarms_raised()
    assert refused(laboratory, "reanalyze", "row:1") == "MDSE-JOURNAL-020"
    laboratory.decide("withdraw", "A1")
    assert "results-of-replaced-files" not in laboratory.alarms_raised()


def test_late_files_that_were_discarded_are_no_alarm(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.arrive(images="more")
    laboratory.decide("discard", "A1")
    assert "results-of-replaced-files" not in laboratory.alarms_raised()
    laboratory.decide("reanalyze", "row:1")
    laboratory.work_off()
    assert laboratory.slides.get(1).state == "CLOSED"


def test_a_reanalysis_whose_files_were_put_aside_for_earlier_ones_waits_for_a_person(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.arrive(images="second")
    laboratory.decide("release", "A1")
    laboratory.work_off()
    laboratory.decide("reanalyze", "A1")
    laboratory.read(images="first")
    assert laboratory.stands() == ("QUARANTINED", "MDSE-SPOOL-012")
    assert laboratory.decide("discard", "A1")["state"] == "CLOSED"
    assert laboratory.decide("reanalyze", "row:1")["state"] == "SPOOLED"


def test_an_older_arrival_is_not_analyzed_while_newer_files_wait_for_a_decision(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.arrive(images="second")
    laboratory.decide("release", "A1")
    laboratory.quarantine(laboratory.slide())
    laboratory.arrive(images="third")
    assert refused(laboratory, "requeue", "row:2") == "MDSE-JOURNAL-020"
    laboratory.decide("discard", "row:3")
    assert laboratory.decide("requeue", "row:2")["state"] == "SPOOLED"


def test_files_that_come_while_an_older_arrival_waits_for_the_worker_hold_it(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.decide("reanalyze", "A1")
    laboratory.arrive(images="second")
    laboratory.work_off()
    first = laboratory.slides.get(1)
    assert (first.state, first.reason_code) == ("HELD", "MDSE-JOURNAL-020")
    assert refused(laboratory, "release", "row:1") == "MDSE-JOURNAL-020"
    assert laboratory.decide("release", "A1")["state"] == "SPOOLED"
    laboratory.work_off()
    assert refused(laboratory, "release", "row:1") == "MDSE-JOURNAL-017"
    assert laboratory.decide("discard", "row:1")["state"] == "CLOSED"


def test_a_result_of_another_sample_holds_what_reached_the_worker_all_the_same(laboratory: Gated) -> None:
    laboratory.done(sample="0042")
    late = laboratory.arrive(sample="0099")
    laboratory.slides.move(late.id, "SPOOLED", planned_by="K. Sato")
    laboratory.work_off()
    assert laboratory.stands() == ("HELD", "MDSE-SPOOL-010")
    assert refused(laboratory, "release", "A1") == "MDSE-JOURNAL-016"
    laboratory.decide("withdraw", "A1")
    assert laboratory.decide("release", "A1")["state"] == "SPOOLED"
    laboratory.work_off()
    assert ("0099", "P") in laboratory.sent()


# ---- reading anew


def test_a_slide_that_is_read_anew_while_the_worker_has_it_settles_again(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.arrive(images="more")
    laboratory.decide("release", "A1")
    laboratory.begin()
    laboratory.decide("withdraw", "A1")
    laboratory.decide("requeue", "A1")
    row = laboratory.read(images="more")
    assert (row.state, row.attempts) == ("SEEN", 0)
    laboratory.answer()
    assert laboratory.read(images="more").state == "SPOOLED"
    laboratory.work_off()
    assert [name for name, _ in laboratory.revisions()] == ["1P", "2W", "3P"]


@pytest.mark.parametrize("way", ["listed", "unlisted", "no source"])
def test_a_slide_that_was_set_aside_is_read_anew_where_that_is_possible(laboratory: Gated, way: str) -> None:
    laboratory.quarantine(laboratory.arrive())
    if way == "unlisted":
        laboratory.scanner.on_message(Message({"kind": "unlisted", "folders": ["A1"]}))
    if way == "no source":
        elsewhere = laboratory.books.config.sources[0].model_copy(update={"id": "other"})
        object.__setattr__(
            laboratory.books, "config", laboratory.books.config.model_copy(update={"sources": (elsewhere,)})
        )
    assert laboratory.decide("requeue", "row:1")["state"] == ("SEEN" if way == "listed" else "SPOOLED")


def test_files_that_a_person_discarded_and_that_are_back_are_an_alarm_beside_a_later_result(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.arrive(images="second")
    laboratory.decide("discard", "A1")
    laboratory.arrive(images="third")
    laboratory.decide("release", "A1")
    laboratory.work_off()
    assert "results-of-replaced-files" not in laboratory.alarms_raised()
    laboratory.read(images="second")
    assert "results-of-replaced-files" in laboratory.alarms_raised()


def test_images_that_another_slide_has_are_asked_about_again_after_a_withdrawal(laboratory: Gated) -> None:
    laboratory.done("P1", sample="0042")
    laboratory.arrive("P2", sample="0099")
    laboratory.decide("release", "P2")
    laboratory.work_off()
    laboratory.decide("withdraw", "P1")
    laboratory.place.run()
    laboratory.decide("reanalyze", "P1")
    laboratory.work_off()
    assert laboratory.stands("P1") == ("HELD", "MDSE-SPOOL-005")
    laboratory.decide("release", "P1")
    laboratory.work_off()
    assert [name for name, _ in laboratory.revisions("P1")] == ["1P", "2W", "3P"]


def test_two_arrivals_of_which_nobody_knows_the_look_are_not_taken_for_the_same_files(laboratory: Gated) -> None:
    laboratory.done()
    laboratory.decide("reanalyze", "A1")
    laboratory.lose_copy(laboratory.quarantine(laboratory.slide()))
    laboratory.decide("requeue", "A1")
    laboratory.read(images="more")
    assert laboratory.slides.get(1).signature is None
    laboratory.decide("release", "A1")
    laboratory.lose_copy(laboratory.quarantine(laboratory.slide()))
    laboratory.decide("requeue", "A1")
    laboratory.scanner.on_message(Message({"kind": "overdue", "folder": "A1", "reason": "the marker is missing"}))
    assert laboratory.decide("release", "A1")["state"] == "SEEN"


def test_the_number_of_a_result_goes_on_past_what_was_given_back(laboratory: Gated) -> None:
    laboratory.done(images="second")
    laboratory.decide("finalize", "A1")
    laboratory.place.run()
    known = {path.name for path in laboratory.books.folders.archive.rglob("*.json")}
    assert laboratory.slides.purge("di60", "A1")
    laboratory.done(images="third")
    assert laboratory.read(images="second").state == "LATE"
    laboratory.decide("release", "A1")
    laboratory.work_off()
    assert laboratory.revisions()[-1][0] == "3P"
    newest = laboratory.books.journal.results.revisions_of_folder("di60", "A1")[-1]
    assert f"{newest.message_id}.json" not in known


def test_a_copy_whose_folder_then_holds_what_is_refused_is_set_aside_and_read_anew_when_it_is_mended(
    laboratory: Gated,
) -> None:
    laboratory.done("A1")
    assert laboratory.arrive("B1").state == "DUPLICATE"
    refused_row = laboratory.refuse("B1")
    assert (refused_row.state, refused_row.reason_code) == ("QUARANTINED", "MDSE-SPOOL-001")
    assert laboratory.read("B1", images="another").state == "SPOOLED"
