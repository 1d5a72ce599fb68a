"""What a single value of the configuration may be: absolute paths, plain file names, seconds, time zones, patterns.

Each check says in one sentence what is wrong, for a person who edits the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from edge.catalogue import load_catalogue
from edge.writers.letters import letter_table

# A UNIX socket's address holds 108 bytes with its closing zero (unix(7)).
SOCKET_PATH_BYTES_MAX = 107
# The LIS addresses a laboratory by the first component of MSH-4, which HL7 v2.5.1 limits to 20 characters.
SITE_ID_PATTERN = r"^[A-Za-z0-9_-]{1,20}$"
SOURCE_ID_PATTERN = r"^[A-Za-z0-9_-]{1,32}$"


@dataclass(frozen=True, slots=True)
class Key:
    """What a person must know about one key: its meaning, its unit, why its default is what it is, and an example.

    `example` is the value that the generated sample file shows where the key has no default.
    """

    meaning: str
    unit: str
    because: str
    example: object = None


class Section(BaseModel):
    """A TOML table: frozen, no unknown keys, no silent conversion ("30" is not 30), no NaN or infinity."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True, populate_by_name=True
    )


def absolute_path_from_text(value: object) -> Path:
    """Return an absolute path without `.` and `..`; raise ValueError for anything else. Touches no file system."""
    if not isinstance(value, str | Path):
        raise ValueError("must be a path in quotes")
    # POSIX leaves the meaning of two leading slashes open, and pathlib keeps them: here they are one.
    text = str(value)
    path = Path("/" + text.lstrip("/") if text.startswith("/") else text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path (starting with /): a service has no folder of its own to start from")
    if ".." in path.parts:
        raise ValueError("must not contain '..'")
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return path


def socket_path_of_allowed_length(path: Path) -> Path:
    """Return the path; raise ValueError when the kernel could not bind a socket of that name."""
    if len(bytes(path)) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"must be at most {SOCKET_PATH_BYTES_MAX} bytes long, the limit of a UNIX socket")
    return path


def known_time_zone(name: str) -> str:
    """Return the name; raise ValueError when this machine's time-zone data do not know it."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is not a time zone this machine knows (example: Asia/Tokyo; package tzdata)") from error
    return name


def printable_text(text: str) -> str:
    """Return the text; raise ValueError when it holds control characters, which would break a result's segments."""
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return text


def plain_file_name(name: str) -> str:
    """Return the name; raise ValueError when it could point into another folder."""
    if not name or "/" in name or name in {".", ".."} or not name.isprintable():
        raise ValueError("must be a plain file name, without a folder")
    return name


def compiled_sample_id_pattern(pattern: str) -> str:
    """Return the pattern; raise ValueError unless it is a regular expression with the one group `sample_id`."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    if expression.groups != 1 or (expression.groupindex and "sample_id" not in expression.groupindex):
        raise ValueError("must have exactly one group, around the sample id: (?P<sample_id>[0-9]+)")
    return pattern


def compiled_control_pattern(pattern: str) -> str:
    """Return the pattern; raise ValueError unless it is a regular expression that does not match an empty text."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    if expression.fullmatch("") is not None:
        raise ValueError("must not match an empty text: name the ids of the control material, such as QC[0-9]+")
    return pattern


def reference_entry(text: str) -> str:
    """Return the entry; raise ValueError unless it is a type code with a lower and a higher limit of at least 0."""
    found = re.fullmatch(r"[A-Z]{2,4} ([0-9]+(?:\.[0-9]+)?) ([0-9]+(?:\.[0-9]+)?)", text)
    if found is None or float(found[1]) >= float(found[2]):
        raise ValueError('must be a type code and two rising limits, such as "SNE 38 58.5"')
    codes = load_catalogue().type_codes
    if text.split()[0] not in codes:
        raise ValueError(f"must begin with one of the cell types {', '.join(codes)}")
    return text


def entries_of_different_types(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Return the entries; raise ValueError when a cell type has two."""
    codes = [entry.split()[0] for entry in entries]
    twice = next((code for code in codes if codes.count(code) > 1), None)
    if twice is not None:
        raise ValueError(f"must give {twice} one interval, not two")
    return entries


def replaced_status_letters(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words; raise ValueError when one is no replacement of a status letter."""
    letter_table(words)
    return words


def tuple_from_list(value: object) -> object:
    """TOML knows lists only; a frozen configuration holds tuples."""
    return tuple(value) if isinstance(value, list) else value


def float_from_whole(value: object) -> object:
    """Let a person write 30 where 30.0 is meant; a truth value stays what it is and is refused."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


AbsolutePath = Annotated[Path, BeforeValidator(absolute_path_from_text)]
SocketPath = Annotated[AbsolutePath, AfterValidator(socket_path_of_allowed_length)]
FileName = Annotated[str, AfterValidator(plain_file_name)]
Seconds = Annotated[float, BeforeValidator(float_from_whole)]
Fraction = Annotated[float, BeforeValidator(float_from_whole)]
Names = Annotated[tuple[str, ...], BeforeValidator(tuple_from_list)]
FileNames = Annotated[tuple[FileName, ...], BeforeValidator(tuple_from_list)]
ReferenceEntries = Annotated[
    tuple[Annotated[str, AfterValidator(reference_entry)], ...],
    BeforeValidator(tuple_from_list),
    AfterValidator(entries_of_different_types),
]
TimeZoneName = Annotated[str, AfterValidator(known_time_zone)]
StatusLetters = Annotated[tuple[str, ...], BeforeValidator(tuple_from_list), AfterValidator(replaced_status_letters)]
SampleIdPattern = Annotated[str, Field(max_length=200), AfterValidator(compiled_sample_id_pattern)]
ControlPattern = Annotated[str, Field(max_length=200), AfterValidator(compiled_control_pattern)]
