"""Figures of several rounds: their median with the lowest and the highest, and ratios taken round by round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STEAL_LIMIT = 0.05
"""A round in which the hypervisor kept more than this share of the processor back is shown, and not judged."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest of `rounds` values."""

    median: float
    lowest: float
    highest: float
    rounds: int

    def as_words(self) -> dict[str, float | int]:
        """Return it as JSON values, with four significant digits."""
        return {
            "median": short(self.median), "min": short(self.lowest), "max": short(self.highest), "rounds": self.rounds,
        }  # fmt: skip


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of one value or more. Raises ValueError where there is none."""
    if not values:
        raise ValueError("no round measured it")
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratios(over: Mapping[int, float], under: Mapping[int, float]) -> dict[int, float]:
    """Return over/under of every round that measured both: what disturbed a round disturbed both sides of it."""
    return {number: over[number] / under[number] for number in sorted(over.keys() & under.keys()) if under[number]}


def judged_rounds(steal: Mapping[int, float]) -> set[int]:
    """Return the rounds that may be judged: those in which the hypervisor left us the processor."""
    return {number for number, share in steal.items() if share <= STEAL_LIMIT}


def verdict(found: Mapping[int, float], steal: Mapping[int, float], bar: float | None, least_rounds: int) -> str:
    """Return "met", "missed", "not judged" or "" (no bar). The median of the judged rounds decides.

    Not judged: fewer than `least_rounds` rounds are left after those with steal are taken out.
    """
    if bar is None:
        return ""
    judged = [value for number, value in found.items() if number in judged_rounds(steal)]
    if len(judged) < least_rounds:
        return "not judged"
    return "met" if statistics.median(judged) >= bar else "missed"


def short(value: float) -> float:
    """Return a value with four significant digits: the rest of a measured time is noise."""
    return float(f"{value:.4g}")
