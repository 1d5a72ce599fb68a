"""Figures in a sentence that compares them: as many decimals as it takes to see that they differ."""

from __future__ import annotations

DECIMALS_MAX = 6


def texts_apart(limit: float, *values: float, decimals: int) -> tuple[str, ...]:
    """Return the texts of `limit` and of `values`, all with the same decimals: at least `decimals`.

    There are as many as it takes for no value to read like the limit that it is not equal to, at most six: "lies 3.8,
    at most 3.8 is usual" says nothing.
    """
    while True:
        texts = tuple(f"{number:.{decimals}f}" for number in (limit, *values))
        alike = any(text == texts[0] and value != limit for value, text in zip(values, texts[1:], strict=True))
        if not alike or decimals >= DECIMALS_MAX:
            return texts
        decimals += 1
