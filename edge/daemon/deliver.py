"""The deliverer: one child per output. Stages and publishes what the supervisor orders, and reads what the LIS answers.

It alone touches the drop folder, so an output that is full or hangs stops neither the other outputs nor the books.
It keeps no state of its own: the journal says what is staged, and this process carries out one order after the other.

    from the supervisor   begin {folder, identity, lock} · claim · prepare · recover {staged, collected}
                          stage {id, staged_name} + bytes · publish {id, staged_name, final_name, sha256, size}
                          acks {wanted}
    to the supervisor     claimed {identity} · ready {identity, method} · recovered {states, swept, removed}
                          staged · published · acks {states} · failed {id, code, text}
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Any

from edge.daemon.channel import Channel, Message
from edge.daemon.child_main import run_child
from edge.daemon.durable import free_bytes
from edge.daemon.trouble import error_number_of
from edge.delivery.acknowledge import AckState, read_acknowledgements
from edge.delivery.durable import STAGING_NAME, explained, is_there, opened_folder, read_identity
from edge.delivery.owner import OwnerClaim
from edge.delivery.publish import (
    Drop,
    prepare_drop,
    publish_file,
    remove_reappeared_file,
    stage_file,
    staged_state,
    sweep_staging,
)
from edge.errors import EdgeError

log = logging.getLogger("mds_edge.daemon")
IDLE_S = 5.0
OWNER_ANSWERS_WITHIN_S = 60.0
"""Twelve looks of an owner that has nothing to do; one that carries out an order looks again after it."""


class Deliverer:
    """The child's state: the prepared drop folder."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._folder = Path(settings["folder"])
        self._ack = settings["ack"]
        self._ack_folder = Path(settings["ack_folder"])
        self._identity = settings["identity"]
        self._drop: Drop | None = None
        self._named_before: set[int] = set()
        self._unended: dict[int, AckState] = {}
        self._claim = OwnerClaim(settings.get("machine", ""))
        self._asked_at_s: float | None = None

    def run(self) -> None:
        """Carry out orders for ever; ends with EOFError when the supervisor is gone."""
        while True:
            message = self._channel.receive(IDLE_S)
            if message is None:
                self._answer_another_machine()
                continue
            try:
                answer = self._carry_out(message)
            except EdgeError as error:
                answer = failure(message, error, error.code, str(error))
            except OSError as error:
                answer = failure(message, error, "", f"{type(error).__name__}: {error}")
            self._channel.send(answer | {"free_bytes": self._free_bytes()})

    def _free_bytes(self) -> int | None:
        """Return what may still be written into the drop folder; None when that cannot be told now."""
        try:
            return free_bytes(self._folder)
        except OSError:
            return None

    def _carry_out(self, message: Message) -> dict[str, object]:
        order: dict[str, Any] = dict(message.header)
        if message.kind == "claim":
            return {"kind": "claimed", "identity": self._found_identity()}
        if message.kind == "prepare":
            drop = prepare_drop(self._folder, expected_identity=self._identity)
            self._own(drop)
            self._drop = drop
            self._identity = self._drop.identity
            return {"kind": "ready", "identity": self._drop.identity, "method": self._drop.method}
        drop = self._prepared()
        if message.kind == "recover":
            return self._recover(drop, order)
        if message.kind in ("stage", "publish"):
            self._require_ours(drop)
        if message.kind == "stage":
            stage_file(drop, order["staged_name"], message.blobs[0])
            return {"kind": "staged", "id": order["id"]}
        if message.kind == "publish":
            publish_file(drop, order["staged_name"], order["final_name"], order["sha256"], order["size"])
            return {"kind": "published", "id": order["id"]}
        if message.kind == "acks":
            return {"kind": "acks", "states": self._answers(drop, order["wanted"])}
        raise AssertionError(f"an order of kind {message.kind!r}")

    def _found_identity(self) -> str:
        """Return the identity that the drop folder carries, "" when none (raises OSError when it is away)."""
        with opened_folder(self._folder) as folder:
            if not is_there(folder, STAGING_NAME):
                return ""
        with opened_folder(self._folder / STAGING_NAME) as staging:
            return read_identity(staging)

    def _own(self, drop: Drop) -> None:
        """Take the folder for this machine; raises EdgeError MDSE-DAEMON-017 while another one may still deliver here.

        Called again and again: the named owner is asked once and has a minute to answer.
        """
        with explained(drop.folder), opened_folder(drop.staging) as staging:
            other = self._claim.owner(staging)
            if not other:
                self._claim.take(staging)
                return
            now_s = time.monotonic()
            if self._asked_at_s is None:
                self._claim.ask(staging)
                self._asked_at_s = now_s
            elif self._claim.is_answered(staging):
                self._asked_at_s = None  # it lives; asked anew at the next try, for it may be switched off one day
            elif now_s - self._asked_at_s >= OWNER_ANSWERS_WITHIN_S:
                self._claim.take(staging)
                self._asked_at_s = None
                return
        raise EdgeError("MDSE-DAEMON-017", where=str(drop.folder), owner=other[:8])

    def _require_ours(self, drop: Drop) -> None:
        """Raise EdgeError MDSE-DAEMON-017 when another machine has taken the folder over since."""
        with explained(drop.folder), opened_folder(drop.staging) as staging:
            other = self._claim.owner(staging)
        if other:
            raise EdgeError("MDSE-DAEMON-017", where=str(drop.folder), owner=other[:8])

    def _answer_another_machine(self) -> None:
        """Answer a machine that wants this folder; what cannot be read now is read at the next look."""
        if self._drop is None:
            return
        try:
            with opened_folder(self._drop.staging) as staging:
                if not self._claim.owner(staging):
                    self._claim.answer(staging)
        except OSError as error:
            log.debug("the owner's record cannot be read: %s", error)

    def _prepared(self) -> Drop:
        if self._drop is None:
            raise AssertionError("an order before the drop folder was prepared")
        return self._drop

    def _recover(self, drop: Drop, order: dict[str, Any]) -> dict[str, object]:
        """Say where each STAGED file is, and only then clean up what no STAGED row names."""
        states = [[identity, staged_state(drop, staged, final)] for identity, staged, final in order["staged"]]
        removed = [
            identity
            for identity, final, sha256, size in order["collected"]
            if remove_reappeared_file(drop, final, sha256, size)
        ]
        swept = sweep_staging(drop, [staged for _, staged, _ in order["staged"]])
        return {"kind": "recovered", "states": states, "swept": list(swept), "removed": removed}

    def _answers(self, drop: Drop, wanted: list[tuple[int, str, str]]) -> list[list[object]]:
        files = [(final_name, message_id) for _, final_name, message_id in wanted]
        states = read_acknowledgements(self._ack, drop, files, ack_folder=self._ack_folder)
        return [self._answer_to(identity, state) for (identity, _, _), state in zip(wanted, states, strict=True)]

    def _answer_to(self, identity: int, state: AckState) -> list[object]:
        if state.kind in ("accepted", "refused") and not state.whole:
            # Half a file must settle nothing: only the next look can tell that nothing was added.
            before, self._unended[identity] = self._unended.get(identity), state
            if before != state:
                return [identity, "pending", "", False]
        self._unended.pop(identity, None)
        if self._ack == "senaite-index" and state.kind == "accepted" and identity not in self._named_before:
            # The name is written before the errors of its import: only the next look can tell that there were none.
            self._named_before.add(identity)
            return [identity, "pending", "", False]
        self._named_before.discard(identity)
        return [identity, state.kind, state.text, state.temporary]


def failure(message: Message, error: Exception, code: str, text: str) -> dict[str, object]:
    """Return the answer to an order that could not be carried out."""
    identity = message.header.get("id", 0)
    return {"kind": "failed", "id": identity, "code": code, "text": text, "errno": error_number_of(error)}


def serve(channel: Channel) -> None:
    """Take the settings and the output's own lock, then carry out orders.

    The lock outlives a supervisor that was killed: an earlier deliverer still at work on this drop folder, perhaps
    stuck in a hung share, has to be gone before a new one looks at what is staged.
    """
    message = channel.receive()
    if message is None:
        return
    settings = dict(message.header)
    lock = os.open(str(settings["lock"]), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    Deliverer(channel, settings).run()


def main(descriptor: int, parent_pid: int) -> int:
    """Run as a child of the supervisor."""
    return run_child(descriptor, parent_pid, serve)
