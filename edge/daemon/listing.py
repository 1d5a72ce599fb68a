"""The folders of a source, listed anew only when something can have changed: thousands of finished slides cost no look.

A folder's own time, size and number of sub-folders move when an entry comes or goes. While they stand still, and no
event names an unknown folder, the list of the last look holds. Three things bound that trust:

- a list counts only when it was begun GRANULE_S after these facts were first seen so: an entry that comes within one
  tick of the share's clock (2 s on FAT) leaves the time as it is;
- a list that lacks a known folder is never used twice: that a folder is gone is concluded from several lists;
- at the latest after LIST_AGAIN_S the source is listed whatever its facts say: some shares never move them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from edge.daemon.folder_look import list_slide_folders, require_sentinel

GRANULE_S = 3.0
LIST_AGAIN_S = 30.0

Facts = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """What a source holds. `place`: device and inode of its folder; `again`: it is the list of the look before."""

    names: tuple[str, ...]
    present: frozenset[str]
    place: tuple[int, int]
    again: bool = False


class SourceListing:
    """Lists one source. Times are monotonic."""

    def __init__(self, root: Path, sentinel: str | None) -> None:
        self._root = root
        self._sentinel = sentinel
        self._listed: Listed | None = None
        self._facts: Facts = ()
        self._facts_since_s = 0.0
        self._listed_at_s = 0.0

    def take(self, known: Collection[str], changed: set[str], now_s: float, on_progress: Callable[[], None]) -> Listed:
        """Return the folders, the known ones first, then new ones, oldest change first.

        `known`: the folders that the scanner knows, all of the last list among them. `changed`: the names of folders
        with events. Raises what `list_slide_folders` raises.
        """
        require_sentinel(self._root, self._sentinel)
        facts = facts_of_source(self._root)
        if facts != self._facts:
            self._facts, self._facts_since_s = facts, now_s
        if self._listed is not None and self._holds(self._listed, known, changed, now_s):
            return replace(self._listed, again=True)
        names = tuple(list_slide_folders(self._root, self._sentinel, on_progress, known=known))
        after = self._root.stat()
        self._listed, self._listed_at_s = Listed(names, frozenset(names), (after.st_dev, after.st_ino)), now_s
        return self._listed

    def forget(self) -> None:
        """List the source at the next look in any case."""
        self._listed = None

    def _holds(self, listed: Listed, known: Collection[str], changed: set[str], now_s: float) -> bool:
        # Every listed folder has become a known one, so that equal numbers are equal names.
        if len(known) != len(listed.present) or not changed <= listed.present:
            return False
        return self._facts_since_s + GRANULE_S <= self._listed_at_s and now_s < self._listed_at_s + LIST_AGAIN_S


def facts_of_source(root: Path) -> Facts:
    """Return what of a folder moves when an entry comes or goes, and which folder it is; raises OSError."""
    facts = root.stat()
    return (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_nlink, facts.st_size)
