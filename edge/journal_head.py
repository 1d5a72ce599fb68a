"""How far the journal has come, in a file beside it: an older copy, or one without its log, is noticed at the start."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edge.errors import EdgeError

HEAD_NAME = "journal.head"
HEAD_BYTES = 128


class JournalHead:
    """How far the journal has come, beside it: a log that was taken away or an older copy is noticed at the next start.

    After a crash the newest commits lie in SQLite's log alone. Without it the database opens in silence and is some
    commits younger, and what was sent would be sent again. The number is written after every commit and not synced: it
    may lag behind the journal after a power cut, and is never ahead of it.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = identity
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def prove(self, newest: int, journal: Path) -> None:
        """Raise EdgeError MDSE-JOURNAL-014 when the journal had come further than its row `newest`."""
        words = os.pread(self._descriptor, HEAD_BYTES, 0).decode("ascii", "replace").split()
        if len(words) == 2 and words[0] == self._identity and words[1].isdecimal() and int(words[1]) > newest:
            self.close()
            raise EdgeError("MDSE-JOURNAL-014", where=str(journal), found=newest, reached=int(words[1]))
        self.write(newest)

    def write(self, newest: int) -> None:
        """Note the newest audit row. A disk that fails here costs the proof and nothing else."""
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, f"{self._identity} {newest:020d}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
