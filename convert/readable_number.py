"""Rounds a threshold for people without letting it pass one of the values that it was chosen between."""

from __future__ import annotations

_EXACT = 17  # decimals at which every double below 1 is itself


def rounded_between(value: float, below: float, above: float, decimals: int) -> float:
    """Return `value` with at least `decimals` decimals and as few as leave it above `below` and at most `above`.

    A value of `below` stays under the threshold and a value of `above` reaches it. Where no rounding keeps it between,
    `value` itself is returned.
    """
    for places in range(decimals, _EXACT):
        rounded = round(value, places)
        if below < rounded <= above:
            return rounded
    return value
