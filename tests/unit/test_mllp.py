"""MLLP: whatever the receiver does, a message is settled by its own answer alone, and none is lost."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mllp_receiver import END, START, Receiver, ack_for
from records import example_record

from edge.commands.mllp import _send_what_waits, main
from edge.delivery.acknowledge import read_acknowledgement
from edge.delivery.mllp import FrameReader, MllpSender, MllpSettings, message_id_of, names_in_order, replaced_names
from edge.delivery.publish import Drop, prepare_drop
from edge.errors import EdgeError
from edge.logs import configure_logging
from edge.writers.hl7_oru import Hl7OruWriter

WHOLE = Hl7OruWriter().render(example_record()).content
ANSWER_S = 0.3
"""How long the tests wait for answers that never come."""


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "hl7").mkdir()
    (tmp_path / "ack").mkdir()
    return prepare_drop(tmp_path / "hl7")


def message(message_id: str) -> bytes:
    return WHOLE.replace(example_record()["message_id"].encode(), message_id.encode(), 1)


def publish(drop: Drop, *ids: str) -> None:
    for index, message_id in enumerate(ids):
        path = drop.folder / f"{message_id}.hl7"
        path.write_bytes(message(message_id))
        os.utime(path, ns=(0, 1_000_000_000 + index))


def sender_to(drop: Drop, receiver: Receiver, **more: object) -> MllpSender:
    ack = drop.folder.parent / "ack"
    return MllpSender(MllpSettings(drop.folder, ack, "127.0.0.1", receiver.port, 5.0, ANSWER_S, **more))


def state_of(drop: Drop, message_id: str) -> tuple[str, str]:
    state = read_acknowledgement("ack-file", drop, f"{message_id}.hl7", message_id)
    return state.kind, state.text


def code_of(sender: MllpSender, name: str) -> str:
    with pytest.raises(EdgeError) as failure:
        sender.send(name)
    assert failure.value.exit_status == 75
    return failure.value.code


@pytest.mark.parametrize(
    ("word", "kind"), [("AA", "accepted"), ("AE", "refused"), ("AR", "refused"), ("CA", "accepted"),
                       ("pieces", "accepted"), ("noise", "accepted"), ("late-then-AA", "accepted"),
                       ("twice", "accepted"), ("AA-then-AE", "accepted")],
)  # fmt: skip
def test_the_answer_becomes_the_file_that_the_daemon_reads(drop: Drop, word: str, kind: str) -> None:
    publish(drop, "M1.R1")
    with Receiver(word) as receiver:
        sender = sender_to(drop, receiver)
        sent = sender.send("M1.R1.hl7")
        assert sender.waiting() == []
    assert receiver.messages == [message("M1.R1")]
    assert sent.state.kind == kind
    assert state_of(drop, "M1.R1")[0] == kind
    assert state_of(drop, "M1.R1")[1] == ("" if kind == "accepted" and len(word) > 2 else
                                          "as told" if word == "AA" else
                                          "only its receipt was confirmed (CA) as told" if word == "CA" else
                                          f"{word} as told")  # fmt: skip
    assert [path.name for path in (drop.folder.parent / "ack").iterdir()] == ["M1.R1.ack"]


@pytest.mark.parametrize(
    ("word", "kind", "text"), [("CA-then-AA", "accepted", "as told"), ("CA-then-AE", "refused", "AE as told"),
                               ("CA-then-AR", "refused", "AR as told"), ("CA-then-CE", "refused", "CE as told")],
)  # fmt: skip
def test_the_answer_of_the_application_after_the_receipt_decides_and_is_kept(
    drop: Drop, word: str, kind: str, text: str
) -> None:
    publish(drop, "M1.R1", "M2.R1")
    with Receiver(word, "AA") as receiver:
        sender = sender_to(drop, receiver)
        sent = sender.send("M1.R1.hl7")
        assert (sent.state.kind, sent.state.receipt_only, sent.passed_over) == (kind, False, ())
        sender.send("M2.R1.hl7")
        assert (receiver.ids, receiver.connections) == (["M1.R1", "M2.R1"], 1)
    assert state_of(drop, "M1.R1") == (kind, text)
    assert state_of(drop, "M2.R1") == ("accepted", "as told")


@pytest.mark.parametrize(
    ("word", "passed_over", "connections"),
    [("CA", 0, 1), ("CA-then-CA", 0, 1), ("CA-then-close", 0, 2), ("CA-then-foreign", 1, 1), ("CA-then-XX", 1, 1)],
)
def test_the_receipt_stands_and_says_so_when_the_application_does_not_answer(
    drop: Drop, word: str, passed_over: int, connections: int
) -> None:
    publish(drop, "M1.R1", "M2.R1")
    with Receiver(word, "AA") as receiver:
        sender = sender_to(drop, receiver)
        sent = sender.send("M1.R1.hl7")
        assert (sent.state.kind, sent.state.receipt_only, len(sent.passed_over)) == ("accepted", True, passed_over)
        sender.send("M2.R1.hl7")
        assert (receiver.ids, receiver.connections) == (["M1.R1", "M2.R1"], connections)
    kind, text = state_of(drop, "M1.R1")
    assert kind == "accepted"
    assert text.startswith("only its receipt was confirmed (CA)")


@pytest.mark.parametrize(
    ("word", "code"), [("silent", "MDSE-DELIVERY-033"), ("foreign", "MDSE-DELIVERY-033"),
                       ("XX", "MDSE-DELIVERY-033"), ("reset", "MDSE-DELIVERY-032"), ("close", "MDSE-DELIVERY-032")],
)  # fmt: skip
def test_without_an_answer_of_its_own_a_message_waits_and_is_sent_again_with_the_same_bytes(
    drop: Drop, word: str, code: str
) -> None:
    publish(drop, "M1.R1")
    with Receiver(word, "AA") as receiver:
        sender = sender_to(drop, receiver)
        assert code_of(sender, "M1.R1.hl7") == code
        assert state_of(drop, "M1.R1")[0] == "pending"
        assert sender.waiting() == ["M1.R1.hl7"]
        sender.send("M1.R1.hl7")
    assert receiver.messages == [message("M1.R1")] * 2
    assert receiver.connections == 2
    assert state_of(drop, "M1.R1")[0] == "accepted"


def test_nobody_listening_is_told_as_try_later(drop: Drop) -> None:
    publish(drop, "M1.R1")
    with Receiver() as receiver:
        pass
    assert code_of(sender_to(drop, receiver), "M1.R1.hl7") == "MDSE-DELIVERY-031"


def test_a_second_answer_settles_no_later_message(drop: Drop) -> None:
    publish(drop, "M1.R1", "M2.R1")
    with Receiver("AA-then-AE", "AA") as receiver:
        sender = sender_to(drop, receiver)
        for name in sender.waiting():
            sender.send(name)
        assert receiver.connections == 1
    assert [state_of(drop, key)[0] for key in ("M1.R1", "M2.R1")] == ["accepted", "accepted"]


def test_a_second_answer_to_the_first_copy_does_not_settle_the_repeated_one(drop: Drop) -> None:
    publish(drop, "M1.R1")
    (drop.folder / "M1.R1_d2.hl7").write_bytes(message("M1.R1"))
    with Receiver("AA-then-AE", "AA") as receiver:
        sender = sender_to(drop, receiver)
        for name in sender.waiting():
            sender.send(name)
    assert read_acknowledgement("ack-file", drop, "M1.R1_d2.hl7", "M1.R1").kind == "accepted"
    assert receiver.connections == 2


def test_messages_leave_in_the_order_of_their_publication(drop: Drop) -> None:
    publish(drop, "Z.R1", "A.R1", "M.R1")
    with Receiver() as receiver:
        sender = sender_to(drop, receiver)
        for name in sender.waiting():
            sender.send(name)
    assert receiver.ids == ["Z.R1", "A.R1", "M.R1"]


def test_what_is_no_message_is_left_alone_and_holds_nothing_up(drop: Drop) -> None:
    publish(drop, "M1.R1")
    (drop.folder / ".hidden.hl7").write_bytes(message("H.R1"))
    (drop.folder / "notes.txt").write_text("hello")
    (drop.folder / "folder.hl7").mkdir()
    (drop.folder / "link.hl7").symlink_to(drop.folder / "M1.R1.hl7")
    for name, content in (("a", b"rubbish"), ("b", WHOLE[:-1]), ("c", START + WHOLE + END), ("d", b"")):
        (drop.folder / f"{name}.hl7").write_bytes(content)
    with Receiver() as receiver:
        sender = sender_to(drop, receiver)
        for name in sender.waiting():
            sender.send(name)
        assert sender.left_alone == {"a.hl7", "b.hl7", "c.hl7", "d.hl7"}
    assert receiver.ids == ["M1.R1"]


def test_a_message_given_up_by_an_error_file_is_not_sent(drop: Drop) -> None:
    publish(drop, "M1.R1")
    (drop.folder.parent / "ack" / "M1.R1.err").write_text("given up by K. Sato")
    with Receiver() as receiver:
        assert sender_to(drop, receiver).waiting() == []


def test_an_answer_that_cannot_be_written_leaves_the_message_waiting(drop: Drop) -> None:
    publish(drop, "M1.R1")
    with Receiver() as receiver:
        sender = sender_to(drop, receiver, take=True)
        (drop.folder.parent / "ack").rmdir()
        assert code_of(sender, "M1.R1.hl7") == "MDSE-DELIVERY-034"
    assert (drop.folder / "M1.R1.hl7").exists()


def test_a_taken_message_is_removed_only_after_its_answer_is_written(drop: Drop) -> None:
    publish(drop, "M1.R1")
    with Receiver() as receiver:
        sender_to(drop, receiver, take=True).send("M1.R1.hl7")
    assert not (drop.folder / "M1.R1.hl7").exists()
    assert state_of(drop, "M1.R1")[0] == "accepted"


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\x0b" not in b and b"\x1c" not in b), max_size=4),
       st.lists(st.integers(1, 40), max_size=60))  # fmt: skip
def test_frames_are_read_the_same_however_they_are_cut(contents: list[bytes], cuts: list[int]) -> None:
    stream = b"noise".join(START + content + END for content in contents)
    reader, found = FrameReader(), []
    for size in [*cuts, len(stream)]:
        found += reader.feed(stream[:size])
        stream = stream[size:]
    assert found == contents


def test_an_endless_frame_costs_a_bounded_amount_of_memory() -> None:
    reader = FrameReader()
    assert list(reader.feed(START)) == []
    for _ in range(100):
        assert list(reader.feed(b"x" * 65_536)) == []
    assert len(reader._buffer) < 200_000
    assert list(reader.feed(START + b"MSH" + END)) == [b"MSH"]


@pytest.mark.parametrize("content", [b"", b"MSH", b"MSH|^~\\&|a\r", b"PID|1\r", WHOLE + b"\x1c", WHOLE[:-1]])
def test_what_cannot_be_framed_or_answered_has_no_id(content: bytes) -> None:
    assert message_id_of(content) == ""


def command(drop: Drop, port: int, *more: str) -> list[str]:
    ack = drop.folder.parent / "ack"
    return ["--drop", str(drop.folder), "--ack", str(ack), "--to", f"127.0.0.1:{port}", "--poll-s", "0.05",
            "--answer-s", "20", *more]  # fmt: skip


def started(drop: Drop, port: int, repository: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "edge.commands.mllp", *command(drop, port)], cwd=repository,
                            stderr=subprocess.DEVNULL)  # fmt: skip


def wait_until(condition: object, deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_killed_between_sending_and_writing_down_the_same_message_is_sent_once_more(
    drop: Drop, repository: Path
) -> None:
    publish(drop, "M1.R1")
    with Receiver("silent", "AA") as receiver:
        first = started(drop, receiver.port, repository)
        receiver.wait_for(1)
        first.kill()
        first.wait(30)
        assert state_of(drop, "M1.R1")[0] == "pending"
        second = started(drop, receiver.port, repository)
        wait_until(lambda: state_of(drop, "M1.R1")[0] == "accepted")
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0
    assert receiver.messages == [message("M1.R1")] * 2


def test_a_second_sender_for_the_same_folder_ends_with_75(drop: Drop, repository: Path, capsys) -> None:
    with Receiver() as receiver:
        first = started(drop, receiver.port, repository)
        try:
            wait_until((drop.folder.parent / "ack" / ".mds-edge-mllp.lock").exists)
            publish(drop, "M1.R1")
            wait_until(lambda: state_of(drop, "M1.R1")[0] == "accepted")
            assert main(command(drop, receiver.port, "--once")) == 75
            assert "MDSE-DELIVERY-035" in capsys.readouterr().err
        finally:
            first.kill()
            first.wait(30)


def test_the_command_goes_on_after_a_fault_and_ends_when_asked(drop: Drop, repository: Path) -> None:
    publish(drop, "M1.R1", "M2.R1")
    with Receiver("AA", "reset", "AA") as receiver:
        process = started(drop, receiver.port, repository)
        wait_until(lambda: state_of(drop, "M2.R1")[0] == "accepted")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert receiver.ids == ["M1.R1", "M2.R1", "M2.R1"]


def test_once_tells_by_its_exit_status_whether_everything_was_answered(drop: Drop) -> None:
    publish(drop, "M1.R1")
    with Receiver("close", "AA") as receiver:
        assert main(command(drop, receiver.port, "--once")) == 75
        assert main(command(drop, receiver.port, "--once")) == 0


@pytest.mark.parametrize("to", ["localhost", ":2575", "localhost:", "localhost:0", "localhost:70000", "localhost:x"])
def test_a_receiver_is_a_host_and_a_port(drop: Drop, to: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--drop", str(drop.folder), "--ack", str(drop.folder), "--to", to])
    assert ended.value.code == 2


def test_ipv6_receivers_can_be_named() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    from edge.commands.mllp import _parser

    assert _parser().parse_args(["--drop", "a", "--ack", "b", "--to", "[::1]:2575"]).to == "[::1]:2575"


def test_an_answer_with_other_delimiters_is_ours_all_the_same(drop: Drop) -> None:
    assert ack_for("M1.R1").startswith(b"MSH|")
    from edge.delivery.acknowledge import state_from_ack

    assert state_from_ack(ack_for("M1.R1").replace(b"|", b"#"), "M1.R1").kind == "accepted"


def test_revisions_of_one_slide_leave_in_their_order_whatever_the_times_of_their_files():
    first, second = "A1_A1_r1_20261123T083100Z_9f3c21aa", "A1_A1_r2_20161123T083100Z_1f3c21aa"
    other = "B1_B1_r1_20261123T083100Z_2f3c21aa"
    found = [(5, f"{second}.hl7"), (9, f"{first}.hl7"), (7, f"{other}.hl7"), (1, f"{first}_d2.hl7"), (6, "foreign.hl7")]
    names = names_in_order(found)
    assert names == [f"{first}.hl7", f"{first}_d2.hl7", f"{second}.hl7", "foreign.hl7", f"{other}.hl7"]
    assert names_in_order([(1, "A_r10_20261123T083100Z_9f3c21aa.hl7"), (1, "A_r9_20261123T083100Z_9f3c21aa.hl7")]) == [
        "A_r9_20261123T083100Z_9f3c21aa.hl7", "A_r10_20261123T083100Z_9f3c21aa.hl7",
    ]  # fmt: skip


FIRST, SECOND, THIRD = (f"A1_A1_{end}" for end in (
    "r1_20261123T083100Z_9f3c21a1", "r2_20261123T083200Z_9f3c21a2", "r10_20261123T083300Z_9f3c21a3",
))  # fmt: skip
OTHER = "B1_B1_r1_20261123T083100Z_2f3c21aa"


@pytest.mark.parametrize("suffix", [".ack", ".err"])
@pytest.mark.parametrize("is_taken", [False, True])
def test_no_message_leaves_once_a_later_revision_of_its_slide_is_answered(
    drop: Drop, suffix: str, is_taken: bool
) -> None:
    publish(drop, FIRST, f"{FIRST}_d2", SECOND, THIRD, OTHER)
    (drop.folder.parent / "ack" / f"{SECOND}{suffix}").write_text("answered")
    if is_taken:
        (drop.folder / f"{SECOND}.hl7").unlink()
    with Receiver() as receiver:
        sender = sender_to(drop, receiver)
        assert sender.waiting() == [f"{THIRD}.hl7", f"{OTHER}.hl7"]
        assert sender.held_back == {f"{FIRST}.hl7", f"{FIRST}_d2.hl7"}
        for name in sender.waiting():
            sender.send(name)
        assert sender.waiting() == []


def test_an_older_revision_whose_answer_was_removed_does_not_follow_its_withdrawal(drop: Drop) -> None:
    publish(drop, FIRST, SECOND)
    with Receiver() as receiver:
        assert main(command(drop, receiver.port, "--once")) == 0
        (drop.folder.parent / "ack" / f"{FIRST}.ack").unlink()
        assert main(command(drop, receiver.port, "--once")) == 0
    assert receiver.ids == [FIRST, SECOND]


def test_a_name_that_is_used_again_after_its_retention_leaves_beside_the_answers_of_the_old_slide(drop: Drop) -> None:
    again = "A1_A1_r1_20270301T120000Z_4f3c21aa"
    publish(drop, again, f"{again}_d2")
    for stem in (FIRST, SECOND, THIRD):
        (drop.folder.parent / "ack" / f"{stem}.ack").write_text("answered")
    with Receiver() as receiver:
        sender = sender_to(drop, receiver)
        assert (sender.waiting(), sender.held_back) == ([f"{again}.hl7", f"{again}_d2.hl7"], set())


@pytest.mark.parametrize(("made", "is_held"), [("20261123T083159Z", True), ("20261123T083200Z", True),
                                               ("20261123T083201Z", False)])  # fmt: skip
def test_only_a_later_revision_made_no_earlier_holds_back_also_a_repeat(made: str, is_held: bool) -> None:
    names = {f"A1_A1_r1_{made}_5f3c21aa.hl7", f"A1_A1_r1_{made}_5f3c21aa_d2.hl7"}
    assert replaced_names(names, {SECOND}) == (names if is_held else set())


def test_a_higher_revision_made_long_ago_does_not_hide_the_one_that_replaces() -> None:
    older_slide = "A1_A1_r9_20251123T083100Z_6f3c21aa"
    for answered in ([SECOND, older_slide], [older_slide, SECOND]):
        assert replaced_names([f"{FIRST}.hl7"], answered) == {f"{FIRST}.hl7"}


AGAIN, AGAIN_SECOND = "A1_A1_r1_20270301T120000Z_4f3c21a1", "A1_A1_r2_20270301T130000Z_4f3c21a2"


@given(st.lists(st.tuples(st.sampled_from([FIRST, SECOND, THIRD, AGAIN, AGAIN_SECOND, OTHER]), st.integers(1, 3)),
                unique=True), st.sets(st.integers(0, 17)))  # fmt: skip
def test_whatever_is_answered_the_revisions_of_a_slide_that_leave_never_go_back(
    published: list[tuple[str, int]], answered: set[int]
) -> None:
    names = [stem if repeat == 1 else f"{stem}_d{repeat}" for stem, repeat in published]
    replaced_by = {FIRST: (SECOND, THIRD, AGAIN_SECOND), SECOND: (THIRD,), AGAIN: (AGAIN_SECOND,)}
    stems = {name for index, name in enumerate(names) if index in answered}
    settled = {stem for stem, _ in (published[index] for index in answered if index < len(names))}
    waiting = {f"{name}.hl7" for name in names if name not in stems}
    leaving = waiting - replaced_names(waiting, stems)
    for name, (stem, _) in zip(names, published, strict=True):
        is_replaced = not settled.isdisjoint(replaced_by.get(stem, ()))
        assert (f"{name}.hl7" in leaving) == (name not in stems and not is_replaced)


def test_repeats_of_an_answered_revision_and_files_of_other_names_still_leave() -> None:
    names = ["A1_S1.hl7", "foreign.hl7", f"{SECOND}_d2.hl7", f"A1_{FIRST}.hl7"]
    assert replaced_names(names, {SECOND, "A1_S1_r9", "foreign_r2", f"{OTHER}.html"}) == set()


def test_a_message_that_is_held_back_is_told_once_and_not_by_its_name(drop: Drop, capsys) -> None:
    before = tuple(logging.getLogger().handlers), logging.getLogger().level
    try:
        publish(drop, FIRST)
        (drop.folder.parent / "ack" / f"{SECOND}.ack").write_text("answered")
        with Receiver() as receiver:
            sender = sender_to(drop, receiver)
            configure_logging(logging.INFO)
            for _ in range(3):
                _send_what_waits(sender, threading.Event())
        assert receiver.messages == []
        (line,) = capsys.readouterr().err.splitlines()
        assert "held-back file=~" in line
        assert "A1" not in line
    finally:
        logging.getLogger().handlers[:] = before[0]
        logging.getLogger().setLevel(before[1])


def test_the_log_names_no_file_and_repeats_no_word_of_the_receiver(drop: Drop, capsys) -> None:
    before = tuple(logging.getLogger().handlers), logging.getLogger().level
    try:
        publish(drop, "S-0042.R1")
        (drop.folder / "S-0043.hl7").write_bytes(b"no message")
        with Receiver("late-then-AA", "AE") as receiver:
            assert main(command(drop, receiver.port, "--once")) == 0
            publish(drop, "S-0045.R1")
            assert main(command(drop, receiver.port, "--once")) == 0
            line = capsys.readouterr().err
            assert "refused file=~" in line
            assert "left-alone file=~" in line
            assert "passed-over file=~" in line
            assert "OTHER.R1" not in line
            assert "S-0042.R1.hl7" not in line
            assert "S-0043" not in line
            assert "as told" not in line
            publish(drop, "S-0044.R1")
            assert main(command(drop, receiver.port, "--once", "--verbose")) == 0
            assert "as told" in capsys.readouterr().err
        publish(drop, "S-0046.R1")
        with Receiver("CA-then-close") as receiver:
            assert main(command(drop, receiver.port, "--once")) == 0
            assert "confirmed receipt only" in capsys.readouterr().err
    finally:
        logging.getLogger().handlers[:] = before[0]
        logging.getLogger().setLevel(before[1])
