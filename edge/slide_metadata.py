"""What an export says about its slide: identity, origin, requested targets and the files it promises.

Ids are opaque: outer blanks are trimmed (Sysmex pads them on the left) and nothing else changes, so leading zeros stay.
A number where an id should be is refused, because a number has already lost its zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.errors import EdgeError
from edge.slide_files import IMAGE_SUFFIXES, KINDS
from edge.slide_metadata_formats import mapping_from_metadata

ID_LENGTH_MAX = 64
TEXT_LENGTH_MAX = 80
COUNT_MAX = 100_000
# A clock that was never set says 1 or 1970 or 9999; no zone of the earth is further from UTC (FHIR takes no other).
YEAR_MIN, YEAR_MAX = 1990, 2100
OFFSET_MAX = timedelta(hours=14)
# As people write it, and as HL7 (tables 0027, 0485) and LIS2-A2 (field O.6) do: stat, as soon as possible.
STAT_WORDS = frozenset({"STAT", "URGENT", "ASAP", "S", "A"})
_TARGET = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PromisedFile:
    """One file that the metadata lists: its path below the folder, and what is known of it."""

    name: str
    kind: str | None
    size_bytes: int | None
    sha256: str | None
    preclass: str | None


@dataclass(frozen=True, slots=True)
class SlideMetadata:
    """The checked fields of a metadata file; what it does not say is None or empty.

    `acquired_at` is ISO 8601 with an offset of whole minutes, in a year that can be; any other time is kept in
    `time_refused` and not used. `expected_wbc` is the number of cell images promised.
    """

    sample_id: str | None = None
    order_id: str | None = None
    patient_id: str | None = None
    slide_no: int | None = None
    acquired_at: str | None = None
    time_refused: str | None = None
    analyzer_model: str | None = None
    analyzer_serial: str | None = None
    analyzer_software: str | None = None
    targets: tuple[str, ...] = ()
    expected_wbc: int | None = None
    files: tuple[PromisedFile, ...] = ()
    is_stat: bool = False


def metadata_from_bytes(name: str, data: bytes, *, where: str) -> SlideMetadata:
    """Parse and check a metadata file; `name` tells the format, `where` the place in errors.

    Raises EdgeError MDSE-SLIDE-004 when it cannot be read as JSON, XML or CSV, MDSE-SLIDE-005 when a field's value
    cannot be used. Unknown fields are left alone: an export may say more than we ask.
    """
    try:
        fields = mapping_from_metadata(name, data)
    except ValueError as error:
        raise EdgeError("MDSE-SLIDE-004", where=where, reason=str(error)) from error
    analyzer = _mapping(fields, "analyzer", where)
    acquired_at, time_refused = _time(_text(fields, "acquired_at", where))
    return SlideMetadata(
        sample_id=_text(fields, "sample_id", where, ID_LENGTH_MAX),
        order_id=_text(fields, "order_id", where, ID_LENGTH_MAX),
        patient_id=_text(fields, "patient_id", where, ID_LENGTH_MAX),
        slide_no=_count(fields, "slide_no", where),
        acquired_at=acquired_at,
        time_refused=time_refused,
        analyzer_model=_text(analyzer, "analyzer.model", where),
        analyzer_serial=_text(analyzer, "analyzer.serial", where),
        analyzer_software=_text(analyzer, "analyzer.software", where),
        targets=_targets(fields, where),
        expected_wbc=_expected_wbc(fields, where),
        files=_files(fields, where),
        is_stat=_is_stat(fields.get("priority")),
    )


def _is_stat(priority: object) -> bool:
    """Tell whether the order is urgent. A word that is not known is no reason to stop a slide: it waits its turn."""
    return isinstance(priority, str) and priority.strip().upper() in STAT_WORDS


def opaque_id(text: str, *, field: str, where: str) -> str | None:
    """Return an id with its outer blanks trimmed, None when nothing is left.

    Raises EdgeError MDSE-SLIDE-005 for control or other unprintable characters and for more than 64 characters.
    """
    return _text({field: text}, field, where, ID_LENGTH_MAX)


def _bad(where: str, field: str, reason: str) -> EdgeError:
    return EdgeError("MDSE-SLIDE-005", where=where, field=field, reason=reason)


def _text(fields: Mapping[str, object], path: str, where: str, length_max: int = TEXT_LENGTH_MAX) -> str | None:
    """Return the text under the last part of `path` (such as `analyzer.model`), which names the field in errors."""
    value = fields.get(path.rpartition(".")[2])
    if value is None:
        return None
    if not isinstance(value, str):
        raise _bad(where, path, "must be text in quotes (a number has lost its leading zeros)")
    trimmed = value.strip(" ")
    if not trimmed.isprintable():
        raise _bad(where, path, "holds control or unprintable characters")
    if len(trimmed) > length_max:
        raise _bad(where, path, f"is longer than {length_max} characters")
    return trimmed or None


def _count(fields: Mapping[str, object], path: str, where: str, most: int = COUNT_MAX) -> int | None:
    """Return the whole number under the last part of `path`, also where XML and CSV write it as text."""
    value = fields.get(path.rpartition(".")[2])
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch(r" *[0-9]{1,12} *", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _bad(where, path, f"must be a whole number from 0 to {most}")
    return value


def _time(text: str | None) -> tuple[str | None, str | None]:
    """Return (ISO 8601 with offset, None), or (None, what was refused): a time zone is never guessed.

    A time that no analyzer can have written is refused, too: no message could carry it.
    """
    if text is None:
        return None, None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None, text
    offset = moment.utcoffset()
    if offset is None or offset % timedelta(minutes=1) or abs(offset) > OFFSET_MAX:
        return None, text
    return (moment.isoformat(), None) if YEAR_MIN <= moment.year <= YEAR_MAX else (None, text)


def _mapping(fields: Mapping[str, object], name: str, where: str) -> Mapping[str, object]:
    value = fields.get(name)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise _bad(where, name, "must hold fields of its own")
    return value


def _list(fields: Mapping[str, object], name: str, where: str) -> list[object]:
    value = fields.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise _bad(where, name, "must be a list")
    return value


def _targets(fields: Mapping[str, object], where: str) -> tuple[str, ...]:
    targets: list[str] = []
    for value in _list(fields, "targets", where):
        if not isinstance(value, str) or not _TARGET.fullmatch(value.strip(" ")):
            raise _bad(where, "targets", "must be names of letters, digits, '.', '_' and '-'")
        targets.append(value.strip(" "))
    return tuple(dict.fromkeys(targets))


def _expected_wbc(fields: Mapping[str, object], where: str) -> int | None:
    """Return the number of cells that is promised. Other fields of `expected` are not ours to judge."""
    expected = _mapping(fields, "expected", where)
    names = [name for name in expected if name.lower() == "wbc"]
    if len(names) > 1:
        raise _bad(where, "expected.wbc", "stands twice")
    return _count(expected, f"expected.{names[0]}", where) if names else None


def _files(fields: Mapping[str, object], where: str) -> tuple[PromisedFile, ...]:
    files: list[PromisedFile] = []
    for row in _list(fields, "files", where):
        if not isinstance(row, dict):
            raise _bad(where, "files", "must be a list of files with their fields")
        name = row.get("name")
        if not isinstance(name, str) or not name:
            raise _bad(where, "files", "holds a file without a name")
        digest = _text(row, "files.sha256", where)
        if digest is not None and not _SHA256.fullmatch(digest.lower()):
            raise _bad(where, "files.sha256", "is not a SHA-256 in hexadecimal")
        files.append(
            PromisedFile(
                name=name.replace("\\", "/"),  # scripts on Windows write wbc\0001.jpg
                kind=_kind(row, name, where),
                size_bytes=_count(row, "files.bytes", where, 1 << 40),
                sha256=digest.lower() if digest else None,
                preclass=_text(row, "files.preclass", where),
            )
        )
    if len({file.name for file in files}) != len(files):
        raise _bad(where, "files", "lists a name twice")
    return tuple(files)


def _kind(row: Mapping[str, object], name: str, where: str) -> str | None:
    """Return the kind of a listed file in lower case. An image is of a known kind: another word would take a cell away.

    What is no image, or lies in a folder that is none of the kinds, can be no cell, so that an export may list its
    other files under words of its own.
    """
    kind = (_text(row, "files.kind", where) or "").lower()
    folder, _, _ = name.replace("\\", "/").lower().rpartition("/")
    may_be_cell = name.lower().endswith(IMAGE_SUFFIXES) and folder.partition("/")[0] in ("", ".", *KINDS)
    if kind and kind not in KINDS and may_be_cell:
        known = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
        raise _bad(where, "files.kind", f"of an image must be {known} (a cell's class goes into files.preclass)")
    return kind or None
