"""Writes what people read about the configuration from the code that reads it: nothing can drift apart.

python -m edge.config_reference            writes docs/config.md and systemd/mds-edge.toml of a checkout
python -m edge.config_reference --check    says whether the committed files are these (exit 1 when not)
"""

from __future__ import annotations

import argparse
import json
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import annotated_types
from pydantic.fields import FieldInfo

from edge.config import DEFAULT_CONFIG_PATH
from edge.config_sections import Config
from edge.config_values import Key, Section

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENT = Path("docs/config.md")
SAMPLE = Path("systemd/mds-edge.toml")
_COMMENT_COLUMNS = 110

DOCUMENT_HEAD = f"""\
# Configuration

<!-- Generated from edge/config_sections.py by `python -m edge.config_reference`. Change the code, not this page. -->

The daemon reads one TOML file, `{DEFAULT_CONFIG_PATH}` unless `--config` names another. `systemd/mds-edge.toml` is a
sample that shows every key.

- The file must belong to root or to the service's user, must not be writable by everyone and must not be a link.
- An unknown key, a value out of its range or a contradiction is refused; all faults are told at once, with their lines.
- Only strings are quoted: `"30"` is not `30`. Times are in seconds, sizes in bytes.
- Paths are absolute. Export, drop, acknowledgement, bundle and state folders must be apart: none in another, not
  through links or mounts either. The state folder may hold the bundle. The state folder lies on a local disk.
- A changed file is used from the next start or `systemctl reload mds-edge` on. `edge-daemon --check-config`, run as the
  service's user, tells beforehand what is wrong.
"""
SAMPLE_HEAD = f"""\
# mds-edge: sample configuration. Copy to {DEFAULT_CONFIG_PATH}, then: chown root:mds-edge FILE; chmod 0640 FILE
# Values that only the site knows are written out; a key behind "#" shows its default, or an example where it has none.
# Check it with: sudo -u mds-edge edge-daemon --check-config --config FILE
# Generated from edge/config_sections.py by `python -m edge.config_reference`. Every key is explained in docs/config.md.
"""


def config_document() -> str:
    """Return the text of `docs/config.md`."""
    lines = [DOCUMENT_HEAD]
    for name, section, listed in _sections():
        header = f"[[{name}]]" if listed else f"[{name}]"
        lines.append(f"## `{header}`\n\n{_first_paragraph(section)}\n")
        if listed:
            lines.append(f"One table for each; up to {_highest_count(name)}.\n")
        lines.append("| key | meaning | value | default | why |\n|---|---|---|---|---|")
        lines += [_document_row(key, field) for key, field in section.model_fields.items()]
        lines.append("")
    return "\n".join(lines)


def sample_configuration() -> str:
    """Return the text of `systemd/mds-edge.toml`: valid as it stands, each key with its meaning."""
    lines = [SAMPLE_HEAD]
    for name, section, listed in _sections():
        lines.append(f"# {_first_paragraph(section)}")
        lines.append(f"[[{name}]]" if listed else f"[{name}]")
        for key, field in section.model_fields.items():
            lines += _sample_lines(key, field)
        lines.append("")
    return "\n".join(lines)


def _sections() -> Iterator[tuple[str, type[Section], bool]]:
    for name, field in Config.model_fields.items():
        annotation: Any = field.annotation
        listed = typing.get_origin(annotation) is tuple
        yield field.alias or name, typing.get_args(annotation)[0] if listed else annotation, listed


def _first_paragraph(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split("\n\n")[0].split())


def _highest_count(name: str) -> int:
    field = next(field for field in Config.model_fields.values() if field.alias == name)
    return next(entry.max_length for entry in field.metadata if isinstance(entry, annotated_types.MaxLen))


def _key_of(field: FieldInfo) -> Key:
    return next(entry for entry in field.metadata if isinstance(entry, Key))


def _document_row(name: str, field: FieldInfo) -> str:
    key = _key_of(field)
    if field.is_required():
        default = "**required**"
    else:
        default = "none" if field.default is None else f"`{_toml(field.default)}`"
    cells = (f"`{name}`", key.meaning, _allowed(field, key.unit), default, key.because)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _allowed(field: FieldInfo, unit: str) -> str:
    """Return what the key takes: its choices, its range with the unit, or its kind."""
    kind = _kind(field.annotation)
    low, high, length = _limits(field)
    words = kind
    if low is not None and high is not None:
        words = f"{kind}, {_number(low)} to {_number(high)}"
    elif length is not None:
        words = f"{kind}, at most {length} {'entries' if kind.startswith('list') else 'characters'}"
    return f"{words} {unit}".strip() if unit not in {"", "0-1"} else words


def _kind(annotation: Any) -> str:
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return " or ".join(f'`"{choice}"`' for choice in arguments)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin is tuple:
        return "list of strings"
    if type(None) in arguments:
        return _kind(next(argument for argument in arguments if argument is not type(None)))
    return {bool: "`true` or `false`", int: "whole number", float: "number", Path: "path", str: "string"}[annotation]


def _limits(field: FieldInfo) -> tuple[float | None, float | None, int | None]:
    low = high = length = None
    for entry in field.metadata:
        if isinstance(entry, annotated_types.Ge):
            low = typing.cast(float, entry.ge)
        if isinstance(entry, annotated_types.Le):
            high = typing.cast(float, entry.le)
        if isinstance(entry, annotated_types.MaxLen):
            length = entry.max_length
    return low, high, length


def _number(value: float) -> str:
    return f"{value:,}".replace(",", " ") if value >= 10_000 else f"{value:g}"


def _sample_lines(name: str, field: FieldInfo) -> Iterator[str]:
    key = _key_of(field)
    unit = f" [{key.unit}]" if key.unit else ""
    yield from _wrapped(f"{key.meaning}{unit}")
    if field.is_required():
        yield f"{name} = {_toml(key.example)}"
    else:
        value = key.example if field.default is None else field.default
        yield f"# {name} = {_toml(value)}"


def _wrapped(text: str) -> Iterator[str]:
    line = "#"
    for word in text.split():
        if len(line) + 1 + len(word) > _COMMENT_COLUMNS:
            yield line
            line = "#"
        line += f" {word}"
    yield line


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    if isinstance(value, str | Path):
        # A JSON string is a TOML basic string.
        return json.dumps(str(value), ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Write both files below the checkout, or compare them with `--check`. Returns the exit status."""
    parser = argparse.ArgumentParser("python -m edge.config_reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a committed file differs")
    arguments = parser.parse_args(argv)
    stale = []
    for path, text in ((REPOSITORY / DOCUMENT, config_document()), (REPOSITORY / SAMPLE, sample_configuration())):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.relative_to(REPOSITORY).as_posix())
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    verb = "differs from the code" if arguments.check else "written"
    for name in stale:
        sys.stdout.write(f"{name}: {verb}\n")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
