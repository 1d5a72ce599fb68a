"""Where in a TOML file a key was written: the parser of the standard library does not say.

A reader of lines, not a second parser: it runs only on text that `tomllib` has accepted, and only to tell a person
where to look. What it cannot find has no line number; nothing else depends on it.
"""

from __future__ import annotations

import re

Location = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.\-\"' ]+?)\s*=(.*)$")
_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')
_TRIPLES = ('"""', "'''")


def _plain(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


def line_of_location(text: str) -> dict[Location, int]:
    """Return the line number (from 1) of every table and key, by its path: `("source", 0, "quiet_s")`.

    Array tables carry their index, counted from 0. Inner lines of multi-line strings and arrays are passed over.
    """
    found: dict[Location, int] = {}
    count: dict[tuple[str, ...], int] = {}
    table: Location = ()
    open_triple = ""
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if open_triple:
            open_triple = "" if open_triple in line else open_triple
            continue
        if depth > 0:
            depth += _bracket_balance(line)
            continue
        if header := _HEADER.match(line):
            names = _plain(header[2])
            if header[1] == "[[":
                index = count.get(names, -1) + 1
                count[names] = index
                table = (*names, index)
                found.setdefault(names, number)
            else:
                table = names
            found[table] = number
        elif key := _KEY.match(line):
            found[(*table, *_plain(key[1]))] = number
            open_triple = next((mark for mark in _TRIPLES if key[2].count(mark) % 2 == 1), "")
            depth = 0 if open_triple else _bracket_balance(key[2])
    return found


def _bracket_balance(fragment: str) -> int:
    """Return how many more `[` and `{` than `]` and `}` a line opens, strings and comments left out."""
    bare = _STRINGS.sub("", fragment).split("#", 1)[0]
    return sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}")


def nearest_line(lines: dict[Location, int], location: Location) -> int | None:
    """Return the line of the location, or of the nearest table around it (a missing key has no line of its own)."""
    for end in range(len(location), 0, -1):
        if location[:end] in lines:
            return lines[location[:end]]
    return None
