"""Answers of the LIS: only one that names our message settles it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.delivery.acknowledge import ACK_BYTES_MAX, TEXT_CHARACTERS_MAX, read_acknowledgement, state_from_ack
from edge.delivery.publish import Drop, prepare_drop
from edge.errors import EdgeError

OURS = "9F3C21AA04B7.R1"
FINAL = "A0042_S1_r1_20261123T083100Z_9f3c21aa.hl7"
STEM = FINAL.removesuffix(".hl7")


def ack(code: str = "AA", message_id: str = OURS, text: str = "", *, end: str = "\r") -> bytes:
    lines = ["MSH|^~\\&|LIS|HOSP|MDSEDGE|LAB|20261123180100+0900||ACK|77|P|2.5.1", f"MSA|{code}|{message_id}|{text}"]
    return (end.join(lines) + end).encode()


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "hl7").mkdir()
    (tmp_path / "ack").mkdir()
    return prepare_drop(tmp_path / "hl7")


@pytest.fixture
def ack_folder(drop: Drop) -> Path:
    return drop.folder.parent / "ack"


@pytest.mark.parametrize(("code", "kind"), [("AA", "accepted"), ("CA", "accepted")])
def test_an_acceptance_that_names_our_message_accepts_it(code: str, kind: str) -> None:
    assert state_from_ack(ack(code), OURS).kind == kind


@pytest.mark.parametrize("code", ["AE", "AR", "CE", "CR"])
def test_a_refusal_keeps_the_words_of_the_lis(code: str) -> None:
    state = state_from_ack(ack(code, text="unknown sample") + b"ERR|||204^Unknown key|E|||no order|call 123\r", OURS)
    assert state.kind == "refused"
    assert state.text == f"{code} unknown sample 204^Unknown key no order call 123"


@pytest.mark.parametrize(
    "other", ["9F3C21AA04B7.R2", "9F3C21AA04B7.R11", "9F3C21AA04B7.R", "", " " + OURS, OURS.lower()]
)
@pytest.mark.parametrize("code", ["AA", "AE"])
def test_an_answer_to_another_message_settles_nothing_and_is_shown(other: str, code: str) -> None:
    state = state_from_ack(ack(code, other), OURS)
    assert state.kind == "ignored"
    assert OURS in state.text


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("frame", [(b"", b""), (b"\x0b", b"\x1c\r"), (b"\xef\xbb\xbf", b"")])
def test_frames_and_line_ends_as_engines_write_them_are_understood(end: str, frame: tuple[bytes, bytes]) -> None:
    assert state_from_ack(frame[0] + ack(end=end) + frame[1], OURS).kind == "accepted"


@pytest.mark.parametrize(
    "content",
    [
        b"OK",
        b"MSH",
        b"MSA|AA|" + OURS.encode(),
        b"MSH|^~\\&|LIS\rMSA|AA\r",
        b"MSH|^~\\&|LIS\rMSA\r",
        b"MSH|^~\\&|LIS\rMSAX|AA|" + OURS.encode(),
        b"\x00" * 100,
        ack("XX"),
        ack(""),
        ack() + ack("AE").split(b"\r")[1],
        ack()[: ack().index(OURS.encode()) + 3],
        ack() + b" " * ACK_BYTES_MAX,
    ],
)
def test_what_cannot_be_understood_never_settles(content: bytes) -> None:
    assert state_from_ack(content, OURS).kind == "ignored"


@given(st.binary(max_size=300))
def test_no_bytes_settle_a_message_without_its_id(content: bytes) -> None:
    if OURS.encode() not in content:
        assert state_from_ack(b"MSH|^~\\&|\rMSA|AA|" + content, OURS).kind == "ignored"


@pytest.mark.case("S6")
def test_the_words_of_the_lis_cannot_forge_a_log_line_or_fill_a_disk() -> None:
    state = state_from_ack(ack("AE", text="a\x1b[31m\tb" + "x" * 5000), OURS)
    assert "\x1b" not in state.text
    assert state.text.isprintable()
    assert len(state.text) == TEXT_CHARACTERS_MAX


def test_without_an_answer_the_result_is_pending(drop: Drop) -> None:
    assert read_acknowledgement("ack-file", drop, FINAL, OURS).kind == "pending"


def test_an_answer_beside_the_drop_folder_is_found_by_the_stem(drop: Drop, ack_folder: Path) -> None:
    (ack_folder / f"{STEM}.ack").write_bytes(ack())
    assert read_acknowledgement("ack-file", drop, FINAL, OURS).kind == "accepted"


def test_a_configured_acknowledgement_folder_is_used(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / f"{STEM}.ack").write_bytes(ack())
    assert read_acknowledgement("ack-file", drop, FINAL, OURS, ack_folder=tmp_path / "answers").kind == "accepted"


def test_an_empty_answer_is_one_that_is_still_being_written(drop: Drop, ack_folder: Path) -> None:
    (ack_folder / f"{STEM}.ack").write_bytes(b"")
    assert read_acknowledgement("ack-file", drop, FINAL, OURS).kind == "pending"


def test_an_error_file_refuses_even_beside_an_acceptance(drop: Drop, ack_folder: Path) -> None:
    (ack_folder / f"{STEM}.ack").write_bytes(ack())
    (ack_folder / f"{STEM}.err").write_bytes(b"line one\r\nline two\n")
    state = read_acknowledgement("ack-file", drop, FINAL, OURS)
    assert (state.kind, state.text) == ("refused", "line one line two")


@pytest.mark.case("S1")
@pytest.mark.parametrize("suffix", [".ack", ".err"])
def test_a_link_in_place_of_an_answer_is_not_followed(drop: Drop, ack_folder: Path, suffix: str) -> None:
    (ack_folder / "elsewhere").write_bytes(ack())
    (ack_folder / f"{STEM}{suffix}").symlink_to(ack_folder / "elsewhere")
    assert read_acknowledgement("ack-file", drop, FINAL, OURS).kind == "pending"


@pytest.mark.case("S3")
@pytest.mark.parametrize("suffix", [".ack", ".err"])
def test_a_pipe_or_folder_in_place_of_an_answer_holds_nobody_up(drop: Drop, ack_folder: Path, suffix: str) -> None:
    os.mkfifo(ack_folder / f"{STEM}{suffix}")
    assert read_acknowledgement("ack-file", drop, FINAL, OURS).kind == "pending"
    (ack_folder / f"{STEM}{suffix}").unlink()
    (ack_folder / f"{STEM}{suffix}").mkdir()
    assert read_acknowledgement("ack-file", drop, FINAL, OURS).kind == "pending"


def test_a_missing_acknowledgement_folder_is_told_as_try_later(drop: Drop, ack_folder: Path) -> None:
    ack_folder.rmdir()
    with pytest.raises(EdgeError) as failure:
        read_acknowledgement("ack-file", drop, FINAL, OURS)
    assert failure.value.code == "MDSE-DELIVERY-012"
    assert failure.value.exit_status == 75


def test_a_file_that_the_reader_took_is_collected_and_one_that_lies_there_is_pending(drop: Drop) -> None:
    (drop.folder / FINAL).write_bytes(b"x")
    assert read_acknowledgement("file-gone", drop, FINAL, OURS).kind == "pending"
    (drop.folder / FINAL).unlink()
    assert read_acknowledgement("file-gone", drop, FINAL, OURS).kind == "collected"


@pytest.mark.case("L5")
@pytest.mark.parametrize(("folder", "kind"), [("error", "refused"), ("rejected", "refused"), ("archive", "collected")])
@pytest.mark.parametrize("beside", [False, True])
def test_a_file_moved_to_an_error_folder_is_refused_and_one_moved_elsewhere_collected(
    drop: Drop, folder: str, kind: str, beside: bool
) -> None:
    target = (drop.folder.parent if beside else drop.folder) / folder
    target.mkdir()
    (target / FINAL).write_bytes(b"x")
    assert read_acknowledgement("file-gone", drop, FINAL, OURS).kind == kind


@pytest.mark.case("D17")
def test_with_the_share_away_nothing_counts_as_collected(drop: Drop) -> None:
    drop.folder.rename(drop.folder.with_name("away"))
    drop.folder.mkdir()
    with pytest.raises(EdgeError):
        read_acknowledgement("file-gone", drop, FINAL, OURS)


def test_without_acknowledgements_published_means_accepted(drop: Drop) -> None:
    assert read_acknowledgement("none", drop, FINAL, OURS).kind == "accepted"


@pytest.mark.parametrize(
    ("code", "error", "temporary"),
    [("AE", "206^locked", True), ("CE", "207", True), ("AE", "204^Unknown key", False), ("AE", "", False),
     ("AR", "206", False), ("AE", "2067", False)],
)  # fmt: skip
def test_only_an_error_that_the_receiver_calls_its_own_is_temporary(code: str, error: str, temporary: bool) -> None:
    state = state_from_ack(ack(code) + f"ERR|||{error}|E\r".encode(), OURS)
    assert (state.kind, state.temporary) == ("refused", temporary)


def index_state(drop: Drop, index: str | None, log: str | None = None) -> tuple[str, str]:
    for name, text in (("imported.csv", index), ("logs.log", log)):
        if text is not None:
            (drop.folder / name).write_bytes(text.encode())
    state = read_acknowledgement("senaite-index", drop, FINAL, OURS)
    return state.kind, state.text


@pytest.mark.parametrize(
    "index",
    [None, "", "logs.log\nimported.csv\n", f"{FINAL}", f"x{FINAL}\n", f"{FINAL}x\n", f"{STEM}_d2.hl7\n", f"{STEM}\n"],
)
def test_senaites_index_without_our_whole_line_is_pending(drop: Drop, index: str | None) -> None:
    assert index_state(drop, index)[0] == "pending"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_senaites_index_with_our_name_accepts(drop: Drop, end: str) -> None:
    assert index_state(drop, f"logs.log{end}imported.csv{end}{FINAL}{end}other.csv{end}")[0] == "accepted"


@pytest.mark.parametrize("named", [FINAL, STEM, f"'{FINAL}'", f"/srv/drop/{FINAL}"])
def test_an_error_line_of_senaite_that_names_the_file_refuses_it(drop: Drop, named: str) -> None:
    log = f"2026-11-23 18:00:00 [ERROR] [Instrument:DI-60] Cannot read {named}: no such sample\n"
    kind, text = index_state(drop, f"{FINAL}\n", log)
    assert kind == "refused"
    assert "no such sample" in text


@pytest.mark.parametrize(
    "line",
    [f"2026-11-23 18:00:00 [INFO] Parsing {FINAL}\n", f"2026-11-23 18:00:00 [ERROR] Cannot read {STEM}_d2.hl7\n",
     f"2026-11-23 18:00:00 [ERROR] Cannot read x{FINAL}\n", "2026-11-23 18:00:00 [ERROR] No such sample\n",
     f"2026-11-23 18:00:00 [ERROR] {FINAL} cut before its end"],
)  # fmt: skip
def test_no_other_line_of_senaites_log_refuses_our_file(drop: Drop, line: str) -> None:
    assert index_state(drop, f"{FINAL}\n", line)[0] == "accepted"


def test_the_end_of_a_long_index_is_what_counts(drop: Drop) -> None:
    older = "".join(f"{number:0100d}.csv\n" for number in range(50_000))
    assert index_state(drop, f"{older}{FINAL}\n")[0] == "accepted"


@pytest.mark.case("S1")
def test_a_link_in_place_of_senaites_index_is_not_followed(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(f"{FINAL}\n")
    (drop.folder / "imported.csv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EdgeError):
        read_acknowledgement("senaite-index", drop, FINAL, OURS)
