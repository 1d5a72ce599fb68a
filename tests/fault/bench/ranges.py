"""Run numbers as a short text: `0-3,7` are the runs 0, 1, 2, 3 and 7."""

from __future__ import annotations

from collections.abc import Iterable


def text_from_numbers(numbers: Iterable[int]) -> str:
    """Return the numbers in ascending order, neighbours as `first-last`; "" for none."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def numbers_from_text(text: str) -> frozenset[int]:
    """Return the numbers of a text as `text_from_numbers` writes it; raises ValueError for any other text."""
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    if text_from_numbers(numbers) != text:
        raise ValueError(f"{text!r} does not name runs as this bench writes them")
    return frozenset(numbers)
