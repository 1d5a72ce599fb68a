"""One page over many archived results: the newest revision of every slide, newest first, with a way to its report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edge.writers.figures import with_decimals
from edge.writers.html_markup import Html, tag
from edge.writers.html_page import page_from_body
from edge.writers.html_trends import trends
from edge.writers.record_view import NOT_EVALUABLE, NOT_REQUESTED, RecordView
from edge.writers.strings import ENGLISH, sentence, speaking


@dataclass(frozen=True, slots=True)
class IndexedResult:
    """An archived revision: its view, and the links to record and report (report None where none was kept)."""

    view: RecordView
    record_link: str
    report_link: str | None


def newest_revisions(results: Sequence[IndexedResult]) -> tuple[tuple[IndexedResult, str | None], ...]:
    """Return the newest revision of each slide with the link of the newest report that the slide has, newest first.

    A revision by which a person finalizes or withdraws has no report of its own: the pictures are those of the one
    before.
    """
    by_id = {result.view.message_id: result for result in results}
    replaced = {result.view.supersedes for result in results}
    rows = [(result, _newest_report(result, by_id)) for name, result in by_id.items() if name not in replaced]
    return tuple(sorted(rows, key=lambda row: (row[0].view.analysed_at, row[0].view.message_id), reverse=True))


def _newest_report(result: IndexedResult, by_id: Mapping[str, IndexedResult]) -> str | None:
    """Follow the chain of revisions back to one that has a report. A chain never grows younger, so this ends."""
    while result.report_link is None:
        before = by_id.get(result.view.supersedes or "")
        if before is None or before.view.revision >= result.view.revision:
            return None
        result = before
    return result.report_link


def render_index(
    results: Sequence[IndexedResult], unreadable: Sequence[tuple[str, str]], language: str = ENGLISH
) -> bytes:
    """Return the index as HTML. `unreadable` names the records that could not be listed, with the reason."""
    with speaking(language):
        return _index(results, unreadable).encode("utf-8")


def _index(results: Sequence[IndexedResult], unreadable: Sequence[tuple[str, str]]) -> str:
    rows = newest_revisions(results)
    unread = {name.rpartition("/")[2].removesuffix(".json") for name, _ in unreadable}
    head = [tag("th", sentence(f"index.{key}"), scope="col") for key in COLUMNS]
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *(_row(*row, unread) for row in rows)),
                class_="index sortable")  # fmt: skip
    body = [
        tag(
            "header",
            tag("h1", sentence("index.heading"), class_="words"),
            tag("p", sentence("index.count", count=len(rows))),
        ),
        trends([result.view for result, _ in rows]),
        tag("section", tag("h2", sentence("index.all")), tag("div", table, class_="wide", tabindex=0), class_="card"),
        _unreadable(unreadable),
    ]
    return page_from_body(sentence("index.heading"), [tag("main", *body, class_="broad")])


COLUMNS = ("sample", "slide", "analysed", "status", "call", "score", "leucocytes", "warnings", "record")


def _has_newer(view: RecordView, unread: Collection[str]) -> bool:
    """Tell whether a record that cannot be read is a later revision of this result, perhaps its withdrawal."""
    names = (name.rpartition(".R") for name in unread)
    own = view.message_id.rpartition(".R")[0]
    return any(base == own and number.isdecimal() and int(number) > view.revision for base, _, number in names)


def _row(result: IndexedResult, report_link: str | None, unread: Collection[str]) -> Html:
    view = result.view
    sample = tag("a", view.slide.sample_id, href=report_link) if report_link else tag("span", view.slide.sample_id)
    status = sentence(f"status.{view.status}")
    marks = {
        "test": view.mode == "T",
        "research": view.research_only,
        "simulated": view.simulated,
        "degraded": view.provenance.degraded,
    }
    status += "".join(f", {sentence(f'banner.{mark}_title')}" for mark, applies in marks.items() if applies)
    if _has_newer(view, unread):
        status += f", {sentence('index.newer_unreadable')}"
    scores = [
        with_decimals(a.score, 3) if a.score is not None and a.call not in (NOT_EVALUABLE, NOT_REQUESTED) else "\u2013"
        for a in view.assessments
    ]
    return tag(
        "tr",
        tag("th", sample, scope="row"),
        tag("td", view.slide.slide_key),
        tag("td", view.analysed_at.isoformat(sep=" ")),
        tag("td", status),
        tag("td", "; ".join(a.call for a in view.assessments)),
        tag("td", "; ".join(scores), class_="n"),
        tag("td", str(view.leucocytes), class_="n"),
        tag("td", ", ".join(warning.code for warning in view.warnings)),
        tag("td", tag("a", view.message_id, href=result.record_link)),
        class_="withdrawn" if view.status == "W" else None,
    )


def _unreadable(unreadable: Sequence[tuple[str, str]]) -> Html | None:
    if not unreadable:
        return None
    rows = [tag("li", tag("code", name), " ", reason) for name, reason in unreadable]
    heading = tag("h2", sentence("index.unreadable", count=len(rows)))
    return tag("section", heading, tag("ul", *rows, class_="coded"), class_="card warnings")
