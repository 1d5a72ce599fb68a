"""One output, from the books to the drop folder and back: answers, refusals, repeats, alarms. No process, a clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from records import example_record

from edge.config import config_from_text
from edge.daemon.archive import record_path, store_result
from edge.daemon.books import Books, utc_now, utc_text
from edge.daemon.channel import Message
from edge.daemon.corrections import finalize, resend, withdraw
from edge.daemon.decisions import discard, requeue
from edge.daemon.deliver import Deliverer
from edge.daemon.house import House
from edge.daemon.intents import ReportFacts, intents_for
from edge.daemon.missed import plan_missed_results
from edge.daemon.outbox import RESEND_FIRST_S, OutputKeeper
from edge.daemon.requests import answer_request
from edge.daemon.state_folders import StateFolders
from edge.errors import EdgeError
from edge.journal import open_journal
from edge.journal_results import NewRevision
from edge.journal_rows import DeliveryRow, SlideRow
from edge.record_text import record_bytes

CONFIG = """
site = {{ id = "T", timezone = "UTC", state_dir = "{root}/state" }}
bundle = {{ path = "{root}/bundle" }}
source = [{{ id = "di60", path = "{root}/export" }}]
[[output]]
format = "{format}"
path = "{root}/drop"
ack = "{ack}"
pickup_max_s = 60
report = {report}
"""
RECORD = example_record()
PAGE = b'<!DOCTYPE html><html><body class="x">report</body></html>\n'


@dataclass
class DelivererHere:
    """Stands for the child: carries out each order at once, in this process."""

    keeper: OutputKeeper
    deliverer: Deliverer | None = None
    answers: list[Message] = field(default_factory=list)

    def send(self, order: dict[str, Any], blobs: tuple[bytes, ...] = ()) -> None:
        if order["kind"] == "begin":
            self.deliverer = Deliverer(None, order)
            return
        try:
            answer = self.deliverer._carry_out(Message(order, blobs))
        except EdgeError as error:
            answer = {"kind": "failed", "id": order.get("id", 0), "code": error.code, "text": str(error)}
        self.answers.append(Message(answer))

    def expect_within(self, budget_s: float | None, now_s: float) -> None:
        pass


@dataclass
class Place:
    """One laboratory with one output, and the hands of its LIS."""

    root: Path
    books: Books
    keeper: OutputKeeper
    now_s: list[float]

    @property
    def drop(self) -> Path:
        return self.root / "drop"

    def run(self, *, for_s: float = 10.0) -> None:
        """Let the output work until nothing is left to do in this time."""
        end_s = self.now_s[0] + for_s
        while self.now_s[0] < end_s:
            self.now_s[0] += 0.0 if self.turn() else 0.5

    def turn(self) -> int:
        """Let one order be carried out; return how many there were, 0 or 1."""
        self.keeper.work()
        answers, self.keeper.child.answers = self.keeper.child.answers, []
        for answer in answers:
            self.keeper.on_message(answer)
        return len(answers)

    def slide(self, key: str = "A1") -> SlideRow:
        return self.books.journal.slides.newest("di60", key)

    def deliveries(self, message_id: str = "A1.R1") -> list[DeliveryRow]:
        results = self.books.journal.results
        return results.deliveries_of(results.revision(message_id).id)

    def state(self, message_id: str = "A1.R1") -> str:
        return self.deliveries(message_id)[-1].state

    def published(self) -> list[Path]:
        return sorted(path for path in self.drop.iterdir() if not path.name.startswith("."))

    def answer(self, row: DeliveryRow, content: bytes, suffix: str = ".ack") -> None:
        stem = row.final_name.rpartition(".")[0]
        (self.root / "ack" / f"{stem}{suffix}").write_bytes(content)

    def alarms(self) -> str:
        return " | ".join(f"{alarm['name']}: {alarm['text']}" for alarm in self.keeper.house.alarms.listed(0.0))


def place_with(root: Path, ack: str, output_format: str, report: bool) -> Place:
    for name in ("drop", "ack", "export"):
        (root / name).mkdir()
    folders = StateFolders(root / "state")
    folders.make()
    journal = open_journal(folders.journal, now=lambda: utc_text(utc_now()))
    text = CONFIG.format(root=root, ack=ack, format=output_format, report=str(report).lower())
    books = Books(config_from_text(text), journal, folders, utc_now)
    now_s = [1000.0]
    keeper = OutputKeeper(House(books, lambda: now_s[0]), books.config.outputs[0], 0)
    keeper.child = DelivererHere(keeper)
    keeper.begin(keeper.child)
    return Place(root, books, keeper, now_s)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[Place] = []

    def build(ack: str = "ack-file", output_format: str = "hl7", *, report: bool = False) -> Place:
        made.append(place_with(tmp_path, ack, output_format, report))
        return made[-1]

    yield build
    for place in made:
        place.books.journal.close()


def add_result(place: Place, key: str = "A1", status: str = "P") -> None:
    """Put a finished slide with its first result into the books."""
    books = place.books
    slide = books.journal.slides.add("di60", key, key.encode())
    books.journal.slides.move(slide.id, "SETTLED")
    books.journal.slides.move(slide.id, "SPOOLED", idempotency_key=key, sample_id=key, spool_name=f"{slide.id}-copy")
    facts = {"message_id": f"{key}.R1", "slide": {**RECORD["slide"], "slide_key": key, "sample_id": key}}
    record = RECORD | facts | {"status": status}
    digest, report = store_result(books.folders.archive, f"{key}.R1", record_bytes(record), PAGE)
    new = NewRevision(1, f"{key}.R1", status, record["mode"], digest, report, "0" * 64, None, "daemon", None)
    intents = intents_for(books.config.outputs, record, report=ReportFacts(report, len(PAGE)))
    with books.journal.change():
        books.journal.results.add_revision(slide.id, new, intents)
        books.journal.slides.move(slide.id, "COMPUTED")


def ack(message_id: str, code: str = "AA", text: str = "", error: str = "") -> bytes:
    errors = f"ERR|||{error}|E\r" if error else ""
    header = "MSH|^~\\&|LIS||MDSEDGE||20261123180100+0900||ACK|77|P|2.5.1"
    return f"{header}\rMSA|{code}|{message_id}|{text}\r{errors}".encode()


def test_an_acknowledged_result_is_accepted_and_its_slide_is_closed(make: Any) -> None:
    place = make()
    add_result(place)
    place.run()
    assert place.state() == "SENT"
    place.answer(place.deliveries()[0], ack("A1.R1"))
    place.run()
    assert place.state() == "ACCEPTED"
    assert place.slide().state == "CLOSED"


@pytest.mark.parametrize("content", [ack("A2.R1"), ack("A1.R2"), ack("A2.R1", "AE"), b"OK", b"MSH|^~\\&|\rMSA|AA", b""])
def test_a_foreign_or_malformed_answer_settles_neither_this_message_nor_the_one_it_names(
    make: Any, content: bytes
) -> None:
    place = make()
    add_result(place, "A1")
    add_result(place, "A2")
    place.run()
    place.answer(place.deliveries("A1.R1")[0], content)
    place.run()
    assert [place.state("A1.R1"), place.state("A2.R1")] == ["SENT", "SENT"]
    assert ("ack-hl7" in place.alarms()) == bool(content)


def test_a_late_answer_settles_its_own_message_although_a_newer_one_was_sent(make: Any) -> None:
    place = make()
    add_result(place)
    place.run()
    finalize(place.books, place.slide(), by="K. Sato", reason="reviewed")
    place.run()
    place.answer(place.deliveries("A1.R1")[0], ack("A1.R1"))
    place.run()
    assert [place.state("A1.R1"), place.state("A1.R2")] == ["ACCEPTED", "SENT"]


def test_a_refusal_keeps_the_words_of_the_receiver_and_sends_nothing_again(make: Any) -> None:
    place = make()
    add_result(place)
    place.run()
    place.answer(place.deliveries()[0], ack("A1.R1", "AE", "unknown sample", error="204^Unknown key"))
    place.run(for_s=3600)
    assert place.deliveries()[-1].reason_text == "AE unknown sample 204^Unknown key"
    assert [row.state for row in place.deliveries()] == ["REFUSED"]
    assert len(place.published()) == 1


def test_an_error_of_the_receiver_itself_is_answered_with_the_same_bytes_three_times_and_ever_later(make: Any) -> None:
    place = make()
    add_result(place)
    place.run()
    for copy in (1, 2, 3, 4):
        assert [row.copy for row in place.deliveries()] == list(range(1, copy + 1))
        place.answer(place.deliveries()[-1], ack("A1.R1", "AE", "locked", error="206^Application record locked"))
        place.run(for_s=RESEND_FIRST_S * 2 ** (copy - 1) - 3)
        assert len(place.published()) == copy, "not before its time"
        place.run(for_s=10)
    assert [row.state for row in place.deliveries()] == ["REFUSED"] * 4
    assert len({path.read_bytes() for path in place.published()}) == 1
    assert [path.stem[-3:] for path in place.published()[1:]] == ["_d2", "_d3", "_d4"]


def test_a_rejection_is_never_taken_for_an_error_that_passes(make: Any) -> None:
    place = make()
    add_result(place)
    place.run()
    place.answer(place.deliveries()[0], ack("A1.R1", "AR", "wrong version", error="206^Application record locked"))
    place.run(for_s=3600)
    assert [row.state for row in place.deliveries()] == ["REFUSED"]


def test_a_repeat_that_waits_for_its_time_holds_no_other_result_up(make: Any) -> None:
    place = make()
    add_result(place, "A1")
    place.run()
    place.answer(place.deliveries()[0], ack("A1.R1", "AE", error="207"))
    place.run(for_s=5)
    add_result(place, "A2")
    place.run(for_s=5)
    assert (place.state("A1.R1"), place.state("A2.R1")) == ("RENDERED", "SENT")


@pytest.mark.parametrize("restart", [False, True])
def test_a_repeat_that_waited_never_follows_the_withdrawal_of_its_result(make: Any, restart: bool) -> None:
    place = make()
    add_result(place)
    place.run()
    place.answer(place.deliveries()[0], ack("A1.R1", "AE", error="206"))
    place.run(for_s=5)
    withdraw(place.books, place.slide(), by="K. Sato", reason="wrong sample")
    place.run(for_s=5)
    if restart:
        place.keeper._not_before_s.clear()
    place.run(for_s=3600)
    assert [path.name.split("_")[2] for path in place.published()] == ["r1", "r2"]
    assert [(row.copy, row.state) for row in place.deliveries()] == [(1, "REFUSED"), (2, "ARCHIVED")]
    assert "A1.R2" in place.deliveries()[-1].reason_text


def test_a_late_temporary_error_about_a_result_that_was_replaced_brings_it_back_no_more(make: Any) -> None:
    place = make()
    add_result(place)
    place.run()
    withdraw(place.books, place.slide(), by="K. Sato", reason="wrong sample")
    place.run()
    place.answer(place.deliveries()[0], ack("A1.R1", "AE", error="206"))
    place.answer(place.deliveries("A1.R2")[0], ack("A1.R2"))
    place.run(for_s=3600)
    assert [path.name.split("_")[2] for path in place.published()] == ["r1", "r2"]
    assert place.slide().state == "CLOSED"


def test_a_parked_result_that_was_replaced_is_not_rendered_again_and_the_reason_is_told(make: Any) -> None:
    place = make("none")
    add_result(place)
    place.books.journal.results.move_delivery(place.deliveries()[0].id, "PARKED", text="the code was unknown")
    withdraw(place.books, place.slide(), by="K. Sato", reason="wrong sample")
    place.run()
    with pytest.raises(EdgeError) as failure:
        requeue(place.books, place.slide(), by="K. Sato", reason="the code is known now")
    assert (failure.value.code, "A1.R2 has left" in str(failure.value)) == ("MDSE-JOURNAL-022", True)
    place.run()
    assert [path.name.split("_")[2] for path in place.published()] == ["r2"]
    assert place.state() == "PARKED"
    discard(place.books, place.slide(), by="K. Sato", reason="withdrawn")
    assert (place.state(), place.slide().state) == ("ARCHIVED", "CLOSED")


def test_of_two_parked_results_only_the_one_that_nothing_replaced_is_rendered_again(make: Any) -> None:
    place = make("none")
    add_result(place)
    results = place.books.journal.results
    results.move_delivery(place.deliveries()[0].id, "PARKED", text="the code was unknown")
    withdraw(place.books, place.slide(), by="K. Sato", reason="wrong sample")
    results.move_delivery(place.deliveries("A1.R2")[0].id, "PARKED", text="the code was unknown")
    requeue(place.books, place.slide(), by="K. Sato", reason="the code is known now")
    place.run()
    assert [path.name.split("_")[2] for path in place.published()] == ["r1", "r2"]


def test_results_leave_while_the_folder_of_the_answers_is_away(make: Any) -> None:
    place = make()
    add_result(place, "A1")
    place.run()
    (place.root / "ack").rmdir()
    place.run()
    assert "ack-folder" in place.alarms()
    add_result(place, "A2")
    place.run(for_s=2)
    assert place.state("A2.R1") == "SENT"
    (place.root / "ack").mkdir()
    place.answer(place.deliveries("A1.R1")[0], ack("A1.R1"))
    place.run(for_s=600)
    assert place.state("A1.R1") == "ACCEPTED"
    assert "ack-folder" not in place.alarms()


@pytest.mark.case("L3")
def test_a_result_that_nobody_takes_raises_an_alarm_and_is_not_sent_again(make: Any) -> None:
    place = make("file-gone")
    add_result(place)
    place.run(for_s=50)
    assert "pickup" not in place.alarms()
    place.run(for_s=30)
    assert "pickup-hl7" in place.alarms()
    place.run(for_s=3600)
    assert len(place.published()) == 1
    place.published()[0].unlink()
    place.run()
    assert place.state() == "COLLECTED"
    assert "pickup" not in place.alarms()


def test_senaites_index_accepts_a_name_only_when_no_error_of_it_follows(make: Any) -> None:
    place = make("senaite-index", "json")
    add_result(place, "A1")
    add_result(place, "A2")
    place.run()
    one, two = (place.deliveries(key)[0].final_name for key in ("A1.R1", "A2.R1"))
    (place.drop / "imported.csv").write_text(f"logs.log\nimported.csv\n{one}\n{two}\n")
    place.keeper._next_ack_s = 0.0
    place.run(for_s=0.5)
    assert [place.state("A1.R1"), place.state("A2.R1")] == ["SENT", "SENT"], "one look is not enough"
    line = f"2026-11-23 18:00:00 [ERROR] [Instrument:DI-60] {two}: Sample not found\n"
    (place.drop / "logs.log").write_text(line)
    place.run()
    assert [place.state("A1.R1"), place.state("A2.R1")] == ["ACCEPTED", "REFUSED"]
    assert "Sample not found" in place.deliveries("A2.R1")[0].reason_text


def test_a_resend_is_the_same_bytes_and_a_withdrawal_another_message(make: Any) -> None:
    place = make("none", "json")
    add_result(place)
    place.run()
    resend(place.books, place.slide(), by="K. Sato", reason="the LIS lost it")
    place.run()
    withdraw(place.books, place.slide(), by="K. Sato", reason="wrong sample")
    place.run()
    records = [json.loads(path.read_bytes()) for path in place.published()]
    assert sorted((r["message_id"], r["status"]) for r in records) == [
        ("A1.R1", "P"), ("A1.R1", "P"), ("A1.R2", "W"),
    ]  # fmt: skip
    assert next(r["supersedes"] for r in records if r["status"] == "W") == "A1.R1"


def test_what_waits_is_listed_with_the_words_of_the_receiver(make: Any) -> None:
    place = make()
    for key in ("A1", "A2", "A3"):
        add_result(place, key)
    place.run()
    place.answer(place.deliveries("A1.R1")[0], ack("A1.R1"))
    place.answer(place.deliveries("A2.R1")[0], b"no such patient", ".err")
    place.run()
    listed = answer_request(place.books, {"command": "open-results"}, uid=0)["results"]
    assert [(row["message_id"], row["state"], row["reason_text"]) for row in listed] == [
        ("A2.R1", "REFUSED", "no such patient"), ("A3.R1", "SENT", ""),
    ]  # fmt: skip


@pytest.mark.case("L12")
def test_a_report_is_published_whole_before_its_message_and_waits_for_no_answer(make: Any) -> None:
    place = make("file-gone", report=True)
    add_result(place)
    seen = []
    while place.turn() and len(place.published()) < 2:
        names = [path.suffix for path in place.published()]
        seen += [names] if names not in seen else []
    assert seen == [[], [".html"]]
    message, page = place.published()
    assert (page.stem, page.read_bytes()) == (message.stem, PAGE)
    assert [(row.copy, row.state) for row in place.deliveries()] == [(0, "ARCHIVED"), (1, "SENT")]
    message.unlink()
    place.run()
    assert place.state() == "COLLECTED"
    assert place.slide().state == "CLOSED"


def test_a_report_that_was_changed_in_the_archive_is_not_published_and_its_message_is(make: Any) -> None:
    place = make("none", report=True)
    add_result(place)
    next((place.root / "state" / "archive").glob("*/*.html")).write_bytes(b"forged")
    place.run()
    assert [(row.copy, row.state) for row in place.deliveries()] == [(0, "PARKED"), (1, "SENT")]
    assert [path.suffix for path in place.published()] == [".hl7"]


def test_a_repeated_message_brings_no_second_report(make: Any) -> None:
    place = make("none", report=True)
    add_result(place)
    place.run()
    resend(place.books, place.slide(), by="K. Sato", reason="the LIS lost it")
    place.run()
    assert sorted(path.suffix for path in place.published()) == [".hl7", ".hl7", ".html"]


def test_without_the_key_no_report_is_published(make: Any) -> None:
    place = make("none")
    add_result(place)
    place.run()
    assert [path.suffix for path in place.published()] == [".hl7"]


def test_the_archived_report_says_what_became_of_its_result_and_keeps_what_was_measured(make: Any) -> None:
    place = make("none", report=True)
    add_result(place)
    place.run()
    finalize(place.books, place.slide(), by="K. Sato", reason="reviewed")
    withdraw(place.books, place.slide(), by="K. Sato", reason="wrong <b>sample</b>")
    place.run()
    first, final, withdrawn = (
        next((place.root / "state" / "archive").glob(f"*/A1.R{number}.html")).read_bytes() for number in (1, 2, 3)
    )
    assert first == PAGE
    assert b"FINAL (status F). Revision 2, message A1.R2, replaces A1.R1" in final
    assert b"WITHDRAWN: DO NOT USE" in withdrawn
    assert b"FINAL" not in withdrawn, "one notice, the latest"
    assert b"<b>sample" not in withdrawn
    assert b"report</body>" in withdrawn
    assert sorted(path.read_bytes() for path in place.published() if path.suffix == ".html") == sorted(
        (first, final, withdrawn)
    )


def test_a_result_whose_report_is_gone_can_still_be_withdrawn(make: Any) -> None:
    place = make("none", report=True)
    add_result(place)
    place.run()
    next((place.root / "state" / "archive").glob("*/*.html")).unlink()
    withdraw(place.books, place.slide(), by="K. Sato", reason="wrong sample")
    place.run()
    assert place.state("A1.R2") == "SENT"


def test_the_alarm_about_a_foreign_answer_ends_when_the_right_one_comes(make: Any) -> None:
    place = make()
    add_result(place)
    place.run()
    place.answer(place.deliveries()[0], ack("A2.R1"))
    place.run()
    assert "ack-hl7" in place.alarms()
    place.answer(place.deliveries()[0], ack("A1.R1"))
    place.run()
    assert place.state() == "ACCEPTED"
    assert "ack-hl7" not in place.alarms()


@pytest.mark.case("L10")
def test_a_resend_after_the_retention_is_refused_when_it_would_carry_other_bytes(make: Any) -> None:
    place = make("none", "json")
    add_result(place)
    place.run()
    results = place.books.journal.results
    results.move_delivery(place.deliveries()[0].id, "ARCHIVED", text="retention")
    resend(place.books, place.slide(), by="K. Sato", reason="the LIS lost it")
    place.run()
    first, second = place.published()
    assert first.read_bytes() == second.read_bytes()
    results.move_delivery(place.deliveries()[-1].id, "ARCHIVED", text="retention")
    place.books.journal.connection.execute("UPDATE deliveries SET sha256 = ?", ("0" * 64,))
    with pytest.raises(EdgeError, match="MDSE-JOURNAL-015"):
        resend(place.books, place.slide(), by="K. Sato", reason="the LIS lost it")
    place.run()
    assert len(place.published()) == 2


@pytest.mark.parametrize("cut", [5, 15, 30, -1])
def test_an_answer_that_is_still_being_written_settles_nothing_and_is_read_again(make: Any, cut: int) -> None:
    place = make()
    add_result(place)
    place.run()
    row = place.deliveries()[0]
    whole = ack("A1.R1", "AE", "busy", error="207^Application internal error")
    place.answer(row, whole[: len(whole) - 1 if cut == -1 else cut])
    place.run(for_s=1.9)
    assert [delivery.state for delivery in place.deliveries()] == ["SENT"]
    place.answer(row, whole)
    place.run()
    assert place.deliveries()[0].state == "REFUSED"
    assert len(place.deliveries()) == 2  # the error is the receiver's own: sent again


def test_an_answer_without_a_line_end_is_believed_when_it_has_not_grown(make: Any) -> None:
    place = make()
    add_result(place)
    place.run()
    place.answer(place.deliveries()[0], ack("A1.R1").rstrip(b"\r"))
    place.run(for_s=10)
    assert place.state("A1.R1") == "ACCEPTED"


@pytest.mark.case("D15")
def test_a_drop_folder_that_does_not_answer_is_an_alarm_before_its_deliverer_is_replaced(make: Any) -> None:
    place = make()
    add_result(place)
    place.keeper.child.send = lambda order, blobs=(): None
    place.keeper.work()
    place.now_s[0] += 24.0
    place.keeper.work()
    assert place.alarms() == ""
    place.now_s[0] += 2.0
    place.keeper.work()
    assert "output-" in place.alarms()


@pytest.mark.case("D2")
def test_a_drop_folder_that_fills_stops_new_slides_and_nothing_else(make: Any) -> None:
    place = make()
    house, floor = place.keeper.house, place.books.config.limits.min_free_drop_bytes
    for free, may_take, alarm in ((2 * floor, True, False), (2 * floor - 1, True, True), (floor - 1, False, True)):
        place.keeper.on_message(Message({"kind": "acks", "states": [], "free_bytes": free}))
        assert (not house.full_drops, "drop-disk" in place.alarms()) == (may_take, alarm)
    add_result(place)
    place.run()
    assert place.deliveries()[0].state == "SENT"
    place.keeper.on_message(Message({"kind": "acks", "states": [], "free_bytes": 2 * floor}))
    assert (house.full_drops, "drop-disk" in place.alarms()) == (set(), False)


def test_every_result_has_its_own_time_to_be_taken_however_slowly_they_go_one_by_one(make: Any) -> None:
    place = make("file-gone")
    for key in ("A1", "A2", "A3"):
        add_result(place, key)
    place.run(for_s=5)
    for number, alarm in ((1, False), (2, True), (3, False)):
        place.run(for_s=50)
        oldest, *_ = sorted(place.published(), key=lambda path: path.name)
        oldest.unlink()
        place.run(for_s=5)
        assert ("pickup" in place.alarms()) == alarm, f"{number} were taken"


def test_a_result_that_follows_gives_those_before_it_no_more_time(make: Any) -> None:
    place = make("file-gone")
    add_result(place, "A1")
    place.run(for_s=50)
    add_result(place, "A2")
    place.run(for_s=20)
    assert "delivery 1 was not collected" in place.alarms()


def test_where_nobody_answers_nobody_waits(make: Any) -> None:
    place = make("none")
    add_result(place)
    place.run(for_s=3600)
    assert "pickup" not in place.alarms()


def test_a_result_that_was_published_before_the_start_has_its_time_from_the_start_on(make: Any) -> None:
    place = make("file-gone")
    add_result(place)
    place.run(for_s=50)
    again = OutputKeeper(place.keeper.house, place.books.config.outputs[0], 0)
    again.child = DelivererHere(again)
    again.begin(again.child)
    place.keeper = again
    place.run(for_s=50)
    assert "pickup" not in place.alarms()
    place.run(for_s=20)
    assert "pickup" in place.alarms()


def reconfigured(
    place: Place, root: Path, output_format: str, ack: str = "none", drop: str = "drop", *, report: bool = False
) -> None:
    """Let the place go on with another format, in the same drop folder or another one."""
    text = CONFIG.format(root=root, ack=ack, format=output_format, report=str(report).lower())
    text = text.replace(f'path = "{root}/drop"', f'path = "{root}/{drop}"')
    books = Books(config_from_text(text), place.books.journal, place.books.folders, utc_now)
    plan_missed_results(books)
    keeper = OutputKeeper(House(books, lambda: place.now_s[0]), books.config.outputs[0], 0)
    keeper.child = DelivererHere(keeper)
    keeper.begin(keeper.child)
    place.books, place.keeper = books, keeper


def test_a_drop_folder_stays_ours_when_the_format_of_its_output_is_changed(make: Any, tmp_path: Path) -> None:
    place = make("none", "hl7")
    add_result(place, "A1")
    place.run()
    reconfigured(place, tmp_path, "json")
    add_result(place, "A2")
    place.run()
    assert [path.suffix for path in place.published()] == [".hl7", ".json"]
    assert "MDSE-DAEMON-015" not in place.alarms()


def test_what_a_former_output_left_staged_is_not_swept_and_leaves_when_it_is_configured_again(
    make: Any, tmp_path: Path
) -> None:
    place = make("none", "hl7")
    add_result(place, "A1")
    while place.state("A1.R1") != "STAGED":
        place.turn()
    reconfigured(place, tmp_path, "json")
    place.run()
    assert place.state("A1.R1") == "RENDERED"
    assert place.published() == []
    reconfigured(place, tmp_path, "hl7")
    place.run()
    assert (place.state("A1.R1"), len(place.published())) == ("SENT", 1)


@pytest.mark.parametrize("report", [False, True])
@pytest.mark.parametrize(("how_far", "sent"), [("RENDERED", ["R2"]), ("STAGED", ["R1", "R2"]), ("SENT", ["R1", "R2"])])
def test_an_output_that_is_configured_again_gets_what_it_missed_and_nothing_older_after_it(
    make: Any, tmp_path: Path, how_far: str, sent: list[str], report: bool
) -> None:
    place = make("none", "hl7", report=report)
    add_result(place, "A1")
    while place.state("A1.R1") != how_far:
        place.turn()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    reconfigured(place, tmp_path, "json", drop="elsewhere")
    withdraw(place.books, place.slide("A1"), by="lab", reason="wrong sample")
    add_result(place, "B1")
    place.run()
    assert [row.output for row in place.deliveries("A1.R2")] == [f"json:{elsewhere}"]
    reconfigured(place, tmp_path, "hl7", report=report)
    reconfigured(place, tmp_path, "hl7", report=report)  # a second start plans nothing more
    place.run()
    texts = [path.read_bytes() for path in place.published() if path.suffix == ".hl7"]
    assert [name for name in ("R1", "R2") for text in texts if f"|A1.{name}|".encode() in text] == sent
    assert not any(b"|B1.R1|" in text for text in texts), "it never had anything of that slide"
    pages = [path for path in place.published() if path.suffix == ".html"]
    assert len(pages) == (0 if not report else 1 if how_far == "RENDERED" else 2)
    assert place.slide("A1").state == "CLOSED"


def test_an_output_that_missed_a_withdrawal_and_another_samples_result_gets_both_in_order(
    make: Any, tmp_path: Path
) -> None:
    place = make("none", "hl7")
    add_result(place, "A1")
    place.run()
    (tmp_path / "elsewhere").mkdir()
    reconfigured(place, tmp_path, "json", drop="elsewhere")
    withdraw(place.books, place.slide("A1"), by="lab", reason="wrong sample")
    again = place.books.journal.slides.add("di60", "A1", b"A1", state="LATE", sample_id="0099")
    named = {**RECORD["slide"], "slide_key": "A1", "sample_id": "0099"}
    facts = {"message_id": "A1.R3", "revision": 3, "supersedes": "A1.R2", "reason": "relabelled", "status": "P"}
    record = RECORD | facts | {"slide": named}
    digest, report = store_result(place.books.folders.archive, "A1.R3", record_bytes(record), None)
    new = NewRevision(3, "A1.R3", "P", record["mode"], digest, report, "0" * 64, "A1.R2", "daemon", None)
    place.books.journal.results.add_revision(again.id, new, intents_for(place.books.config.outputs, record))
    reconfigured(place, tmp_path, "hl7")
    place.run()
    query = (
        "SELECT message_id, d.state FROM deliveries d JOIN revisions r ON r.id = d.revision_id"
        " WHERE d.output LIKE 'hl7:%' ORDER BY d.id"
    )
    sent = place.books.journal.connection.execute(query).fetchall()
    assert sent == [("A1.R1", "SENT"), ("A1.R2", "SENT"), ("A1.R3", "SENT")]


def test_a_missed_result_whose_record_was_changed_is_an_alarm_and_the_older_one_is_not_sent(
    make: Any, tmp_path: Path
) -> None:
    place = make("none", "hl7")
    add_result(place, "A1")
    (tmp_path / "elsewhere").mkdir()
    reconfigured(place, tmp_path, "json", drop="elsewhere")
    withdraw(place.books, place.slide("A1"), by="lab", reason="wrong sample")
    place.run()
    record_path(place.books.folders.archive, "A1.R2").write_bytes(b"{}")
    reconfigured(place, tmp_path, "hl7")
    place.run()
    row = next(row for row in place.deliveries("A1.R2") if row.output.startswith("hl7"))
    assert (row.state, "MDSE-JOURNAL-007" in row.reason_text) == ("PARKED", True)
    assert place.published() == []


def test_a_file_that_a_former_output_had_published_unbooked_counts_as_sent(make: Any, tmp_path: Path) -> None:
    place = make("none", "hl7")
    add_result(place, "A1")
    while place.state("A1.R1") != "STAGED":
        place.turn()
    place.keeper.work()  # published, and the answer is never heard
    reconfigured(place, tmp_path, "json", ack="file-gone")
    place.run(for_s=100)
    assert (place.state("A1.R1"), len(place.published())) == ("SENT", 1)
    assert place.slide("A1").state == "CLOSED"
    assert "pickup" not in place.alarms(), "nobody looks for its answer any more"


def test_a_folder_of_an_output_that_is_still_configured_is_not_taken_by_another_one(make: Any, tmp_path: Path) -> None:
    place = make("none", "hl7")
    add_result(place, "A1")
    place.run()
    identity = place.keeper._identity()
    reconfigured(place, tmp_path, "json")
    place.books.journal.connection.execute("INSERT INTO meta VALUES ('drop xml:/srv', ?)", (identity,))
    assert place.keeper._former_names(identity) == [f"hl7:{tmp_path}/drop", "xml:/srv"]
    two = place.books.config.outputs[0].model_copy(update={"format": "xml", "path": Path("/srv")})
    config = place.books.config.model_copy(update={"outputs": (*place.books.config.outputs, two)})
    place.keeper.house.books = Books(config, place.books.journal, place.books.folders, utc_now)
    assert place.keeper._former_names(identity) == []
