"""JSON text as one object, and nothing guessed: Python's own reader takes a key twice (the last one wins) and NaN."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def object_from_json(text: str) -> dict[str, Any]:
    """Return the object that `text` is (RFC 8259).

    Raises ValueError saying what is wrong: syntax, a field that stands twice, a number that JSON does not have, too
    much depth, or another value than an object at the top.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique_fields, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("its top level is not an object")
    return document


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"the field {name!r} stands twice")
        fields[name] = value
    return fields


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
