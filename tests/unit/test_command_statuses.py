"""What `edge-journal` and `edge-result` tell by their exit status, and where they find the books by themselves."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.commands import journal as journal_command
from edge.commands import result as result_command
from edge.config_reference import sample_configuration
from edge.journal_states import SLIDE_MOVES
from tests.unit.test_control_client import SmallDaemon

WHO = ["--by", "K. Sato", "--reason", "the disk was replaced"]
WHOLE = {"ok": True, "whole": True, "seen": 1, "delivered": 1, "waiting": 0, "held": 0, "quarantined": 0, "late": 0,
         "vanished": 0, "duplicates": 0, "discarded": 0, "purged": 0, "difference": 0, "delivered_unseen": [],
         "closed_without_result": []}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    text = re.sub(r"^# socket = .*$", f'socket = "{tmp_path}/control.sock"', sample_configuration(), flags=re.MULTILINE)
    text = re.sub(r"^# state_dir = .*$", f'state_dir = "{tmp_path}/state"', text, flags=re.MULTILINE)
    path = tmp_path / "mds-edge.toml"
    path.write_text(text)
    return path


@pytest.fixture
def answered_with(tmp_path: Path) -> Iterator[Any]:
    started: list[SmallDaemon] = []

    def start(reply: dict[str, Any]) -> None:
        started.append(SmallDaemon(tmp_path / "control.sock", json.dumps(reply).encode() + b"\n"))

    yield start
    for daemon in started:
        daemon.close()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_adoption_that_closed_nothing_says_so_and_does_not_end_as_done(
    answered_with: Any, config: Path, capsys: Any, form: list[str]
) -> None:
    answered_with({"ok": True, "slides": 0, "deliveries": 0, "drop_folders": 1})
    assert journal_command.main(["adopt", *WHO, "--config", str(config), *form]) == 6
    told = capsys.readouterr()
    assert "NO SLIDE WAS CLOSED" in told.err
    assert "systemctl stop mds-edge" in told.err


@pytest.mark.parametrize(("slides", "deliveries"), [(2, 0), (0, 2)])
def test_an_adoption_that_closed_something_is_done(
    answered_with: Any, config: Path, capsys: Any, slides: int, deliveries: int
) -> None:
    answered_with({"ok": True, "slides": slides, "deliveries": deliveries, "drop_folders": 1})
    assert journal_command.main(["adopt", *WHO, "--config", str(config)]) == 0
    told = capsys.readouterr()
    assert f"{slides} slides were closed and {deliveries} deliveries given up" in told.out
    assert told.err == ""


def test_nothing_is_adopted_of_a_journal_that_has_seen_nothing(config: Path, capsys: Any) -> None:
    assert journal_command.main(["adopt", *WHO, "--config", str(config)]) == 6
    assert "1 drop folders were taken over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "status"), [({}, 0), ({"difference": 1}, 6), ({"closed_without_result": [3]}, 6)], ids=str
)
def test_an_account_that_does_not_add_up_does_not_end_as_done(
    answered_with: Any, config: Path, wrong: dict[str, Any], status: int
) -> None:
    answered_with(WHOLE | {"whole": not wrong} | wrong)
    assert journal_command.main(["reconcile", "--config", str(config)]) == status


def test_edge_result_answers_from_the_books_while_the_daemon_is_down(
    config: Path, capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr("edge.daemon.control_client.DEFAULT_SOCKET", tmp_path / "no.sock")
    monkeypatch.setattr("edge.config.DEFAULT_CONFIG_PATH", config)
    assert result_command.main(["open"]) == 0
    assert "nothing waits" in capsys.readouterr().out


def test_edge_result_asks_a_running_daemon_even_where_the_configuration_is_broken(
    answered_with: Any, config: Path, monkeypatch: Any, tmp_path: Path
) -> None:
    config.write_text("[[[")
    answered_with({"ok": True, "results": []})
    monkeypatch.setattr("edge.daemon.control_client.DEFAULT_SOCKET", tmp_path / "control.sock")
    monkeypatch.setattr("edge.config.DEFAULT_CONFIG_PATH", config)
    assert result_command.main(["open"]) == 0


def test_edge_result_without_daemon_and_configuration_says_how_it_works_while_the_daemon_is_down(
    capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr("edge.daemon.control_client.DEFAULT_SOCKET", tmp_path / "no.sock")
    monkeypatch.setattr("edge.config.DEFAULT_CONFIG_PATH", tmp_path / "no.toml")
    assert result_command.main(["open"]) == 75
    told = capsys.readouterr().err
    assert "MDSE-DELIVERY-021" in told
    assert "--config" in told


def test_edge_result_asks_another_user_to_try_again_while_the_daemon_restarts(
    config: Path, capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    monkeypatch.setattr("edge.daemon.control_client.DEFAULT_SOCKET", tmp_path / "no.sock")
    monkeypatch.setattr("edge.config.DEFAULT_CONFIG_PATH", config)
    other = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: other)
    assert result_command.main(["open"]) == 75
    assert "MDSE-DELIVERY-021" in capsys.readouterr().err
    assert result_command.main(["open", "--config", str(config)]) == 78
    assert "MDSE-DAEMON-020" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN, errno.ETIMEDOUT])
@pytest.mark.parametrize("command", [journal_command, result_command])
def test_a_socket_that_cannot_be_asked_is_told_as_such_and_is_no_fault_of_ours(
    command: Any, number: int, config: Path, capsys: Any, monkeypatch: Any
) -> None:
    def cannot_be_asked(*_: object) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("edge.daemon.control_client.is_daemon_listening", cannot_be_asked)
    arguments = ["list"] if command is journal_command else ["open"]
    assert command.main([*arguments, "--config", str(config)]) == 75
    told = capsys.readouterr().err
    assert "MDSE-DELIVERY-021" in told
    assert os.strerror(number) in told
    assert "please report" not in told


@pytest.mark.parametrize(
    "name", ["daemon", "journal", "lis_simulator", "mllp", "plan", "report", "result", "run", "validate_site"]
)
def test_the_help_of_a_command_tells_its_exit_statuses(name: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(f"edge.commands.{name}").main(["--help"])
    assert re.search(r"exit status", capsys.readouterr().out, flags=re.IGNORECASE)


def test_the_help_of_edge_journal_names_every_state(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        journal_command.main(["--help"])
    told = capsys.readouterr().out
    assert [state for state in SLIDE_MOVES if state not in told] == []
