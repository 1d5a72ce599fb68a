"""One look at a slide's folder: which files, how large, how old; and at the list of folders of a source."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

from edge.daemon.settle import FolderLook
from edge.errors import EdgeError
from edge.slide_files import KINDS, METADATA_NAMES, SlideListing, list_slide_folder

FOLDERS_MAX = 100_000
ENTRIES_PER_WORD = 64
Stamp = tuple[tuple[str, int, int], ...]


def names_to_spool(folder: Path) -> tuple[str, ...]:
    """Return what of a slide's folder is copied: cell images, metadata, and empty image files (to be warned of).

    Raises OSError, and EdgeError MDSE-SPOOL-001 when the folder holds a link or a special file in place of an image:
    it is never followed, and a slide with a hole in it is not passed on in silence.
    """
    listing = list_slide_folder(folder)
    if listing.links:
        raise EdgeError("MDSE-SPOOL-001", where=f"{folder.name}/{listing.links[0]}")
    cells = [file.path for file in listing.images if file.kind == "wbc"]
    return (*cells, *listing.empty, *metadata_names(listing))


def metadata_names(listing: SlideListing) -> tuple[str, ...]:
    """Return every metadata file: the first is used, a further one may still name another sample and stop the slide."""
    return ((listing.metadata,) if listing.metadata else ()) + listing.further_metadata


def look_at_folder(folder: Path, markers: Sequence[str], on_progress: Callable[[], None]) -> FolderLook:
    """Return what the folder shows now; raises OSError (FileNotFoundError when it is gone)."""
    listing = list_slide_folder(folder)
    on_progress()
    rows = [(file.path, file.size_bytes, file.mtime_ns) for file in listing.images]
    for name in metadata_names(listing):
        facts = (folder / name).lstat()
        rows.append((name, facts.st_size, facts.st_mtime_ns))
    has_marker = any(os.path.lexists(folder / marker) for marker in markers)
    rows.sort()
    shown = json.dumps([rows, listing.empty, listing.links, has_marker], ensure_ascii=True)
    cells = sum(file.kind == "wbc" for file in listing.images) + len(listing.links)
    return FolderLook(hashlib.sha256(shown.encode("ascii")).hexdigest(), cells, has_marker)


def stamp_of_folder(folder: Path, parts: Iterable[str]) -> Stamp:
    """Return size and time of the folder itself and of what in it tells of most changes without a look at every file.

    `parts` are its sub-folders and metadata files (`parts_of_folder`). Raises OSError.
    """
    # Asked of a hundred folders at every look: strings are a third of what paths cost.
    stamps = [(name, os.lstat(os.path.join(folder, name))) for name in ("", *parts)]  # noqa: PTH118
    return tuple((name, facts.st_size, facts.st_mtime_ns) for name, facts in stamps)


def parts_of_folder(folder: Path) -> tuple[str, ...]:
    """Return the sub-folders for images and the metadata files of a slide folder, by their names; raises OSError."""
    with os.scandir(folder) as entries:
        return tuple(sorted(e.name for e in entries if e.name in METADATA_NAMES or e.name.lower() in KINDS))


def list_slide_folders(
    root: Path, sentinel: str | None, on_progress: Callable[[], None], *, known: Container[str] = ()
) -> list[str]:
    """Return the names of the slide folders under `root`: the known ones, then new ones, oldest change first.

    Links and hidden names are left out. Only folders that are not `known` are asked for their time: a source with
    thousands of finished slides stays cheap.

    Raises OSError when the source cannot be read, EdgeError MDSE-DAEMON-005 when the sentinel is missing or the
    folder is beyond all measure.
    """
    require_sentinel(root, sentinel)
    found: list[tuple[int, str]] = []
    with os.scandir(root) as entries:
        for number, entry in enumerate(entries):
            if number % ENTRIES_PER_WORD == 0:
                on_progress()
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            if len(found) >= FOLDERS_MAX:
                raise EdgeError("MDSE-DAEMON-005", where=str(root), reason=f"it holds more than {FOLDERS_MAX} folders")
            found.append((0 if entry.name in known else change_time_ns(entry), entry.name))
    found.sort()
    return [name for _, name in found]


def require_sentinel(root: Path, sentinel: str | None) -> None:
    """Raise EdgeError MDSE-DAEMON-005 where the file is missing that tells the share from an empty mount point."""
    if sentinel is not None and not os.path.lexists(root / sentinel):
        raise EdgeError("MDSE-DAEMON-005", where=str(root), reason=f"its sentinel file {sentinel} is missing")


def change_time_ns(entry: os.DirEntry[str]) -> int:
    """Return when a folder last changed; only for the order in which folders are taken. 0 when it is just gone."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return 0


def is_plain_folder(path: Path) -> bool:
    """Tell whether `path` is a folder and no link to one; raises OSError other than 'not there'."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False
