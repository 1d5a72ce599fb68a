"""Which cell images a slide holds: each with an id of its own, its digest, and the class that the analyzer gave it.

An image file without a byte is a cell that cannot be used, as a damaged one is: it counts as unreadable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.errors import EdgeError, printable
from edge.slide_files import SlideFile, SlideListing, kind_of, open_folder, preclass_of, read_file_below
from edge.slide_metadata import SlideMetadata
from edge.slide_promises import CELL, promised_of_images

HASHED_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CellFile:
    """One cell image of a slide: its id, its path below the slide folder (posix), size, digest and pre-class.

    `sha256` is the export's own digest where its metadata gives one, else that of the bytes found. `unread` says why
    these could not be read: what can be read of the file later is not what the slide was judged by.
    """

    cell_id: str
    path: str
    size_bytes: int
    sha256: str | None
    preclass: str | None
    unread: str | None = None


def cells_of_slide(
    folder: Path, listing: SlideListing, metadata: SlideMetadata, *, hash_files: bool
) -> tuple[CellFile, ...]:
    """Return the cell images in order of name, empty files among them; with `hash_files` each is read for its digest.

    Raises OSError when the folder cannot be opened.
    """
    promised = promised_of_images(listing, metadata)
    cells: list[tuple[SlideFile, str | None, str | None, str | None]] = []
    with open_folder(folder) as folder_fd:
        for image in sorted((*listing.images, *_empty_cells(listing, metadata)), key=lambda image: image.path):
            says = promised.get(image.path)
            # The metadata may take a cell away but makes none: images of other kinds are not in the daemon's copy.
            if image.kind != CELL or (says and says.kind not in (None, CELL)):
                continue
            digest, unread = says.sha256 if says else None, None
            if digest is None and hash_files:
                digest, unread = _digest(folder_fd, image.path)
            cells.append((image, digest, (says.preclass if says else None) or preclass_of(image.path), unread))
    ids = unique_ids(
        [image.path for image, *_ in cells], yielding={n for n, (image, *_) in enumerate(cells) if not image.size_bytes}
    )
    return tuple(
        CellFile(cell_id, image.path, image.size_bytes, digest, preclass, unread)
        for cell_id, (image, digest, preclass, unread) in zip(ids, cells, strict=True)
    )


def _empty_cells(listing: SlideListing, metadata: SlideMetadata) -> list[SlideFile]:
    """Return the image files without a byte that would be cells: by their names, and not listed as of another kind."""
    others = {file.name for file in metadata.files if file.kind not in (None, CELL)}
    return [SlideFile(path, kind_of(path), 0, 0) for path in listing.empty if path not in others]


def unique_ids(paths: Sequence[str], *, yielding: Collection[int] = ()) -> list[str]:
    """Return an id for each path: the file name without its ending, the whole path where that is not its own.

    The paths at the places `yielding` (files without a byte) leave a name that they share to the others.
    Where two paths look alike once control characters are escaped, their backslashes are escaped, too.
    """
    forms = [
        (printable(PurePosixPath(path).stem), printable(path), printable(path.replace("\\", "\\\\"))) for path in paths
    ]
    chosen = [0] * len(paths)
    while True:
        ids = [form[place] for form, place in zip(forms, chosen, strict=True)]
        times = Counter(ids)
        # Of two equal ids one at least has a form left: the last ones are all unlike. So this ends.
        shared = [n for n, cell_id in enumerate(ids) if times[cell_id] > 1 and chosen[n] < len(forms[n]) - 1]
        if not shared:
            return ids
        for n in [n for n in shared if n in yielding] or shared:
            chosen[n] += 1


def _digest(folder_fd: int, path: str) -> tuple[str | None, str | None]:
    """Return the SHA-256 of one image, or why it cannot be read, which `load_cells` then reports for this cell."""
    try:
        return hashlib.sha256(read_file_below(folder_fd, path, bytes_max=HASHED_BYTES_MAX)).hexdigest(), None
    except OSError as error:
        return None, error.strerror or str(error)
    except EdgeError as error:
        return None, error.text
