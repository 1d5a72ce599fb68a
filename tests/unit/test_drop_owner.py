"""Two machines and one drop folder: the one that is there keeps it, the one that is gone loses it, never both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.daemon import deliver
from edge.daemon.channel import Message
from edge.daemon.deliver import OWNER_ANSWERS_WITHIN_S, Deliverer
from edge.delivery.owner import machine_id
from edge.errors import EdgeError


def machine(root: Path, name: str, identity: str | None = None) -> Deliverer:
    settings = {
        "folder": str(root),
        "ack": "none",
        "ack_folder": str(root / "ack"),
        "identity": identity,
        "machine": name,
    }
    return Deliverer(None, settings)  # type: ignore[arg-type]  # not looked at


def order(deliverer: Deliverer, kind: str, *blobs: bytes, **facts: Any) -> dict[str, object]:
    return deliverer._carry_out(Message({"kind": kind, **facts}, blobs))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [500.0]
    monkeypatch.setattr(deliver.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


@pytest.mark.case("C14")
def test_a_copied_state_folder_on_a_second_machine_delivers_nothing_while_the_first_lives(
    drop: Path, clock: list[float]
) -> None:
    first = machine(drop, "a")
    identity = order(first, "prepare")["identity"]
    second = machine(drop, "b", str(identity))
    for _ in range(10):
        with pytest.raises(EdgeError, match="MDSE-DAEMON-017"):
            order(second, "prepare")
        clock[0] += 20.0
        first._answer_another_machine()
    order(first, "stage", b"x", staged_name="s", id=1)


@pytest.mark.case("C14")
def test_a_folder_whose_machine_is_gone_is_taken_over_after_a_minute_without_an_answer(
    drop: Path, clock: list[float]
) -> None:
    first = machine(drop, "a")
    identity = order(first, "prepare")["identity"]
    second = machine(drop, "b", str(identity))
    with pytest.raises(EdgeError, match="MDSE-DAEMON-017"):
        order(second, "prepare")
    clock[0] += OWNER_ANSWERS_WITHIN_S - 1
    with pytest.raises(EdgeError, match="MDSE-DAEMON-017"):
        order(second, "prepare")
    clock[0] += 1
    assert order(second, "prepare")["kind"] == "ready"
    # The first one was only asleep: it finds that the folder is no longer its own and sends nothing.
    with pytest.raises(EdgeError, match="MDSE-DAEMON-017"):
        order(first, "stage", b"x", staged_name="s", id=1)
    order(second, "stage", b"x", staged_name="s", id=1)


def test_the_same_machine_goes_on_at_once_and_an_idle_owner_writes_nothing(drop: Path, clock: list[float]) -> None:
    first = machine(drop, "a")
    identity = str(order(first, "prepare")["identity"])
    staging = drop / ".mds-edge-staging"
    before = {path.name: path.stat().st_mtime_ns for path in staging.iterdir()}
    again = machine(drop, "a", identity)
    order(again, "prepare")
    for _ in range(5):
        again._answer_another_machine()
    after = {path.name: path.stat().st_mtime_ns for path in staging.iterdir()}
    assert (after, sorted(after)) == (before, ["drop.id", "owner"])


def test_the_sweep_leaves_the_record_of_the_owner(drop: Path, clock: list[float]) -> None:
    first = machine(drop, "a")
    order(first, "prepare")
    (drop / ".mds-edge-staging" / "orphan").write_bytes(b"x")
    swept = order(first, "recover", staged=[], collected=[])["swept"]
    assert swept == ["orphan"]


def test_the_machine_is_known_by_a_digest_that_does_not_tell_its_id(tmp_path: Path) -> None:
    path = tmp_path / "machine-id"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    assert machine_id(path) == machine_id(path)
    assert "0123456789abcdef" not in machine_id(path)
    assert machine_id(tmp_path / "none") == ""
