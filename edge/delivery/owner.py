"""Which machine delivers into a drop folder: a record in the staging folder, a question that only a live one answers.

Two machines with one copied state folder look alike to every other check and would send everything twice. A machine
that finds another's name in the record asks (`owner.ask`) and waits; the named one, if it runs, answers within seconds
(`owner.answer`). No answer: the machine is gone, and the folder is taken over. An owner that is idle writes nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from edge.delivery.durable import ANSWER_NAME, ASK_NAME, OWNER_NAME, can_sync_folder, write_durably

WORDS_BYTES_MAX = 256


def machine_id(path: Path = Path("/etc/machine-id")) -> str:
    """Return a digest of this machine's identity (machine-id(5) asks that the id itself be kept); "" without one."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return hashlib.sha256(f"mds-edge drop owner {text}".encode("ascii")).hexdigest()[:32] if text else ""


def read_words(staging: int, name: str) -> str:
    """Return the text of a small file of the open staging folder; "" when it is not there. Raises OSError."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=staging)
    except FileNotFoundError:
        return ""
    try:
        return os.read(descriptor, WORDS_BYTES_MAX).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)


def write_words(staging: int, name: str, words: str) -> None:
    """Replace a small file of the open staging folder as a whole, synced. Raises OSError."""
    hidden = f"{name}.{secrets.token_hex(4)}"
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=staging)
    try:
        write_durably(descriptor, words.encode("ascii") + b"\n", 0o600)
        os.rename(hidden, name, src_dir_fd=staging, dst_dir_fd=staging)
    except OSError:
        with suppress(OSError):
            os.unlink(hidden, dir_fd=staging)
        raise
    can_sync_folder(staging)


class OwnerClaim:
    """The claim of one machine on one drop folder. Every call is a few small reads and writes only what changes."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._question = ""
        self._answered = ""

    def owner(self, staging: int) -> str:
        """Return the machine that the record names; "" for nobody or for us. Raises OSError.

        A machine without an identity (a bare container) can tell nobody apart and claims nothing.
        """
        named = read_words(staging, OWNER_NAME) if self._machine else ""
        return "" if named == self._machine else named

    def take(self, staging: int) -> None:
        """Write our name into the record. Raises OSError."""
        if self._machine and read_words(staging, OWNER_NAME) != self._machine:
            write_words(staging, OWNER_NAME, self._machine)

    def ask(self, staging: int) -> None:
        """Ask the named owner whether it lives. Raises OSError."""
        self._question = secrets.token_hex(8)
        write_words(staging, ASK_NAME, self._question)

    def is_answered(self, staging: int) -> bool:
        """Tell whether the owner has answered our question. Raises OSError."""
        return self._question != "" and read_words(staging, ANSWER_NAME) == self._question

    def answer(self, staging: int) -> None:
        """Answer a question that another machine has asked, once. Raises OSError."""
        question = read_words(staging, ASK_NAME)
        if question and question not in (self._answered, self._question):
            if read_words(staging, ANSWER_NAME) != question:
                write_words(staging, ANSWER_NAME, question)
            self._answered = question
