"""One daemon per state folder: an exclusive lock that the kernel gives back when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from edge.errors import EdgeError


class StateLock:
    """The held lock of a state folder. Whoever holds it may open the journal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)


def lock_state(state_dir: Path) -> StateLock:
    """Take the lock; raises EdgeError MDSE-DAEMON-001 (exit 75) when another process holds it."""
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise EdgeError("MDSE-DAEMON-001", where=str(state_dir), process=holder or "unknown") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return StateLock(descriptor)
