"""Which figures of a validation stand without an interval: nobody shall take a bare figure for a sure one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from convert.evaluation.statistics import FEWEST_CLUSTERS

_INTERVAL = "_ci95"
_MOST_NAMED = 5


def note_of_missing_intervals(document: Mapping[str, Any]) -> str | None:
    """Return a sentence naming the figures of the document that have no interval, None where all have one."""
    names = list(_bare_figures(document, ()))
    if not names:
        return None
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return (
        f"no 95 % interval for {', '.join(names[:_MOST_NAMED])}{more}: a class or a type comes from fewer than "
        f"{FEWEST_CLUSTERS} patients (cells or slides, where no patient is known)"
    )


def _bare_figures(part: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _bare_figures(value, (*path, name))
        elif name.endswith(_INTERVAL) and value is None and part[figure := name.removesuffix(_INTERVAL)] is not None:
            yield " ".join((*path, figure))
