"""Numbered fault cases that no other test is about: processes that cannot be ended, full folders, trained models."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_outbox import add_result, place_with

import edge.daemon.child_process as child_module
from edge.bundle.reader import open_bundle
from edge.daemon.analysis import AnalysisKeeper
from edge.daemon.child_process import KILL_GRACE_S, TERMINATE_GRACE_S, ChildProcess
from edge.daemon.worker import failure_of
from edge.delivery import publish
from edge.delivery.publish import is_collected, prepare_drop, publish_file, stage_file, staged_state
from edge.errors import EdgeError
from edge.slide_files import SLIDE_FILES_MAX, list_slide_folder, open_folder, read_file_below


class Unkillable:
    """Stands for a process that hangs in the kernel: signals change nothing."""

    pid = 4711
    returncode = None

    def __init__(self, *_: object, **__: object) -> None:
        self.signals: list[int] = []

    def poll(self) -> None:
        """It is still there."""

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.fixture
def unkillable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module.subprocess, "Popen", Unkillable)


@pytest.mark.case("C6")
def test_a_child_that_even_sigkill_does_not_end_is_abandoned_and_never_waited_for(unkillable: None) -> None:
    child = ChildProcess("worker", "edge.daemon.worker")
    child.stop(100.0)
    child.advance(100.0 + TERMINATE_GRACE_S)
    assert child.state == "terminating"
    child.advance(100.1 + TERMINATE_GRACE_S)
    assert child.state == "killed"
    child.advance(100.2 + TERMINATE_GRACE_S + KILL_GRACE_S)
    assert child.state == "abandoned"
    assert child._process.signals == [signal.SIGTERM, signal.SIGKILL]  # type: ignore[attr-defined]  # like a child
    assert child.how_it_ended() == "still there after SIGKILL"
    child.close()


@pytest.mark.case("C6")
def test_two_workers_that_cannot_be_ended_end_the_daemon_so_that_systemd_acts(tmp_path: Path, unkillable: None) -> None:
    place = place_with(tmp_path, "none", "hl7", report=False)
    keeper = AnalysisKeeper(place.keeper.house)
    for number in (1, 2):
        assert keeper.may_start()
        child = ChildProcess("worker", "edge.daemon.worker")
        child.state = "abandoned"
        keeper._ending.append(child)
        assert keeper.abandoned == number
    assert not keeper.may_start()
    fatal = keeper.house.fatal
    assert isinstance(fatal, EdgeError)
    assert fatal.code == "MDSE-DAEMON-008"
    for child in keeper._ending:
        child.close()
    place.books.journal.close()


@pytest.mark.case("C10")
def test_a_worker_out_of_memory_is_replaced_and_the_slide_has_used_an_attempt() -> None:
    answer = failure_of(MemoryError("no room for a batch"))
    assert (answer["kind"], answer["retry"]) == ("failed", False)
    full_disk = failure_of(OSError(28, "No space left on device"))
    assert (full_disk["kind"], full_disk["retry"]) == ("failed", True)


@pytest.mark.case("D21")
def test_publishing_never_lists_the_drop_folder_however_full_it_is(tmp_path: Path, monkeypatch: Any) -> None:
    for number in range(2_000):
        (tmp_path / f"old-{number}.hl7").touch()
    listed: list[object] = []
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, lambda place=None, *_: listed.append(place))
    drop = prepare_drop(tmp_path)
    digest, size = stage_file(drop, "s.hl7", b"result"), len(b"result")
    assert staged_state(drop, "s.hl7", "new.hl7") == "staged"
    publish_file(drop, "s.hl7", "new.hl7", sha256_of(b"result"), size)
    assert not is_collected(drop, "new.hl7")
    assert staged_state(drop, "s.hl7", "new.hl7") == "published"
    assert listed == []
    assert digest is None or isinstance(digest, str)


def sha256_of(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


@pytest.mark.case("L4")
@pytest.mark.case("L6")
def test_results_that_nobody_takes_for_a_week_stay_as_they_were_published(tmp_path: Path) -> None:
    place = place_with(tmp_path, "file-gone", "hl7", report=False)
    for number in range(30):
        add_result(place, f"A{number}")
    place.run(for_s=60)
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in place.published()}
    assert len(before) == 30
    for _ in range(7):
        place.now_s[0] += 86_400
        place.run(for_s=20)
    assert {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in place.published()} == before
    assert "pickup-hl7" in place.alarms()
    assert all(place.state(f"A{number}.R1") == "SENT" for number in range(30))
    for path in place.published():
        path.unlink()
    place.run(for_s=600)
    assert all(place.state(f"A{number}.R1") == "COLLECTED" for number in range(30))
    place.books.journal.close()


@pytest.mark.case("H7")
@pytest.mark.parametrize("name", ["model.keras", "model.h5", "weights.pt", "model.pkl"])
def test_a_trained_model_in_place_of_a_bundle_is_refused_unread(tmp_path: Path, name: str, monkeypatch: Any) -> None:
    model = tmp_path / name
    model.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(EdgeError) as refusal:
        open_bundle(model, public_key=None)
    assert refusal.value.code.startswith("MDSE-BUNDLE-")
    folder = tmp_path / "folder"
    folder.mkdir()
    model.rename(folder / name)
    with pytest.raises(EdgeError) as refusal:
        open_bundle(folder, public_key=None)
    assert refusal.value.code.startswith("MDSE-BUNDLE-")


@pytest.mark.case("H7")
def test_nothing_beside_the_analyzer_can_load_a_trained_model(repository: Path) -> None:
    loads = re.compile(
        r"import (keras|tensorflow|torch|pickle|joblib)|from (keras|tensorflow|torch|pickle|joblib)|allow_pickle=True"
    )
    found = [str(path) for path in (repository / "edge").rglob("*.py") if loads.search(path.read_text())]
    assert found == []


@pytest.mark.case("S15")
@pytest.mark.parametrize("lock", ["cpu.txt", "dev.txt"])
def test_every_locked_requirement_is_one_version_with_its_hashes(repository: Path, lock: str) -> None:
    text = (repository / "requirements" / lock).read_text()
    logical = [
        line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert len(logical) > 10
    for line in logical:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+( ;[^-]*)?\s", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line


@pytest.mark.case("S8")
@pytest.mark.parametrize(
    "change",
    [
        {"mode": "T"},
        {"message_id": "FORGED.R1"},
        {"revision": 7},
        {"status": "F"},
        {"slide": {"sample_id": "SOMEBODY-ELSE"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_worker_that_answers_for_another_slide_or_invents_counts_is_not_believed(
    tmp_path: Path, change: dict[str, Any], monkeypatch: Any
) -> None:
    place = place_with(tmp_path, "none", "hl7", report=False)
    answer_wrongly(place, change, monkeypatch)
    made = place.books.journal.connection.execute("SELECT count(*) FROM revisions").fetchone()[0]
    assert made == 1, "nothing was booked"
    late = place.books.journal.slides.newest("di60", "A1")
    assert late is not None
    assert (late.state, late.attempts) == ("SPOOLED", 1)
    place.books.journal.close()


def answer_wrongly(place: Any, change: dict[str, Any], monkeypatch: Any) -> None:
    """Let the worker answer for a released slide with a record that was changed."""
    from test_late_revision import Worker, answer_to, spooled_late_files

    add_result(place)
    place.run()
    keeper = AnalysisKeeper(place.keeper.house)
    keeper.child, keeper.is_ready = Worker(), True  # type: ignore[assignment]  # like a child
    spooled_late_files(place)
    keeper.work()
    sound = answer_to(keeper.child.orders[-1])  # type: ignore[attr-defined]  # like a child
    monkeypatch.setattr(keeper, "end_child", lambda *_, **__: None)
    keeper.on_message(forged(sound, change))


@pytest.mark.case("B20")
@pytest.mark.parametrize("output_format", ["hl7", "json", "csv"])
@pytest.mark.parametrize("change", [{"leucocytes": 10_000}, {"counts": {}}], ids=lambda change: next(iter(change)))
def test_counts_that_do_not_add_up_reach_nobody(
    tmp_path: Path, change: dict[str, Any], output_format: str, monkeypatch: Any
) -> None:
    place = place_with(tmp_path, "none", output_format, report=False)
    answer_wrongly(place, change, monkeypatch)
    place.run(for_s=60)
    assert len(place.published()) == 1, "the earlier result alone"
    states = [row[0] for row in place.books.journal.connection.execute("SELECT state FROM deliveries ORDER BY id")]
    assert states[1:] in (["PARKED"], [])
    place.books.journal.close()


def forged(message: Any, change: dict[str, Any]) -> Any:
    import json

    from edge.daemon.channel import Message

    record = json.loads(message.blobs[0])
    for key, value in change.items():
        record[key] = {**record[key], **value} if key == "slide" else value
    return Message(message.header, (json.dumps(record).encode(), message.blobs[1]))


@pytest.mark.case("L8")
def test_the_staging_folder_is_hidden_from_a_receiver_that_reads_everything() -> None:
    assert publish.STAGING_NAME.startswith(".")


@pytest.mark.case("S2")
def test_a_link_that_is_swapped_in_again_and_again_is_never_read_through(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    folder = tmp_path / "A1"
    (folder / "wbc").mkdir(parents=True)
    (folder / "wbc" / "1.jpg").write_bytes(b"image")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "1.jpg").write_bytes(b"secret")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (folder / "link").symlink_to(secret)
            (folder / "link").rename(folder / "wbc" / "1.jpg")
            (folder / "new").write_bytes(b"image")
            (folder / "new").rename(folder / "wbc" / "1.jpg")
            (folder / "wbc").rename(folder / "away")
            (folder / "wbc").symlink_to(tmp_path / "other")
            (folder / "wbc").unlink()
            (folder / "away").rename(folder / "wbc")

    swapping = threading.Thread(target=swap)
    swapping.start()
    read: Counter[bytes] = Counter()
    try:
        with open_folder(folder) as descriptor:
            for _ in range(20_000):
                try:
                    read[read_file_below(descriptor, "wbc/1.jpg", bytes_max=100)] += 1
                except (OSError, EdgeError):
                    read[b"refused"] += 1
    finally:
        stop.set()
        swapping.join()
    assert set(read) == {b"image", b"refused"}


@pytest.mark.case("S3")
def test_devices_and_sockets_named_as_images_are_listed_as_what_they_are_and_never_read(tmp_path: Path) -> None:
    folder = tmp_path / "A1"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"image")
    os.mkfifo(folder / "2.jpg")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(folder / "3.jpg"))
    names = ["2.jpg", "3.jpg"]
    if os.geteuid() == 0:
        os.mknod(folder / "4.jpg", 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero never ends
        names.append("4.jpg")
    listing = list_slide_folder(folder)
    assert list(listing.links) == names
    assert [image.path for image in listing.images] == ["1.jpg"]
    with open_folder(folder) as descriptor:
        for name in names:
            with pytest.raises((OSError, EdgeError)):
                read_file_below(descriptor, name, bytes_max=100)
    bound.close()


@pytest.mark.case("S19")
def test_a_folder_of_a_hundred_thousand_files_is_given_up_without_reading_it_whole(
    tmp_path: Path, monkeypatch: Any
) -> None:
    class Entries:
        """A folder that never ends, as `os.scandir` shows it."""

        def __init__(self) -> None:
            self.shown = 0

        def __enter__(self) -> Entries:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is held."""

        def __iter__(self) -> Any:
            while True:
                self.shown += 1
                yield type("Entry", (), {"name": f".{self.shown}"})()

    entries = Entries()
    monkeypatch.setattr(os, "scandir", lambda _: entries)
    with pytest.raises(EdgeError) as refusal:
        list_slide_folder(tmp_path)
    assert refusal.value.code == "MDSE-SLIDE-009"
    assert entries.shown <= SLIDE_FILES_MAX + 1
