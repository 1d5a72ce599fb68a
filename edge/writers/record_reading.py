"""Read values out of a record, saying exactly where one is missing or of the wrong kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from edge.errors import EdgeError

Value = TypeVar("Value")


def record_fault(reason: str) -> EdgeError:
    """Return the error for a record that cannot be written out."""
    return EdgeError("MDSE-WRITER-001", where="record", reason=reason)


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the record and its path, for example `assessments[0]`."""

    values: Mapping[str, object]
    path: str = ""

    def text(self, key: str) -> str:
        """Return a string. Lone surrogates are refused: no encoding could carry them."""
        value = self._value(key, str, "a text")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise record_fault(f"{self._at(key)} holds half a character") from error
        return value

    def integer(self, key: str) -> int:
        """Return a count: an integer of at least 0."""
        value = self._value(key, int, "a count")
        if value < 0:
            raise record_fault(f"{self._at(key)} is negative")
        return value

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise record_fault(f"{self._at(key)} is not a finite number")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return a boolean."""
        return self._value(key, bool, "true or false")

    def one_of(self, key: str, allowed: str) -> str:
        """Return a string that is one of the space-separated `allowed` words."""
        value = self.text(key)
        if value not in allowed.split():
            raise record_fault(f"{self._at(key)} is {value!r}, not one of {allowed}")
        return value

    def optional(self, key: str, read: Callable[[str], Value]) -> Value | None:
        """Return None where the record says null, else what `read` returns. A missing key is a fault."""
        if key not in self.values:
            raise record_fault(f"{self._at(key)} is missing")
        return None if self.values[key] is None else read(key)

    def interval(self, key: str) -> tuple[float, float]:
        """Return the two ends of an interval."""
        ends = self._value(key, list, "a list")
        if len(ends) != 2:
            raise record_fault(f"{self._at(key)} does not have two ends")
        pair = Node({"0": ends[0], "1": ends[1]}, self._at(key))
        return pair.number("0"), pair.number("1")

    def node(self, key: str) -> Node:
        """Return the object under `key`."""
        return Node(self._value(key, dict, "an object"), self._at(key))

    def nodes(self, key: str) -> Iterator[Node]:
        """Yield the objects of the list under `key`."""
        for index, value in enumerate(self._value(key, list, "a list")):
            place = f"{self._at(key)}[{index}]"
            if not isinstance(value, dict):
                raise record_fault(f"{place} is not an object")
            yield Node(value, place)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the strings of the list under `key`."""
        rows = self._value(key, list, "a list")
        return tuple(Node({"item": row}, f"{self._at(key)}[{index}]").text("item") for index, row in enumerate(rows))

    def _value(self, key: str, kind: type[Value], words: str) -> Value:
        value = self.values.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise record_fault(f"{self._at(key)} is not {words}")
        return value

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key
