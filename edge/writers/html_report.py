"""The report as one HTML file: no request to anywhere, readable without script, on screen, on A4 and in grey.

render_report(record, thumbnails, context) -> bytes
"""

from __future__ import annotations

from collections.abc import Mapping

from edge.writers.html_atlas import atlas
from edge.writers.html_evidence import evidence
from edge.writers.html_gallery import CellPictures, gallery, type_anchors
from edge.writers.html_markup import Html, tag
from edge.writers.html_next import next_section
from edge.writers.html_page import page_from_body
from edge.writers.html_quality import quality
from edge.writers.html_summary import assessments, banners, counted, definitions, header, use_words, warnings
from edge.writers.html_tables import differential, findings_table
from edge.writers.names import naming_after
from edge.writers.record_view import RecordView, view_of_record
from edge.writers.report_context import NOTHING_MORE, ReportContext
from edge.writers.strings import sentence, speaking, words


def render_report(
    record: Mapping[str, object], thumbnails: Mapping[str, bytes], context: ReportContext = NOTHING_MORE
) -> bytes:
    """Return the report of a record as self-contained HTML, UTF-8, in the language of `context`.

    `thumbnails` gives JPEG bytes by cell id (96 px); a cell without one is shown as an empty frame. The same record,
    thumbnails and context give the same bytes. Raises EdgeError MDSE-WRITER-001 for a record that contradicts itself.
    """
    view = view_of_record(record)
    pictures = CellPictures(view, thumbnails)
    with speaking(context.language), naming_after(context.catalogue):
        body = [_watermark(view), pictures.definitions(), tag("main", *_parts(view, pictures, context))]
        title = sentence("report.title", sample=view.slide.sample_id)
        return page_from_body(title, body).encode("utf-8")


def _parts(view: RecordView, pictures: CellPictures, context: ReportContext) -> list[Html | None]:
    """Return the page from top to bottom: whose, what, how sure, what next; then the evidence; then the limits."""
    places = type_anchors(view)
    sections = {
        "warnings": warnings(view),
        "quality": quality(view, pictures),
        "differential": differential(view, places, context.reference),
        "findings": findings_table(view, pictures),
        "evidence": evidence(view, pictures, context.cohorts),
        "atlas": atlas(view, context.atlas, pictures),
        "gallery": gallery(view, pictures),
        "provenance": _provenance(view),
        "limits": _limits(),
    }
    return [
        header(view),
        banners(view),
        tag(
            "div",
            assessments(view),
            tag("div", counted(view), _contents(sections), class_="side"),
            next_section(view, places),
            class_="summary",
        ),
        *sections.values(),
        _running_line(view),
    ]


def _contents(sections: Mapping[str, Html | None]) -> Html:
    """Return links to the sections that this page has."""
    anchors = {"evidence": "contributions-0"}
    rows = [
        tag("li", tag("a", sentence(f"contents.{name}"), href=f"#{anchors.get(name, name)}"))
        for name, section in sections.items()
        if section and f'id="{anchors.get(name, name)}"' in section
    ]
    return tag("nav", tag("h2", sentence("section.contents")), tag("ul", *rows), class_="card contents",
               aria_label=sentence("section.contents"))  # fmt: skip


def _watermark(view: RecordView) -> Html | None:
    if view.mode != "T" and view.status != "W" and not view.simulated:
        return None
    key = "withdrawn" if view.status == "W" else "test" if view.mode == "T" else "simulated"
    return tag("div", sentence(f"banner.{key}_title"), class_="watermark", aria_hidden="true")


def _running_line(view: RecordView) -> Html:
    """Return the line that stands at the foot of every printed page: a loose sheet must say whose it is."""
    parts = (view.slide.sample_id, view.slide.slide_key, view.message_id, sentence(f"status.{view.status}"))
    marks = {"test": view.mode == "T", "research": view.research_only}
    marked = (sentence(f"banner.{mark}_title") for mark, applies in marks.items() if applies)
    return tag("footer", tag("span", " \u00b7 ".join((*parts, *marked))), class_="running")


def _provenance(view: RecordView) -> Html:
    made_by = view.provenance
    engine = {"name": made_by.engine_name, "device": made_by.engine_device, "precision": made_by.engine_precision}
    facts: dict[str, str | None] = {
        "provenance.bundle": f"{made_by.bundle_name} {made_by.bundle_version}",
        "provenance.intended_use": use_words(view),
        "provenance.engine": sentence("provenance.engine_value", **engine),
        "provenance.trees": made_by.trees,
        "provenance.software": made_by.software,
        "provenance.degraded": sentence("provenance.yes" if made_by.degraded else "provenance.no"),
        "provenance.source": view.slide.source,
        "provenance.message": view.message_id,
        "provenance.digest": made_by.bundle_digest,
    }
    heading = tag("h2", sentence("section.provenance"))
    return tag("section", heading, definitions(facts), class_="card provenance", id="provenance")


def _limits() -> Html:
    rows = [tag("li", text) for text in words("limits").values()]
    return tag("section", tag("h2", sentence("section.limits")), tag("ul", *rows), class_="card limits", id="limits")
