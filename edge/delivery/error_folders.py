"""Where readers put what they could not read: folders for errors in or beside the drop folder (`ack = "file-gone"`).

    drop/hl7/ERROR/20261123_A0042_S1_r1_20261123T083100Z_9f3c21aa.hl7       an own folder, a time put before the name
    drop/Rejected/A0042_S1_r1_20261123T083100Z_9f3c21aa_20261201.hl7.err    one for several outputs, words put behind it

Such a file is found by the end of its stem, which no other record's file has (edge/delivery/names.py). All folders are
listed once, after the looks at the drop folder: what was seen to be gone must lie in one of them by then. A folder
beside the drop folder that we may not read is another application's, and is passed over.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

from edge.delivery.durable import explained
from edge.errors import EdgeError

log = logging.getLogger("mds_edge.daemon")
NAMES_MAX = 100_000
"""So many names of one folder are looked at: a folder that nobody clears must hold up neither deliverer nor share."""
_ERROR_FOLDERS = ("error", "errors", "rejected", "failed", "err", "reject", "rejects", "fail", "failure", "failures",
                  "invalid", "bad", "refused")  # fmt: skip
_EXTENSIONS = (".hl7", ".astm", ".json", ".csv", ".html")
"""Of everything that is published. Outputs may share an error folder, and their files of one record share the stem."""
# A repeated delivery (`_d2` to `_d999`) is a file of its own; any other ending is the reader's.
_STEM = re.compile(
    r"(?P<ids>.+)_(?P<end>r[0-9]{1,4}_[0-9]{8}T[0-9]{6}Z_[0-9a-f]{8}"
    r"(?:_d(?:[2-9]|[1-9][0-9]{1,2})(?![0-9A-Za-z]))?)(?P<rest>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class ErrorFiles:
    """The files in the error folders by the end of their stem: ids before it, what follows it, the folder's name.

    overfull: a folder that holds more than NAMES_MAX names, so that not all of it was seen; "" when there is none.
    """

    found: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    overfull: str = ""

    def folder_of(self, final_name: str) -> str:
        """Return the name of the error folder that a published file lies in under its name or a longer one; else ""."""
        own_ids, end, extension = _parts(final_name)
        for ids, rest, folder in self.found.get(end, ()):
            if _ends_in(ids, own_ids) and _is_of_kind(rest, extension):
                return folder
        return ""


def _parts(name: str) -> tuple[str, str, str]:
    """Return the ids, the end of the stem and what follows; a name of another shape is an end, found unchanged only."""
    match = _STEM.fullmatch(name)
    return (match["ids"], match["end"], match["rest"]) if match else ("", name, "")


def _ends_in(text: str, ids: str) -> bool:
    before = text.removesuffix(ids)
    return before == "" or (before != text and not before[-1].isalnum())


def _is_of_kind(rest: str, extension: str) -> bool:
    """Tell whether a name that goes on so may be of a file of this extension; one without any may be of each."""
    endings = {ending for ending in _EXTENSIONS if re.search(rf"{re.escape(ending)}(?![a-z0-9])", rest.lower())}
    return extension in endings or not endings


def list_error_files(drop_folder: Path) -> ErrorFiles:
    """Return what lies in the error folders in and beside the drop folder.

    Raises:
        EdgeError: MDSE-DELIVERY-001 the drop folder or the one above it cannot be read now, -012 an error folder.
    """
    found: dict[str, list[tuple[str, str, str]]] = {}
    overfull = ""
    for parent in (drop_folder, drop_folder.parent):
        folders, is_whole = _error_folders_in(parent)
        overfull = overfull if is_whole else parent.name
        for folder in folders:
            names, is_whole = _files_in(folder, is_beside=parent != drop_folder)
            overfull = overfull if is_whole else folder.name
            for ids, end, rest in map(_parts, names):
                found.setdefault(end, []).append((ids, rest, folder.name))
    return ErrorFiles(found, overfull)


def _error_folders_in(parent: Path) -> tuple[list[Path], bool]:
    """Return what is named as error folders are in one folder, and whether all of its names were looked at."""
    with explained(parent):
        try:
            with os.scandir(parent) as entries:
                names = [entry.name for entry in islice(entries, NAMES_MAX) if entry.name.lower() in _ERROR_FOLDERS]
                is_whole = next(entries, None) is None
        except PermissionError:
            # A folder above the drop may be open to be passed and not to be read: its folders are then tried by name.
            names = [spelling for word in _ERROR_FOLDERS for spelling in (word, word.capitalize(), word.upper())]
            is_whole = True
        return [parent / name for name in sorted(names)], is_whole


def _files_in(folder: Path, *, is_beside: bool) -> tuple[list[str], bool]:
    """Return the names of the files in one folder, and whether all of its names were looked at; none of no folder.

    Raises EdgeError MDSE-DELIVERY-012 when it cannot be read now. One beside the drop folder that is closed to us holds
    none of ours.
    """
    try:
        if not folder.is_dir():
            return [], True
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, NAMES_MAX) if entry.is_file()]
            return names, next(entries, None) is None
    except OSError as error:
        if is_beside and isinstance(error, PermissionError):
            _tell_closed(folder)
            return [], True
        raise EdgeError("MDSE-DELIVERY-012", where=str(folder), reason=error.strerror or str(error)) from error


@cache
def _tell_closed(folder: Path) -> None:
    """Log once for each folder and process: every look finds it closed again."""
    log.warning("%s may not be read by this user: no refusal is looked for there", folder)
