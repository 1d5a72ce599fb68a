"""Which files of a slide folder belong to the slide, and how each is opened. Shared by reader, scanner and spool.

    list_slide_files   names only: scandir, no file is opened
    read_file_below    one file: never through a link, never a pipe or a device, never more than a limit

The export folder is written by others and may be hostile: whatever is opened is opened from the folder's own
descriptor, so that a name swapped for a link between two looks changes nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from edge.errors import EdgeError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
IGNORED_PATTERNS = (".*", "*.tmp", "*.part", "*.crdownload", "~$*", "thumbs.db", "desktop.ini")
KINDS = ("wbc", "rbc", "plt", "overview")
# The largest slide seen in public holds some 400 cells; beyond this the folder is no slide.
SLIDE_FILES_MAX = 5_000

PRECLASS_LENGTH_MAX = 32
_NUMBERED = re.compile(r"(?:^|_)(?P<kind>wbc|rbc|plt|overview)_[0-9]+(?:_[a-z][a-z0-9]*)*$")
_PRECLASS = re.compile(r"(?:^|_)[0-9]+_(?P<preclass>[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z][A-Za-z0-9]*)*)$")
# Behind a running number these words are a class: large platelets, clumps of platelets and nucleated red cells are
# counted. A longer number is a sample id (no folder holds so many files); `0001_RBC` alone is a picture of red cells.
_CELL = re.compile(r"(?:^|_)(?:cell)?[0-9]{1,5}[_ -]+(?P<class>[a-z]+(?:[_ -]+[a-z][a-z0-9]*)*)(?: ?\([0-9]+\))?$")
_CLASS_WORDS = frozenset({"plt"})
_CLASS_WORDS_OF_MANY = frozenset({"plt", "rbc"})
_TOKENS = re.compile(r"[^a-z0-9]+")
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class MetadataNames(tuple[str, ...]):
    """Names of metadata files. `in` asks whatever the case: where scripts write `Slide.json`, nobody tells it apart."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        """Tell whether a file of this name holds metadata."""
        return isinstance(name, str) and super().__contains__(name.lower())


# First found wins, in this order.
METADATA_NAMES = MetadataNames(("slide.json", "slide.xml", "slide.csv"))


@dataclass(frozen=True, slots=True)
class SlideFile:
    """One image of a slide: its path below the folder (posix), its kind (`wbc`, `rbc`, `plt`, `overview`), its stat."""

    path: str
    kind: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class SlideListing:
    """What a slide folder holds: images in order of name, the metadata files, and what was left out and why.

    Metadata files stand under their own names, as `METADATA_NAMES` orders them; two spellings of one are both there.
    """

    images: tuple[SlideFile, ...]
    metadata: str | None
    further_metadata: tuple[str, ...]
    empty: tuple[str, ...]
    links: tuple[str, ...]
    nested: tuple[str, ...]
    other: tuple[str, ...]


def is_ignored(name: str) -> bool:
    """Tell whether the file rule leaves this name out: hidden, temporary or written by a desktop."""
    lowered = name.lower()
    return any(fnmatchcase(lowered, pattern) for pattern in IGNORED_PATTERNS)


def kind_of(path: str) -> str:
    """Return the kind of an image: its sub-folder's name, else a token of its file name, else `wbc`.

    The token before the running number counts first (`<slide_key>_<kind>_<nnnn>[_<PRECLASS>]`), so that a slide key
    that holds the word `rbc` changes nothing; any other place counts after that (`overview-1.jpg`), but not the class
    of a cell behind its number (`0001_PLT.jpg`, `0001_NUCLEATED_RBC.jpg`).
    """
    parts = PurePosixPath(path).parts
    if len(parts) > 1 and parts[0].lower() in KINDS:
        return parts[0].lower()
    stem = PurePosixPath(parts[-1]).stem.lower()
    numbered = _NUMBERED.search(stem)
    if numbered:
        return numbered["kind"]
    cell = _CELL.search(stem)
    if not cell:
        return _first_kind(_TOKENS.split(stem))
    words = _TOKENS.split(cell["class"])
    of_class = _CLASS_WORDS if len(words) == 1 else _CLASS_WORDS_OF_MANY
    before = _TOKENS.split(stem[: cell.start("class")])
    return _first_kind([*before, *(word for word in words if word not in of_class)])


def _first_kind(tokens: list[str]) -> str:
    return next((token for token in tokens if token in KINDS), "wbc")


def preclass_of(path: str) -> str | None:
    """Return the analyzer's class from a file name that ends in `<number>_<CLASS>`; None when there is none.

    Words of letters and digits, joined by `_`, of 32 characters together at most.
    """
    found = _PRECLASS.search(PurePosixPath(path).stem)
    return found["preclass"] if found and len(found["preclass"]) <= PRECLASS_LENGTH_MAX else None


def list_slide_files(folder: Path) -> tuple[str, ...]:
    """Return the paths of the cell images (kind `wbc`) below `folder`, posix, in order of name.

    Raises OSError when the folder cannot be listed: a share that is away is not an empty slide.
    """
    return tuple(file.path for file in list_slide_folder(folder).images if file.kind == "wbc")


def list_slide_folder(folder: Path) -> SlideListing:
    """List a slide folder and its kind sub-folders, one level deep, by names and stat alone.

    Raises OSError when a folder cannot be listed, EdgeError MDSE-SLIDE-009 when it holds too many files.
    """
    images: list[SlideFile] = []
    left_out: dict[str, list[str]] = {"empty": [], "links": [], "nested": [], "other": []}
    metadata: set[str] = set()
    _list_level(folder, "", images, left_out, metadata)
    chosen = sorted(metadata, key=lambda name: (METADATA_NAMES.index(name.lower()), name))
    return SlideListing(
        images=tuple(sorted(images, key=lambda file: file.path)),
        metadata=chosen[0] if chosen else None,
        further_metadata=tuple(chosen[1:]),
        empty=tuple(sorted(left_out["empty"])),
        links=tuple(sorted(left_out["links"])),
        nested=tuple(sorted(left_out["nested"])),
        other=tuple(sorted(left_out["other"])),
    )


def _list_level(
    folder: Path, prefix: str, images: list[SlideFile], left_out: dict[str, list[str]], metadata: set[str]
) -> None:
    with os.scandir(folder / prefix if prefix else folder) as entries:
        for count, entry in enumerate(entries):
            if count >= SLIDE_FILES_MAX:
                raise EdgeError("MDSE-SLIDE-009", where=folder.name, limit=SLIDE_FILES_MAX)
            if is_ignored(entry.name):
                continue
            path = f"{prefix}/{entry.name}" if prefix else entry.name
            if not prefix and entry.name in METADATA_NAMES:
                metadata.add(entry.name)  # whatever it is: opening it tells, and a link in its place is no "absent"
            elif entry.is_symlink():
                left_out["links"].append(path)
            elif entry.is_dir(follow_symlinks=False):
                if not prefix and entry.name.lower() in KINDS:
                    _list_level(folder, path, images, left_out, metadata)
                else:
                    left_out["nested"].append(path)
            elif not entry.name.lower().endswith(IMAGE_SUFFIXES):
                left_out["other"].append(path)
            else:
                _list_image(entry, path, images, left_out)


def _list_image(entry: os.DirEntry[str], path: str, images: list[SlideFile], left_out: dict[str, list[str]]) -> None:
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        left_out["links"].append(path)
    elif status.st_size == 0:
        left_out["empty"].append(path)
    else:
        images.append(SlideFile(path, kind_of(path), status.st_size, status.st_mtime_ns))


@contextmanager
def open_folder(folder: Path) -> Iterator[int]:
    """Yield a descriptor of `folder`, which must be a folder and no link, and close it afterwards. Raises OSError."""
    descriptor = os.open(folder, _OPEN_FLAGS | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_file_below(folder_fd: int, path: str, *, bytes_max: int) -> bytes:
    """Return the bytes of the regular file `path` (relative, posix) below an open folder.

    No component may be a link, and a pipe, socket or device is refused without waiting on it (O_NONBLOCK).
    Raises ValueError for a path that leaves the folder, OSError when it cannot be opened or read, EdgeError
    MDSE-IMAGE-003 when the file holds more than `bytes_max` and MDSE-IMAGE-008 when it is not a regular file.
    """
    parts = path.split("/")
    if not all(parts) or ".." in parts or "." in parts or "\x00" in path:
        raise ValueError(f"{path!r} is not a path below the slide folder")
    descriptors: list[int] = []
    try:
        parent = folder_fd
        for part in parts[:-1]:
            parent = os.open(part, _OPEN_FLAGS | os.O_DIRECTORY, dir_fd=parent)
            descriptors.append(parent)
        file_fd = os.open(parts[-1], _OPEN_FLAGS | os.O_NONBLOCK, dir_fd=parent)
        descriptors.append(file_fd)
        return _read_regular(file_fd, path, bytes_max)
    finally:
        for descriptor in descriptors:
            with suppress(OSError):  # closing a descriptor that was only read cannot lose data
                os.close(descriptor)


def _read_regular(file_fd: int, path: str, bytes_max: int) -> bytes:
    status = os.fstat(file_fd)
    if not stat.S_ISREG(status.st_mode):
        raise EdgeError("MDSE-IMAGE-008", where=path, reason="it is not a regular file")
    if status.st_size > bytes_max:
        raise EdgeError("MDSE-IMAGE-003", where=path, bytes=status.st_size, limit_bytes=bytes_max)
    chunks: list[bytes] = []
    remaining = bytes_max + 1
    while remaining and (chunk := os.read(file_fd, min(remaining, max(status.st_size + 1, 65_536)))):
        chunks.append(chunk)
        remaining -= len(chunk)
    if not remaining:
        raise EdgeError("MDSE-IMAGE-003", where=path, bytes=f"more than {bytes_max}", limit_bytes=bytes_max)
    return b"".join(chunks)
