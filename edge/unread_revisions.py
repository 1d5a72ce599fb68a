"""Whose revision a file is that cannot be read: told by its name, as an output names its files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge.delivery.names import safe_part_from_id
from edge.writers.html_index import IndexedResult

_DELIVERED = re.compile(r"(?P<slide>.+)_r(?P<revision>\d{1,4})_\d{8}T\d{6}Z_[0-9a-f]{8}(?:_d\d{1,3})?\.json")


def with_message_ids(unreadable: Sequence[tuple[str, str]], results: Sequence[IndexedResult]) -> list[tuple[str, str]]:
    """Return names and reasons, a file's name followed by `/` and the message id where both are known.

    The index marks a result whose later revision, perhaps its withdrawal, cannot be read. The archive names files by
    message id; in an output's folder the name holds sample, slide and revision, and the slide's other revisions its id.
    """
    base_of = {_slide_of(result): result.view.message_id.rpartition(".R")[0] for result in results}
    named = []
    for name, reason in unreadable:
        found = _DELIVERED.fullmatch(name.rpartition("/")[2])
        base = base_of.get(found["slide"]) if found else None
        named.append((f"{name}/{base}.R{int(found['revision'])}" if found and base else name, reason))
    return named


def _slide_of(result: IndexedResult) -> str:
    slide = result.view.slide
    return f"{safe_part_from_id(slide.sample_id)}_{safe_part_from_id(slide.slide_key)}"
