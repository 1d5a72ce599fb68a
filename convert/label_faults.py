"""Faults of a table of labels, collected so that a person corrects them in one go instead of one a run.

A single fault keeps its own code. Several become one error that counts them and shows the first with their codes.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.errors import EdgeError

SHOWN = 8


class Faults:
    """Collects errors; `require_none` raises them."""

    def __init__(self) -> None:
        self._found: list[EdgeError] = []

    @property
    def found(self) -> int:
        """How many faults there are."""
        return len(self._found)

    def add(self, fault: EdgeError) -> None:
        """Keep a fault and go on reading."""
        self._found.append(fault)

    def require_none(self, where: str) -> None:
        """Do nothing without faults; raise the one there is, or EdgeError MDSE-TRAIN-017 for several."""
        raise_together(self._found, where)


def raise_together(found: Sequence[EdgeError], where: str) -> None:
    """Raise as `Faults.require_none` does, for faults found elsewhere."""
    if not found:
        return
    if len(found) == 1:
        raise found[0]
    listed = "; ".join(f"{fault.code} {fault.where}: {fault.text}" for fault in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise EdgeError("MDSE-TRAIN-017", where=where, count=len(found), faults=listed + more)
