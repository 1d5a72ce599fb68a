"""The control socket's client and `edge-result`, against a small daemon that answers as told."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.commands.result import main
from edge.daemon.control_client import is_daemon_listening, reply_from_daemon
from edge.errors import EdgeError

ORDER = ["--by", "K. Sato", "--reason", "reviewed"]


class SmallDaemon:
    """Accepts one connection after the other, keeps each request and answers with fixed bytes."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.path = path
        self.requests: list[dict[str, Any]] = []
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                if line := stream.readline():
                    self.requests.append(json.loads(line))
                    connection.sendall(self._answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def daemon_that_answers(tmp_path: Path) -> Iterator[Callable[[bytes], SmallDaemon]]:
    started: list[SmallDaemon] = []

    def start(answer: bytes) -> SmallDaemon:
        started.append(SmallDaemon(tmp_path / "control.sock", answer))
        return started[-1]

    yield start
    for daemon in started:
        daemon.close()


def test_the_request_arrives_as_it_was_made_and_the_reply_comes_back(daemon_that_answers) -> None:
    daemon = daemon_that_answers(b'{"ok": true, "revision": 2}\n')
    request = {"command": "finalize", "slide": "A0042_S1", "by": "K. Satō", "reason": "line\nfeed"}
    assert reply_from_daemon(daemon.path, request) == {"ok": True, "revision": 2}
    assert daemon.requests == [request]


def test_a_long_reply_comes_back_whole(daemon_that_answers) -> None:
    rows = [{"slide": f"A{number:06d}"} for number in range(20_000)]
    daemon = daemon_that_answers(json.dumps({"ok": True, "slides": rows}).encode() + b"\n")
    assert reply_from_daemon(daemon.path, {"command": "list"})["slides"] == rows


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"ok": true}', b"[]\n", b"{}\n", b'{"ok": 1}\n', b"\xff\xfe\n", b'{"ok": tr\n', b"\n"]
)
def test_an_answer_that_is_not_a_reply_is_refused(daemon_that_answers, answer: bytes) -> None:
    daemon = daemon_that_answers(answer)
    with pytest.raises(EdgeError) as failure:
        reply_from_daemon(daemon.path, {"command": "status"})
    assert failure.value.code == "MDSE-DELIVERY-022"


def test_no_daemon_is_told_as_try_later(tmp_path: Path) -> None:
    with pytest.raises(EdgeError) as failure:
        reply_from_daemon(tmp_path / "control.sock", {"command": "status"})
    assert failure.value.code == "MDSE-DELIVERY-021"
    assert failure.value.exit_status == 75
    assert not is_daemon_listening(tmp_path / "control.sock")


def test_a_socket_left_behind_by_a_dead_daemon_is_no_daemon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    assert not is_daemon_listening(tmp_path / "control.sock")


def test_a_daemon_that_accepts_and_says_nothing_does_not_hold_the_caller(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(str(tmp_path / "control.sock"))
        mute.listen()
        assert is_daemon_listening(tmp_path / "control.sock")
        with pytest.raises(EdgeError) as failure:
            reply_from_daemon(tmp_path / "control.sock", {"command": "status"}, timeout_s=0.05)
    assert failure.value.code == "MDSE-DELIVERY-021"


@pytest.mark.parametrize("command", ["finalize", "withdraw", "resend"])
def test_edge_result_sends_who_and_why_and_tells_what_was_done(daemon_that_answers, command: str, capsys) -> None:
    daemon = daemon_that_answers(b'{"ok": true, "message_id": "9F3C21AA04B7.R2"}\n')
    assert main([command, "A0042_S1", *ORDER, "--socket", str(daemon.path)]) == 0
    assert daemon.requests == [{"command": command, "slide": "A0042_S1", "by": "K. Sato", "reason": "reviewed"}]
    assert capsys.readouterr().out == f"{command}: done (message_id 9F3C21AA04B7.R2)\n"


def test_edge_result_gives_the_daemons_refusal_and_its_exit_status(daemon_that_answers, capsys) -> None:
    daemon = daemon_that_answers(b'{"ok": false, "error": "MDSE-JOURNAL-007 A9: no such slide.", "exit": 5}\n')
    assert main(["withdraw", "A9", *ORDER, "--socket", str(daemon.path)]) == 5
    assert capsys.readouterr().err == "error: MDSE-JOURNAL-007 A9: no such slide.\n"


def test_edge_result_prints_the_reply_as_json(daemon_that_answers, capsys) -> None:
    daemon = daemon_that_answers(b'{"ok": false, "error": "no"}\n')
    assert main(["resend", "A1", *ORDER, "--socket", str(daemon.path), "--json"]) == 70
    assert json.loads(capsys.readouterr().out) == {"ok": False, "error": "no"}


def test_edge_result_without_a_daemon_ends_with_try_later(tmp_path: Path, capsys) -> None:
    assert main(["finalize", "A0042_S1", *ORDER, "--socket", str(tmp_path / "none.sock")]) == 75
    assert "MDSE-DELIVERY-021" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["finalize", "A0042_S1"],
        ["finalize", "A0042_S1", "--by", "K. Sato"],
        ["finalize", "A0042_S1", "--by", " ", "--reason", "x"],
        ["finalize", "A0042_S1", "--by", "K", "--reason", "two\nlines"],
        ["finalize", "A0042_S1", "--by", "K", "--reason", "x" * 201],
        ["finalize", "", *ORDER],
        ["delete", "A0042_S1", *ORDER],
    ],
)
def test_edge_result_asks_for_a_name_and_a_reason(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
