"""Whose revision a file is that cannot be read: told by its name, as an output names its files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from edge.delivery.names import safe_part_from_id
from edge.writers.html_index import IndexedResult

_DELIVERED = re.compile(r"(?P<slide>.+)_r(?P<revision>\d{1,4})_\d{8}T\d{6}Z_[0-9a-f]{8}(?:_d\d{1,3})?\.json")


def with_message_ids(unreadable: Sequence[tuple[str, str]], results: Sequence[IndexedResult]) -> list[tuple[str, str]]:
    """Return names and reasons, a file's name followed by `/` and the message id where both are known.

    The index marks a result whose later revision, perhaps its withdrawal, cannot be read. The archive names files by
    message id; in an output's folder the name holds sample, slide and revision, and the slide's other revisions its id.
    Their ids begin differently after late files, and in another source: the file then stands once for each beginning,
    so that the result that it may withdraw is marked whichever it is.
    """
    bases: defaultdict[str, set[str]] = defaultdict(set)
    for result in results:
        bases[_slide_of(result)].add(result.view.message_id.rpartition(".R")[0])
    named = []
    for name, reason in unreadable:
        found = _DELIVERED.fullmatch(name.rpartition("/")[2])
        known = sorted(bases.get(found["slide"], ())) if found else []
        named += [(f"{name}/{base}.R{int(found['revision'])}", reason) for base in known if found]
        if not known:
            named.append((name, reason))
    return named


def _slide_of(result: IndexedResult) -> str:
    slide = result.view.slide
    return f"{safe_part_from_id(slide.sample_id)}_{safe_part_from_id(slide.slide_key)}"
