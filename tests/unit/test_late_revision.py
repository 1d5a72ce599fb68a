"""Late files become a revision of their folder's result; what a person decided meanwhile is never overtaken."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_outbox import PAGE, RECORD, add_result, place_with

from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.channel import Message
from edge.daemon.corrections import finalize
from edge.daemon.decisions import reanalyze
from edge.daemon.spool import MANIFEST_NAME, SpooledFile, manifest_bytes, manifest_digest
from edge.record_text import record_bytes


class Worker:
    """Stands for the child: keeps the orders."""

    def __init__(self):
        self.orders = []

    def send(self, order, blobs=()):
        self.orders.append(order)

    def expect_within(self, budget_s, now_s):
        pass


def spooled_late_files(place):
    """Put a released second arrival of the folder A1 into the books, as the worker's next slide."""
    slides = place.books.journal.slides
    late = slides.add("di60", "A1", b"A1", state="LATE")
    manifest = tuple(SpooledFile(cell["file"], 1, cell["sha256"]) for cell in RECORD["cells"])
    late = slides.move(
        late.id, "SPOOLED", idempotency_key="1A7E", sample_id="A1", spool_name="late", planned_reason="late files",
        planned_by="K. Sato", manifest_sha256=manifest_digest(manifest),
    )  # fmt: skip
    folder = place.books.folders.spool / "late"
    (folder / "files").mkdir(parents=True)
    (folder / MANIFEST_NAME).write_bytes(manifest_bytes(manifest))
    return late


def answer_to(order):
    job = order["job"]
    slide = {
        **RECORD["slide"], "source": "di60", "slide_key": "A1", "sample_id": "A1",
        "manifest_sha256": job["manifest_sha256"],
    }  # fmt: skip
    names = ("message_id", "revision", "status", "supersedes", "reason", "analysed_at")
    record = {**RECORD, **{name: job[name] for name in names}, "slide": slide}
    return Message({"kind": "analyzed"}, (record_bytes(record), PAGE))


def test_a_result_that_was_released_during_the_analysis_of_late_files_is_corrected_and_not_overtaken(tmp_path: Path):
    place = place_with(tmp_path, "none", "hl7", report=False)
    try:
        add_result(place)
        place.run()
        keeper = AnalysisKeeper(place.keeper.house)
        worker = keeper.child = Worker()
        keeper.is_ready = True
        late = spooled_late_files(place)
        keeper.work()
        finalize(place.books, place.books.journal.slides.get(late.id - 1), by="K. Sato", reason="reviewed")
        keeper.on_message(answer_to(worker.orders[-1]))
        place.now_s[0] += 600
        keeper.work()
        keeper.on_message(answer_to(worker.orders[-1]))
        revisions = place.books.journal.results.revisions_of_folder("di60", "A1")
        assert [(row.number, row.status, row.supersedes) for row in revisions] == [
            (1, "P", None), (2, "F", "A1.R1"), (3, "C", "A1.R2"),
        ]  # fmt: skip
    finally:
        place.books.journal.close()


def test_a_revision_of_a_result_that_cannot_be_read_is_set_aside_and_the_daemon_goes_on(tmp_path: Path):
    place = place_with(tmp_path, "none", "hl7", report=False)
    try:
        add_result(place)
        place.run()
        for path in place.books.folders.archive.rglob("*.json"):
            path.unlink()
        late = spooled_late_files(place)
        keeper = AnalysisKeeper(place.keeper.house)
        keeper.child, keeper.is_ready = Worker(), True
        keeper.work()
        row = place.books.journal.slides.get(late.id)
        assert (row.state, row.reason_code, keeper.in_work) == ("QUARANTINED", "MDSE-JOURNAL-007", None)
        assert keeper.child.orders == []
    finally:
        place.books.journal.close()


@pytest.mark.parametrize(("delivery", "state"), [("SENT", "CLOSED"), ("PARKED", "COMPUTED")])
def test_the_same_outcome_again_closes_only_a_slide_of_which_everything_has_left(
    tmp_path: Path, delivery: str, state: str
):
    place = place_with(tmp_path, "none", "hl7", report=False)
    try:
        keeper = AnalysisKeeper(place.keeper.house)
        worker = keeper.child = Worker()
        keeper.is_ready = True
        slide = spooled_late_files(place)
        keeper.work()
        keeper.on_message(answer_to(worker.orders[-1]))
        place.run()
        place.books.journal.connection.execute("UPDATE deliveries SET state = ?", (delivery,))
        reanalyze(place.books, place.books.journal.slides.get(slide.id), by="K. Sato", reason="to be sure")
        keeper.work()
        keeper.on_message(answer_to(worker.orders[-1]))
        row = place.books.journal.slides.get(slide.id)
        assert (row.state, "same outcome" in row.reason_text) == (state, True)
        assert len(place.books.journal.results.revisions_of_folder("di60", "A1")) == 1
    finally:
        place.books.journal.close()
