"""When the film of a result was made: what a trend runs by.

A record says when it was made, and that is anew whenever a person finalizes or a model analyzes an old slide again: in
that order a film of last week would stand behind one of today.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from edge.writers.html_index import IndexedResult
from edge.writers.html_trends import WITHOUT_RESULT
from edge.writers.record_view import RecordView
from edge.writers.report_facts import acquired_moment


def at_film_time(results: Sequence[IndexedResult]) -> list[IndexedResult]:
    """Return the results with the time of their films in place of the time of their records.

    That is when the slide was acquired, where the export says so of every slide of its sample id that has a result
    now; else when the first of the slide's revisions that are here was made. The two are never mixed in one trend. All
    are told in the offset of their records, so that their texts sort as they do.
    """
    by_id = {result.view.message_id: result.view for result in results}
    replaced = {view.supersedes for view in by_id.values()}
    samples: defaultdict[str, list[RecordView]] = defaultdict(list)
    for name, view in by_id.items():
        if name not in replaced and view.status not in WITHOUT_RESULT:
            samples[view.slide.sample_id].append(view)
    acquired = {sample for sample, views in samples.items() if all(acquired_moment(view) for view in views)}

    def film_time(view: RecordView) -> datetime:
        moment = acquired_moment(view) if view.slide.sample_id in acquired else None
        return (moment or _first_of(view, by_id).analysed_at).astimezone(view.analysed_at.tzinfo)

    return [replace(result, view=replace(result.view, analysed_at=film_time(result.view))) for result in results]


def _first_of(view: RecordView, by_id: Mapping[str, RecordView]) -> RecordView:
    """Follow the chain of revisions back as far as it is here. A chain never grows younger, so this ends."""
    before = by_id.get(view.supersedes or "")
    while before is not None and before.revision < view.revision:
        view, before = before, by_id.get(before.supersedes or "")
    return view
