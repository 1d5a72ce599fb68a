"""The configuration of a site: read one TOML file, refuse it with every fault named, or return it frozen.

    load_config(path)         the daemon's door: a Config, or one EdgeError that lists every fault with key and line
    config_from_text(text)    the same without a file: for tests and for people who check a draft

Reading compares names only; it touches no folder that the file names, because a share may hang.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import os
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edge.config_folders import OutputSection, SourceSection
from edge.config_lines import Location, line_of_location, nearest_line
from edge.config_relations import dotted_from_location, problems_between_keys
from edge.config_sections import (
    AssessSection,
    BundleSection,
    Config,
    EngineSection,
    HealthSection,
    LimitsSection,
    ReferenceSection,
    RetentionSection,
    SiteSection,
)
from edge.errors import EdgeError, printable

__all__ = [
    "Config",
    "SiteSection",
    "BundleSection",
    "EngineSection",
    "SourceSection",
    "OutputSection",
    "AssessSection",
    "ReferenceSection",
    "LimitsSection",
    "RetentionSection",
    "HealthSection",
    "ConfigFault",
    "load_config",
    "config_from_text",
    "config_digest",
]

DEFAULT_CONFIG_PATH = Path("/etc/mds-edge/mds-edge.toml")
# A configuration is some hundred lines; a larger file is not one.
CONFIG_BYTES_MAX = 1_048_576


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault: the key as people read it, the line (from 1) where it or its table stands, and what is wrong."""

    key: str
    line: int | None
    text: str

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line is not None else ""
        return f"{place}{self.key}: {self.text}"


def load_config(path: Path) -> Config:
    """Read, check and return the configuration.

    The file is opened once, never through a link, and must belong to root or to us and not be writable by everyone.

    Raises:
        EdgeError: MDSE-CONFIG-001 unreadable, -002 not TOML, -003 with every fault of the content,
            -004 writable by others or foreign, -005 a link or not a plain file.
    """
    return config_from_text(_read_guarded(path), where=str(path))


def config_from_text(text: str, *, where: str = "configuration") -> Config:
    """Check the text of a configuration file and return it as a Config. Raises as `load_config` (-002, -003)."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EdgeError("MDSE-CONFIG-002", where=where, reason=str(error)) from error
    lines = line_of_location(text)
    config, details = _validate(document)
    faults = [_fault_from_details(detail, lines) for detail in details]
    if config is None:
        # Relations can only be compared in a whole configuration: leave out what is faulty and see whether one remains.
        config = _validate(_without(document, [detail["loc"] for detail in details]))[0]
    for location, reason in problems_between_keys(config) if config is not None else ():
        faults.append(ConfigFault(dotted_from_location(location), nearest_line(lines, location), reason))
    if faults or config is None:
        raise _refusal(faults, where)
    return config


def config_digest(config: Config) -> str:
    """Return the SHA-256 (hex) of the effective values, defaults included: equal digests mean equal behaviour."""
    return hashlib.sha256(config.model_dump_json(by_alias=True).encode()).hexdigest()


def _validate(document: dict[str, Any]) -> tuple[Config | None, list[ErrorDetails]]:
    try:
        return Config.model_validate(document, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _without(document: dict[str, Any], locations: Sequence[Location]) -> dict[str, Any]:
    """Return a copy of the document without the named keys; an entry of a list goes with the key that holds it."""
    kept = copy.deepcopy(document)
    for location in locations:
        listed = location[0] in {"source", "output"} and len(location) > 2
        place: Any = kept
        for part in location[: 2 if listed else 1 if len(location) > 1 else 0]:
            place = place[part]
        name = location[2 if listed else 1 if len(location) > 1 else 0]
        if isinstance(place, dict):
            place.pop(name, None)
    return kept


def _refusal(faults: Sequence[ConfigFault], where: str) -> EdgeError:
    ordered = sorted(faults, key=lambda fault: (fault.line is None, fault.line or 0))
    listed = " | ".join(str(fault) for fault in ordered)
    count = "1 fault" if len(ordered) == 1 else f"{len(ordered)} faults"
    return EdgeError("MDSE-CONFIG-003", where=where, count=count, faults=listed)


def _read_guarded(path: Path) -> str:
    """Return the text of the file: opened without following a link, checked by its descriptor, bounded in size."""
    where = str(path)
    try:
        # O_NONBLOCK: a FIFO in place of the file must not hold the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise EdgeError("MDSE-CONFIG-005", where=where) from error
        raise EdgeError("MDSE-CONFIG-001", where=where, reason=error.strerror or str(error)) from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise EdgeError("MDSE-CONFIG-005", where=where)
        if facts.st_mode & stat.S_IWOTH or facts.st_uid not in {0, os.geteuid()}:
            raise EdgeError("MDSE-CONFIG-004", where=where, mode=f"{facts.st_mode & 0o7777:04o}", owner=facts.st_uid)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(CONFIG_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(content) > CONFIG_BYTES_MAX:
        raise EdgeError("MDSE-CONFIG-001", where=where, reason=f"it is larger than {CONFIG_BYTES_MAX} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EdgeError("MDSE-CONFIG-002", where=where, reason=f"not UTF-8 at byte {error.start}") from error


def _fault_from_details(details: ErrorDetails, lines: dict[Location, int]) -> ConfigFault:
    location: Location = tuple(details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        text = "is not a known key" + _suggestion(location)
    elif kind == "missing":
        text = "is missing" + _meaning(location)
    elif kind == "value_error":
        text = str(details["ctx"]["error"])
    else:
        given = printable(repr(details["input"]))
        text = (
            f"{details['msg'][:1].lower()}{details['msg'][1:]}, not {given if len(given) <= 60 else given[:57] + '...'}"
        )
    return ConfigFault(printable(dotted_from_location(location)), nearest_line(lines, location), text)


def _section_of(location: Location) -> type[BaseModel] | None:
    """Return the model in which the last name of the location should be a key."""
    names = [part for part in location if isinstance(part, str)]
    if len(names) == 1:
        return Config
    sections: dict[str, type[BaseModel]] = {
        "site": SiteSection,
        "bundle": BundleSection,
        "engine": EngineSection,
        "source": SourceSection,
        "output": OutputSection,
        "assess": AssessSection,
        "reference": ReferenceSection,
        "limits": LimitsSection,
        "retention": RetentionSection,
        "health": HealthSection,
    }
    return sections.get(names[0]) if len(names) == 2 else None


def _suggestion(location: Location) -> str:
    section = _section_of(location)
    if section is None:
        return ""
    known = [field.alias or name for name, field in section.model_fields.items()]
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(known)}"


def _meaning(location: Location) -> str:
    section = _section_of(location)
    field = section.model_fields.get(str(location[-1])) if section is not None else None
    told = [entry.meaning for entry in field.metadata if hasattr(entry, "meaning")] if field is not None else []
    return f" ({told[0].rstrip('.')})" if told else ""
