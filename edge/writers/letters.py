"""Status letters that leave, for receivers that take fewer of them than there are.

    letter_table(["W=D", "X=C"])     from the words of the configuration; raises ValueError
    table.sent(row, status)          the value and the letter with which one observation of a record leaves

A preliminary result has no replacement: no table may turn a machine result into a final one. Where a receiver takes
neither W nor X, the value itself says so in words, because an empty one is dropped by many readers and the older value
would stay standing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# What each letter of a record may be replaced by. D (deleted) exists in HL7 only.
REPLACEMENTS: Mapping[str, str] = {"C": "F", "W": "CFXD", "X": "PFC"}
WITHDRAWN = "WITHDRAWN"
NOT_EVALUATED = "NOT EVALUATED"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The value and letter of one observation as they leave. `replaced` marks a text that stands for the value."""

    value: str | None
    letter: str
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class LetterTable:
    """Pairs of record letter and letter sent; a letter that is not named stays as it is."""

    pairs: tuple[tuple[str, str], ...] = ()

    def letter(self, status: str) -> str:
        """Return the letter under which a record of this status leaves."""
        return dict(self.pairs).get(status, status)

    def sent(self, value: str | None, status: str, *, fact: bool) -> Outgoing:
        """Return how one observation of a record with `status` leaves; a `fact` keeps its value in every status."""
        report = self.letter(status)
        if fact:
            return Outgoing(value, report)
        if value is None or status == "X":
            if self.letter("X") == "X":
                return Outgoing(None, "X")
            # One letter for the whole report: a value that is missing goes with the letter of the others.
            return Outgoing(NOT_EVALUATED, report, replaced=True)
        if status == "W" and report == "X":
            return Outgoing(None, "X")
        if status == "W" and report in "CF":
            return Outgoing(WITHDRAWN, report, replaced=True)
        return Outgoing(value, report)


def letter_table(words: Iterable[str]) -> LetterTable:
    """Return the table from words such as `W=D`. Raises ValueError for a pair that would mislead a receiver."""
    pairs: dict[str, str] = {}
    for word in words:
        own, _, sent = word.partition("=")
        if own not in REPLACEMENTS or len(sent) != 1 or sent not in REPLACEMENTS[own]:
            allowed = ", ".join(f"{letter} by {' '.join(others)}" for letter, others in REPLACEMENTS.items())
            raise ValueError(f"{word!r} is not a replacement of a status letter (it can be: {allowed})")
        if own in pairs:
            raise ValueError(f"{own} is replaced twice")
        pairs[own] = sent
    return LetterTable(tuple(pairs.items()))
