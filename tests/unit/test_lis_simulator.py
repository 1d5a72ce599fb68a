"""The simulated LIS: accepts what our writer makes, refuses every broken form of it, and answers by message id."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from records import example_record

from edge.commands.lis_simulator import main
from edge.delivery.acknowledge import read_acknowledgement
from edge.delivery.publish import prepare_drop
from edge.simulator.lis import LisSettings, SimulatedLis
from edge.simulator.lis_message import message_from_bytes
from edge.writers.hl7_oru import Hl7OruWriter

RECORD = example_record()
WHOLE = Hl7OruWriter().render(RECORD).content
MESSAGE_ID = RECORD["message_id"]


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    (tmp_path / "hl7").mkdir()
    (tmp_path / "ack").mkdir()
    return tmp_path / "hl7"


def lis_at(drop: Path, **settings: object) -> SimulatedLis:
    return SimulatedLis(LisSettings(drop, drop.parent / "ack", **settings), lambda: 0.0)


def test_a_message_of_our_writer_is_understood_without_a_fault() -> None:
    message = message_from_bytes(WHOLE)
    assert message.faults == ()
    assert not message.partial
    assert message.message_id == MESSAGE_ID
    assert message.sample_id == RECORD["slide"]["sample_id"]
    assert message.slide == RECORD["slide"]["slide_key"]
    assert message.mode == RECORD["mode"]
    assert message.results[-1].value == str(len(message.results))
    values = {result.code: result.value for result in message.results}
    assert values["MDSCALL"] == RECORD["assessments"][0]["call"]


@pytest.mark.parametrize("status", ["P", "F", "C", "W", "X"])
def test_every_status_our_writer_sends_is_understood(status: str) -> None:
    second = {"revision": 2, "supersedes": "9F3C21AA04B7.R1", "reason": "x", "message_id": "9F3C21AA04B7.R2"}
    record = RECORD | {"status": status} | (second if status in "CW" else {})
    message = message_from_bytes(Hl7OruWriter().render(record).content)
    assert message.faults == ()
    assert message.status == {"W": "C"}.get(status, status)


@pytest.mark.case("L1")
def test_a_file_cut_anywhere_is_seen_to_be_partial() -> None:
    ends_of_segments = [match.end() for match in re.finditer(rb"\r", WHOLE)][:-1]
    for length in sorted({*range(0, len(WHOLE), 17), *range(len(WHOLE) - 120, len(WHOLE)), *ends_of_segments}):
        message = message_from_bytes(WHOLE[:length])
        assert message.faults, length
        assert message.partial, length


def changed(pattern: bytes, replacement: bytes) -> bytes:
    content, count = re.subn(pattern, replacement, WHOLE, count=1)
    assert count == 1, "the example no longer holds what this test changes"
    return content


BROKEN = {
    "no specimen": changed(rb"SPM\|[^\r]*\r", b""),
    "line feeds": WHOLE.replace(b"\r", b"\n"),
    "one line feed": changed(rb"\rOBX\|2\|", b"\r\nOBX|2|"),
    "both line ends": WHOLE.replace(b"\r", b"\r\n"),
    "byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "MLLP frame": b"\x0b" + WHOLE + b"\x1c\r",
    "control byte": changed(rb"(OBX\|1\|NM\|)", b"\\1\x07"),
    "not UTF-8": changed(rb"(OBX\|1\|NM\|)", b"\\1\xff"),
    "another message type": changed(rb"ORU\^R01\^ORU_R01", b"ACK"),
    "another version": changed(rb"\|2\.5\.1\|", b"|2.3|"),
    "unknown mode": changed(rb"\|[PT]\|2\.5\.1", b"|Q|2.5.1"),
    "no message id": changed(MESSAGE_ID.encode(), b""),
    "long message id": changed(MESSAGE_ID.encode(), b"X" * 21),
    "time without offset": changed(rb"(\|\d{14})[+-]\d{4}\|", rb"\1|"),
    "no sample": changed(rb"(OBR\|1\|[^|]*\|)[^|]*", rb"\1"),
    "another sample in SPM": changed(rb"SPM\|1\|", b"SPM|1|Z"),
    "numbering": changed(rb"OBX\|2\|", b"OBX|3|"),
    "missing result": changed(rb"OBX\|2\|[^\r]*\r", b""),
    "text in a number": changed(rb"(OBX\|1\|NM\|[^|]*\|[^|]*\|)[0-9.]+", rb"\g<1>many"),
    "decimal comma": changed(rb"(OBX\|1\|NM\|[^|]*\|[^|]*\|)[0-9.]+", rb"\g<1>4,1"),
    "exponent": changed(rb"(OBX\|1\|NM\|[^|]*\|[^|]*\|)[0-9.]+", rb"\g<1>1e1"),
    "more than all": changed(rb"(OBX\|1\|NM\|[^|]*\|[^|]*\|)[0-9.]+", rb"\g<1>100.1"),
    "empty without X": changed(rb"(OBX\|1\|NM\|[^|]*\|[^|]*\|)[0-9.]+", rb"\g<1>"),
    "status mixture": changed(rb"(OBX\|1\|NM\|(?:[^|]*\|){8})P", rb"\1F"),
    "unknown report status": changed(rb"\|HM\|P", b"|HM|R"),
    "unknown value type": changed(rb"OBX\|1\|NM", b"OBX|1|QQ"),
    "no code": changed(rb"(OBX\|1\|NM\|)[^|]*", rb"\1"),
    "repeated code": changed(rb"(OBX\|1\|NM\|([^|]*)\|[^\r]*\rOBX\|2\|NM\|)[^|]*", rb"\1\2"),
    "segment from elsewhere": changed(rb"SPM\|", b"ZZZ|x\rSPM|"),
    "two messages": WHOLE + WHOLE,
    "nothing": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_message_has_a_fault(name: str) -> None:
    assert message_from_bytes(BROKEN[name]).faults


def test_it_answers_so_that_our_reader_of_answers_settles_the_message(drop: Path) -> None:
    ours = prepare_drop(drop)
    (drop / "one.hl7").write_bytes(WHOLE)
    lis_at(drop).poll()
    assert read_acknowledgement("ack-file", ours, "one.hl7", MESSAGE_ID).kind == "accepted"
    assert read_acknowledgement("ack-file", ours, "one.hl7", "9F3C21AA04B7.R9").kind == "ignored"


def test_what_it_was_told_to_refuse_is_answered_with_an_error(drop: Path) -> None:
    ours = prepare_drop(drop)
    (drop / "one.hl7").write_bytes(WHOLE)
    lis_at(drop, refuse=re.compile(re.escape(RECORD["slide"]["sample_id"]))).poll()
    state = read_acknowledgement("ack-file", ours, "one.hl7", MESSAGE_ID)
    assert (state.kind, state.text) == ("refused", "AE refused as this simulator was told to")


def test_a_broken_message_is_rejected_with_its_reason_and_a_headless_one_gets_an_error_file(drop: Path) -> None:
    ours = prepare_drop(drop)
    (drop / "cut.hl7").write_bytes(WHOLE[:-1])
    (drop / "headless.hl7").write_bytes(b"rubbish")
    lis = lis_at(drop)
    lis.poll()
    cut = read_acknowledgement("ack-file", ours, "cut.hl7", MESSAGE_ID)
    assert cut.kind == "refused"
    assert "AR the last segment has no CR" in cut.text
    assert read_acknowledgement("ack-file", ours, "headless.hl7", MESSAGE_ID).kind == "refused"
    assert len(lis.faulty) == 2
    assert [reception.message.partial for reception in lis.receptions] == [True, False]


def test_hidden_files_folders_and_foreign_files_are_left_alone(drop: Path) -> None:
    prepare_drop(drop)
    (drop / ".one.hl7.tmp").write_bytes(WHOLE)
    (drop / "notes.txt").write_text("hello")
    (drop / "folder.hl7").mkdir()
    lis = lis_at(drop, delete=True)
    assert lis.poll() == ()
    assert lis.foreign == {"notes.txt"}
    assert (drop / "notes.txt").exists()


@pytest.mark.case("L10")
def test_the_same_message_again_is_seen_as_a_repeat_and_other_content_under_its_id_as_a_fault(drop: Path) -> None:
    lis = lis_at(drop)
    for name, content in (("a", WHOLE), ("b", WHOLE), ("c", changed(rb"OBX\|1\|NM\|", b"OBX|1|NM|X"))):
        (drop / f"{name}.hl7").write_bytes(content)
        lis.poll()
    assert [reception.repeated for reception in lis.receptions] == [False, True, True]
    assert [bool(reception.message.faults) for reception in lis.receptions] == [False, False, True]


def test_a_file_is_read_once_and_an_answer_waits_for_its_time(drop: Path) -> None:
    now = 0.0
    lis = SimulatedLis(LisSettings(drop, drop.parent / "ack", delete=True, delay_s=5.0), lambda: now)
    (drop / "one.hl7").write_bytes(WHOLE)
    assert len(lis.poll()) == 1
    assert lis.poll() == ()
    assert list((drop.parent / "ack").iterdir()) == []
    assert lis.has_open_answers
    now = 5.0
    lis.poll()
    assert [path.name for path in (drop.parent / "ack").iterdir()] == ["one.ack"]
    assert not (drop / "one.hl7").exists()
    assert not lis.has_open_answers


def test_a_folder_that_is_away_is_a_look_in_vain(drop: Path) -> None:
    lis = lis_at(drop)
    drop.rename(drop.with_name("away"))
    assert lis.poll() == ()


def test_the_command_prints_what_it_understood_and_ends_well(drop: Path, capsys) -> None:
    (drop / "one.hl7").write_bytes(WHOLE)
    assert main(["--drop", str(drop), "--ack", str(drop.parent / "ack"), "--once", "--details"]) == 0
    printed = capsys.readouterr().out
    assert f"one.hl7: {MESSAGE_ID} understood, answered AA" in printed
    assert RECORD["slide"]["sample_id"] in printed
    assert "1 files read, 0 faulty" in printed
    assert "OBXCOUNT" in printed


def test_the_command_ends_with_five_after_a_faulty_file(drop: Path, capsys) -> None:
    (drop / "one.hl7").write_bytes(WHOLE[:400])
    assert main(["--drop", str(drop), "--once", "--json"]) == 5
    facts = json.loads(capsys.readouterr().out)
    assert facts["partial"] is True
    assert facts["answer"] == "-"


@pytest.mark.parametrize(
    "arguments", [[], ["--drop", "/nowhere"], ["--drop", "/", "--refuse", "("], ["--drop", "/", "--ack", "/nowhere"]]
)
def test_wrong_arguments_are_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_stopped_by_a_signal_it_still_tells_what_it_read(drop: Path, repository: Path) -> None:
    (drop / "one.hl7").write_bytes(WHOLE)
    command = [sys.executable, "-c", "from edge.commands.lis_simulator import main; raise SystemExit(main())"]
    arguments = ["--drop", str(drop), "--ack", str(drop.parent / "ack"), "--poll-s", "0.01"]
    process = subprocess.Popen(
        command + arguments, stdout=subprocess.PIPE, cwd=repository, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    deadline = time.monotonic() + 30
    while not (drop.parent / "ack" / "one.ack").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"1 files read, 0 faulty" in printed


class Hands:
    """A LIS of a certain reader model whose two clocks a test moves."""

    def __init__(self, drop: Path, **settings: object) -> None:
        self.now_s = 0.0
        self.lis = SimulatedLis(
            LisSettings(drop, **settings), lambda: self.now_s, wall=lambda: 1_000_000.0 + self.now_s
        )

    def looks(self, *, after_s: float = 0.0) -> list[str]:
        self.now_s += after_s
        return [reception.file_name for reception in self.lis.poll()]


def put(path: Path, content: bytes, *, at_s: float = 0.0) -> Path:
    path.write_bytes(content)
    os.utime(path, (1_000_000.0 + at_s, 1_000_000.0 + at_s))
    return path


def test_a_mirth_type_reader_waits_for_the_age_takes_every_name_and_moves_the_file(drop: Path) -> None:
    hands = Hands(drop, delete=True, reader="mirth")
    put(drop / "one.hl7", WHOLE)
    put(drop / "one.hl7.tmp", WHOLE[:300])
    put(drop / ".one.hl7.tmp", WHOLE[:300])
    assert hands.looks(after_s=0.9) == []
    assert hands.lis.has_open_answers
    assert hands.looks(after_s=0.1) == ["one.hl7", "one.hl7.tmp"], "a visible temporary name is taken"
    assert not (drop / "one.hl7").exists()
    assert (drop / "error" / "one.hl7.tmp").exists()
    assert (drop / ".one.hl7.tmp").exists()


def test_a_senaite_type_reader_knows_names_writes_its_index_and_stays_so_after_a_restart(drop: Path) -> None:
    put(drop / "one.hl7", WHOLE)
    put(drop / "two.hl7", b"rubbish")
    assert Hands(drop, reader="senaite").looks() == ["one.hl7", "two.hl7"]
    index = (drop / "imported.csv").read_text().splitlines()
    assert index == ["logs.log", "imported.csv", "one.hl7", "two.hl7"]
    log = (drop / "logs.log").read_text()
    assert "[INFO] [Instrument:SIMULATED] one.hl7" in log
    assert "[ERROR] [Instrument:SIMULATED] two.hl7" in log
    again = Hands(drop, reader="senaite")
    put(drop / "one.hl7", WHOLE.replace(MESSAGE_ID.encode(), b"OTHER.R1"))
    assert again.looks() == [], "a name that was seen is never read again, whatever is in it"
    put(drop / "one_d2.hl7", WHOLE)
    assert again.looks() == ["one_d2.hl7"]


def test_the_index_of_the_simulated_senaite_is_what_our_acknowledgement_reads(drop: Path) -> None:
    ours = prepare_drop(drop)
    put(drop / "one.hl7", WHOLE)
    put(drop / "two.hl7", b"rubbish")
    assert read_acknowledgement("senaite-index", ours, "one.hl7", MESSAGE_ID).kind == "pending"
    Hands(drop, reader="senaite").looks()
    assert read_acknowledgement("senaite-index", ours, "one.hl7", MESSAGE_ID).kind == "accepted"
    assert read_acknowledgement("senaite-index", ours, "two.hl7", MESSAGE_ID).kind == "refused"


def test_an_openelis_type_reader_waits_until_nothing_changes_and_knows_contents(drop: Path) -> None:
    hands = Hands(drop, reader="openelis")
    put(drop / "one.hl7", WHOLE[:300])
    assert hands.looks() == []
    assert hands.looks(after_s=2.9) == []
    put(drop / "one.hl7", WHOLE, at_s=2.9)
    assert hands.looks(after_s=0.1) == []
    assert hands.looks(after_s=3.0) == ["one.hl7"]
    put(drop / "two.hl7", WHOLE)
    hands.looks()
    assert hands.looks(after_s=3.0) == []
    assert hands.lis.passed_over == 1
    assert sorted(path.name for path in drop.iterdir()) == ["one.hl7", "two.hl7"]


def test_a_file_that_was_not_whole_is_kept_for_who_wants_to_see_it(drop: Path, tmp_path: Path) -> None:
    put(drop / "one.hl7", WHOLE[:300])
    put(drop / "two.hl7", WHOLE)
    Hands(drop, collect=tmp_path / "kept").looks()
    assert [path.read_bytes() for path in (tmp_path / "kept").iterdir()] == [WHOLE[:300]]


def test_a_refused_file_is_moved_aside_where_no_answer_can_be_given_and_our_side_sees_it(drop: Path) -> None:
    ours = prepare_drop(drop)
    put(drop / "one.hl7", WHOLE)
    put(drop / "two.hl7", WHOLE.replace(MESSAGE_ID.encode(), b"OTHER.R1").replace(b"A0042_S1", b"B0042_S1"))
    Hands(drop, delete=True, refuse=re.compile("^B")).looks()
    assert read_acknowledgement("file-gone", ours, "one.hl7", MESSAGE_ID).kind == "collected"
    assert read_acknowledgement("file-gone", ours, "two.hl7", "OTHER.R1").kind == "refused"


@pytest.mark.parametrize(
    "arguments", [["--reader", "mirth"], ["--reader", "senaite", "--delete"], ["--reader", "openelis", "--delete"],
                  ["--reader", "beaker"], ["--listen", "70000"]],
)  # fmt: skip
def test_a_reader_cannot_be_given_habits_that_it_does_not_have(drop: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--drop", str(drop), *arguments])
    assert ended.value.code == 2


def test_messages_over_mllp_are_read_and_answered_and_our_sender_books_the_answers(
    drop: Path, tmp_path: Path, repository: Path
) -> None:
    from edge.commands.mllp import main as send

    (tmp_path / "door").mkdir()
    command = [sys.executable, "-m", "edge.commands.lis_simulator", "--drop", str(tmp_path / "door"), "--listen", "0",
               "--refuse", "^B", "--for-s", "60"]  # fmt: skip
    process = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        port = process.stderr.readline().rpartition(b":")[2].strip().decode()
        for name, content in (("one", WHOLE), ("two", WHOLE.replace(MESSAGE_ID.encode(), b"OTHER.R1"))):
            put(drop / f"{name}.hl7", content if name == "one" else content.replace(b"^A0042_S1", b"^B0042_S1"))
        assert (
            send(["--drop", str(drop), "--ack", str(drop.parent / "ack"), "--to", f"127.0.0.1:{port}", "--once"]) == 0
        )
    finally:
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=30)
    ours = prepare_drop(drop)
    assert read_acknowledgement("ack-file", ours, "one.hl7", MESSAGE_ID).kind == "accepted"
    assert read_acknowledgement("ack-file", ours, "two.hl7", "OTHER.R1").kind == "refused"
    assert b"2 files read, 0 faulty" in printed
