"""How public LIS readers treat a folder: which names they take, when a file counts as finished, what they remember.

    strict     the endings of our formats, at once: whatever a sender does wrong while publishing shows itself
    mirth      every name without a leading dot, once its time is 1 s old; the file is moved or deleted afterwards
    senaite    every name without a leading dot but its own two files, at once; known by NAME in `imported.csv`
    openelis   the endings of our formats, once unchanged for 3 s; known by CONTENT; files above 20 MiB are passed over

(Mirth/NextGen Connect File Reader defaults; senaite.core auto_import_results; OpenELIS analyzer bridge FileWatcher.)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge.simulator.lis_reading import ENDINGS

ReaderModel = Literal["strict", "mirth", "senaite", "openelis"]
READER_MODELS: tuple[ReaderModel, ...] = ("strict", "mirth", "senaite", "openelis")
INDEX_NAME, LOG_NAME = "imported.csv", "logs.log"
MIRTH_AGE_S = 1.0
OPENELIS_STEADY_S = 3.0
OPENELIS_BYTES_MAX = 20 * 1_048_576


@dataclass(slots=True)
class Pickup:
    """What one reader takes from a folder, look by look. Times: `wall_s` since 1970, `now_s` monotonic seconds."""

    model: ReaderModel
    drop: Path
    steady: dict[str, tuple[tuple[int, int], float]] = field(default_factory=dict)

    def takes(self, name: str) -> bool:
        """Tell whether this reader looks at files of that name at all."""
        if name.startswith("."):
            return False
        if self.model in ("strict", "openelis"):
            return name.endswith(ENDINGS)
        return self.model != "senaite" or name not in (INDEX_NAME, LOG_NAME)

    def is_finished(self, name: str, *, wall_s: float, now_s: float) -> bool:
        """Tell whether this reader holds the file for finished now. Raises OSError when it is gone."""
        if self.model in ("strict", "senaite"):
            return True
        facts = (self.drop / name).stat()
        if self.model == "mirth":
            return wall_s - facts.st_mtime >= MIRTH_AGE_S
        seen = (facts.st_size, facts.st_mtime_ns)
        before, since_s = self.steady.get(name, (None, now_s))
        if before != seen:
            self.steady[name] = (seen, now_s)
            return False
        return now_s - since_s >= OPENELIS_STEADY_S and facts.st_size <= OPENELIS_BYTES_MAX

    def known_names(self) -> frozenset[str]:
        """Return the names that SENAITE's index holds already, making the index at the first look as it does."""
        if self.model != "senaite":
            return frozenset()
        path = self.drop / INDEX_NAME
        try:
            return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        except FileNotFoundError:
            append_lines(path, (LOG_NAME, INDEX_NAME))
            return frozenset((LOG_NAME, INDEX_NAME))


def append_lines(path: Path, lines: tuple[str, ...]) -> None:
    """Append lines to one of SENAITE's two files, as it does: one after the other, without a sync."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def listed_names(folder: Path) -> list[str]:
    """Return the names of the folder's files in order; none when the folder is away."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  names alone are compared, not paths
    except OSError:
        return []
    return [name for name in names if not (folder / name).is_dir()]
