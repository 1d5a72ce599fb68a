"""The state folder: where each thing lies, and that nobody else may read it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge.daemon.durable import make_folder
from edge.errors import EdgeError


@dataclass(frozen=True, slots=True)
class StateFolders:
    """The folders below `state_dir`; all are ours alone (0700)."""

    root: Path

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.root / "journal.sqlite"

    @property
    def spool(self) -> Path:
        """Copies of slides, one folder each."""
        return self.root / "spool"

    @property
    def incoming(self) -> Path:
        """Copies that a scanner is still making."""
        return self.spool / "incoming"

    @property
    def archive(self) -> Path:
        """Records and reports, for ever."""
        return self.root / "archive"

    @property
    def quarantine(self) -> Path:
        """Slides that could not be analyzed, with the reason."""
        return self.root / "quarantine"

    @property
    def cache(self) -> Path:
        """What engines compiled for this machine."""
        return self.root / "cache"

    @property
    def locks(self) -> Path:
        """One lock per output."""
        return self.root / "locks"

    def require_ours(self) -> None:
        """Refuse another user than the folder's owner, root too: what it wrote, the service could not read.

        Raises EdgeError MDSE-DAEMON-020. A folder that is not there yet, or cannot be seen, is left to `make`.
        """
        try:
            owner = self.root.stat().st_uid
        except OSError:
            return
        if owner != os.geteuid():
            raise EdgeError("MDSE-DAEMON-020", where=str(self.root), owner=owner, user=os.geteuid())

    def make(self) -> None:
        """Make what is missing; raises OSError."""
        make_folder(self.root)
        for folder in (self.incoming, self.archive, self.quarantine, self.cache, self.locks):
            make_folder(folder)
            folder.chmod(0o700)
        self.spool.chmod(0o700)
