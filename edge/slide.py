"""One slide as the analyzer exported it: who it belongs to, which cells it holds, and what is doubtful about it.

The folder contract is docs/slide-folder.md. Whom a slide belongs to is never guessed: no sample id, or two that
contradict each other, and the slide is refused with its own code, so that the daemon can hold it.
"""

from __future__ import annotations

import errno
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.errors import EdgeError, printable
from edge.slide_cells import CellFile, cells_of_slide
from edge.slide_files import SlideListing, list_slide_files, list_slide_folder, open_folder, read_file_below
from edge.slide_metadata import SlideMetadata, metadata_from_bytes, opaque_id
from edge.slide_metadata_formats import METADATA_BYTES_MAX
from edge.slide_promises import cells_left_out, kind_contradicted, missing_file

__all__ = [
    "META_INCOMPLETE",
    "Analyzer",
    "CellFile",
    "Slide",
    "SlideWarning",
    "list_slide_files",
    "read_slide",
    "read_slide_metadata",
    "require_unlike_images",
]

# What opening says of a link (O_NOFOLLOW), a socket, or a folder on the way that became something else.
NOT_A_FILE = (errno.ELOOP, errno.ENXIO, errno.ENOTDIR)
# What the metadata files of one slide must agree on, and how an error calls it.
IDENTITY_FIELDS = {
    "sample_id": "samples", "patient_id": "patients", "order_id": "orders", "slide_no": "slide numbers"
}  # fmt: skip
META_INCOMPLETE = "META-INCOMPLETE"
"""The code of the warning that the metadata promises more than the folder holds: the daemon waits while it stands."""


@dataclass(frozen=True, slots=True)
class Analyzer:
    """The instrument that made the slide's images."""

    model: str | None
    serial: str | None
    software: str | None


@dataclass(frozen=True, slots=True)
class SlideWarning:
    """Something doubtful about a slide that does not stop it: a stable code and a sentence."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Slide:
    """One slide: identity, origin, requested targets and its cell images in order of name, empty files among them.

    `slide_key` is the folder's name with control characters and undecodable bytes escaped. `expected_wbc` is the
    number of cell images that the metadata promises. `is_stat`: the metadata calls the order urgent.
    """

    slide_key: str
    folder: Path
    sample_id: str | None
    order_id: str | None
    slide_no: int | None
    acquired_at: str | None
    analyzer: Analyzer
    targets: tuple[str, ...]
    patient_id: str | None
    cell_files: tuple[CellFile, ...]
    expected_wbc: int | None
    warnings: tuple[SlideWarning, ...]
    is_stat: bool = False


def read_slide(
    folder: Path,
    *,
    slide_key: str | None = None,
    sample_id_pattern: str | None = None,
    hash_files: bool = True,
    is_copy: bool = False,
) -> Slide:
    """Read a slide folder: its list of cells and its metadata; the cells' bytes only to hash them.

    `slide_key` stands in for the folder's name where the folder is a copy. `sample_id_pattern` is matched against the
    whole slide key; its one group is the sample id. `hash_files=False` leaves unknown digests None, for a look at a
    share that must stay cheap. `is_copy`: the daemon's copy, which holds cells and metadata only.

    Raises EdgeError MDSE-SLIDE-001 (no sample id), -002 (contradicting ids), -003 (no cell image), -004 (metadata
    cannot be read), -005 (a field cannot be used), -007 (all that can be read are one picture), -009 (too many files),
    -010 (the folder cannot be read: try again).
    """
    key = printable(slide_key if slide_key is not None else folder.name)
    try:
        listing = list_slide_folder(folder)
        metadata = _read_metadata(folder, listing, key)
        cell_files = cells_of_slide(folder, listing, metadata, hash_files=hash_files)
    except OSError as error:
        raise EdgeError("MDSE-SLIDE-010", where=key, reason=error.strerror or str(error)) from error
    sample_id, from_name = _sample_id(metadata, key, sample_id_pattern)
    present = tuple(cell for cell in cell_files if cell.size_bytes)
    if not present:
        raise EdgeError("MDSE-SLIDE-003", where=key, other=len(listing.other) + len(listing.empty) + len(listing.links))
    warnings = (
        *_metadata_warnings(listing, metadata, present, from_name=from_name, is_copy=is_copy),
        *_folder_warnings(listing),
        *_duplicate_warnings(present, key),
    )
    return Slide(
        slide_key=key,
        folder=folder,
        sample_id=sample_id,
        order_id=metadata.order_id,
        slide_no=metadata.slide_no,
        acquired_at=metadata.acquired_at,
        analyzer=Analyzer(metadata.analyzer_model, metadata.analyzer_serial, metadata.analyzer_software),
        targets=metadata.targets,
        patient_id=metadata.patient_id,
        cell_files=cell_files,
        expected_wbc=metadata.expected_wbc,
        warnings=warnings,
        is_stat=metadata.is_stat,
    )


def read_slide_metadata(folder: Path, *, slide_key: str) -> SlideMetadata:
    """Return what a slide folder's metadata says, empty where there is none; no image is opened.

    Raises EdgeError MDSE-SLIDE-002, -004, -005, -009 as `read_slide`, and OSError when the folder cannot be read.
    """
    return _read_metadata(folder, list_slide_folder(folder), printable(slide_key))


def _read_metadata(folder: Path, listing: SlideListing, key: str) -> SlideMetadata:
    """Return the first metadata file's content, with what it does not say of the identity taken from further ones.

    Sample, patient, order and slide number belong together: none is left behind. A further file may not name others,
    and adds nothing else.
    """
    found: list[SlideMetadata] = []
    names = ((listing.metadata,) if listing.metadata else ()) + listing.further_metadata
    _require_one_spelling(names, key)
    with open_folder(folder) as folder_fd:
        for name in names:
            where = f"{key}/{name}"
            try:
                data = read_file_below(folder_fd, name, bytes_max=METADATA_BYTES_MAX)
            except EdgeError as error:
                raise EdgeError("MDSE-SLIDE-004", where=where, reason=error.text) from error
            except OSError as error:
                if error.errno not in NOT_A_FILE:
                    raise
                raise EdgeError("MDSE-SLIDE-004", where=where, reason="it is a link or a special file") from error
            found.append(metadata_from_bytes(name, data, where=where))
    if not found:
        return SlideMetadata()
    identity: dict[str, Any] = {}
    for field, differing in IDENTITY_FIELDS.items():
        said = [value for metadata in found if (value := getattr(metadata, field)) is not None]
        if len(set(said)) > 1:
            raise EdgeError(
                "MDSE-SLIDE-002", where=key, first="one metadata file", second="another", differing=differing
            )
        identity[field] = said[0] if said else None
    return replace(found[0], **identity)


def _require_one_spelling(names: tuple[str, ...], key: str) -> None:
    """Raise MDSE-SLIDE-004 for `Slide.json` beside `slide.json`: which of the two is meant is never guessed."""
    for first, second in itertools.pairwise(names):
        if first.lower() == second.lower():
            raise EdgeError("MDSE-SLIDE-004", where=f"{key}/{first}", reason=f"{second} stands beside it")


def _sample_id(metadata: SlideMetadata, key: str, pattern: str | None) -> tuple[str, bool]:
    """Return the sample id, and whether it had to be taken from the folder's name."""
    match = re.fullmatch(pattern, key) if pattern else None
    named = opaque_id(match.group(1) or "", field="sample_id", where=key) if match else None
    if metadata.sample_id is None:
        if named is None:
            raise EdgeError("MDSE-SLIDE-001", where=key)
        return named, True
    if named is not None and named != metadata.sample_id:
        raise EdgeError(
            "MDSE-SLIDE-002", where=key, first="the metadata", second="the folder's name", differing="samples"
        )
    return metadata.sample_id, False


def _metadata_warnings(
    listing: SlideListing, metadata: SlideMetadata, cells: tuple[CellFile, ...], *, from_name: bool, is_copy: bool
) -> list[SlideWarning]:
    warnings: list[SlideWarning] = []
    if from_name:
        warnings.append(
            SlideWarning("META-MISSING", "The sample id was taken from the folder's name: no metadata gave it.")
        )
    if metadata.time_refused is not None:
        warnings.append(
            SlideWarning(
                "META-TIME", "The time of acquisition has no time zone, is not ISO 8601 or cannot be; it was not used."
            )
        )
    if missing := _missing(listing, metadata, cells, is_copy=is_copy):
        warnings.append(SlideWarning(META_INCOMPLETE, missing))
    if kinds := [said for say in (cells_left_out, kind_contradicted) if (said := say(listing, metadata))]:
        warnings.append(SlideWarning("META-KIND", " ".join(kinds)))
    expected = metadata.expected_wbc
    if expected is not None and len(cells) > expected:
        warnings.append(
            SlideWarning("META-COUNT", f"{len(cells)} cell images are there, {expected} were promised by the metadata.")
        )
    return warnings


def _missing(listing: SlideListing, metadata: SlideMetadata, cells: tuple[CellFile, ...], *, is_copy: bool) -> str:
    """Say what the metadata promises and the folder does not hold; "" when all is there."""
    expected = metadata.expected_wbc
    if expected is not None and len(cells) < expected:
        return f"{len(cells)} of {expected} promised cell images are there."
    return missing_file(listing, metadata, is_copy=is_copy)


def _folder_warnings(listing: SlideListing) -> list[SlideWarning]:
    left_out = (
        ("EMPTY-FILES", listing.empty, "image files hold no byte"),
        ("LINKS-IGNORED", listing.links, "links or special files were left out"),
        ("NESTED-FOLDERS", listing.nested, "folders inside the slide's folder were left out"),
    )
    return [
        SlideWarning(code, f"{len(paths)} {text} (first: {printable(paths[0])}).")
        for code, paths, text in left_out
        if paths
    ]


def require_unlike_images(cells: Sequence[CellFile], *, where: str) -> None:
    """Raise MDSE-SLIDE-007 when more than one image was read and all are one and the same (a stuck camera).

    `cells` are those that can be read. One without a known digest may be another picture.
    """
    if len(cells) > 1 and cells[0].sha256 is not None and len({cell.sha256 for cell in cells}) == 1:
        raise EdgeError("MDSE-SLIDE-007", where=where, count=len(cells))


def _duplicate_warnings(cells: tuple[CellFile, ...], key: str) -> list[SlideWarning]:
    """Warn of byte-identical images; raise MDSE-SLIDE-007 when all that could be read are one and the same."""
    require_unlike_images([cell for cell in cells if cell.unread is None], where=key)
    digests = [cell.sha256 for cell in cells if cell.sha256 is not None]
    copies = len(digests) - len(set(digests))
    if not copies:
        return []
    return [
        SlideWarning("DUPLICATE-IMAGES", f"{copies} of {len(cells)} images are byte-identical copies of another one.")
    ]
