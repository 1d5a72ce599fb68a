"""The top of the report: whose slide, which status, which call, and what stands in the way of trusting it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from edge.writers.figures import with_decimals
from edge.writers.html_charts import interval_words, score_scale
from edge.writers.html_explanation import signed
from edge.writers.html_markup import Html, joined, tag
from edge.writers.names import parameter_name
from edge.writers.record_view import INDETERMINATE, NOT_EVALUABLE, NOT_REQUESTED, AssessmentView, CodedText, RecordView
from edge.writers.strings import ENGLISH, current_language, sentence, words

REASONS_SHOWN = 3


def header(view: RecordView) -> Html:
    """Return the head of the page: identifiers and the status."""
    slide = view.slide
    status = tag(
        "div",
        tag("strong", sentence(f"status.{view.status}")),
        tag("span", sentence(f"status_meaning.{view.status}")),
        class_=f"status status-{view.status}",
    )
    title = tag("div", tag("p", sentence("report.heading"), class_="kicker"), tag("h1", slide.sample_id))
    key = slide.slide_key
    if slide.slide_no is not None:
        key = sentence("report.slide_number", key=key, number=slide.slide_no)
    revision = str(view.revision)
    if view.supersedes:
        revision = sentence("report.revision_value", revision=revision, supersedes=view.supersedes)
    facts = {
        "report.sample": slide.sample_id,
        "report.slide": key,
        "report.order": slide.order_id or sentence("report.not_given"),
        "report.patient": slide.patient_id,
        "report.acquired": _acquired_words(view),
        "report.analysed": view.analysed_at.isoformat(sep=" "),
        "report.analyzer": " ".join(word for word in (slide.analyzer_model, slide.analyzer_serial) if word)
        or sentence("report.not_given"),
        "report.site": view.site,
        "report.revision": revision,
    }
    return tag("header", tag("div", title, status, class_="masthead"), definitions(facts))


def _acquired_words(view: RecordView) -> str:
    """Return when the slide was imaged, in the zone of the site where that can be known, else as the export gave it."""
    given = view.slide.acquired_at
    if given is None:
        return sentence("report.not_given")
    try:
        moment = datetime.fromisoformat(given)
        local = moment.astimezone(view.analysed_at.tzinfo) if moment.utcoffset() is not None else None
    except (ValueError, OverflowError):
        local = None
    return sentence("report.unclear_time", given=given) if local is None else local.isoformat(sep=" ")


def definitions(facts: dict[str, str | None]) -> Html:
    """Return a list of names and values; a value of None leaves its name out."""
    rows = [tag("div", tag("dt", sentence(key)), tag("dd", value)) for key, value in facts.items() if value is not None]
    return tag("dl", *rows, class_="facts")


def banners(view: RecordView) -> Html:
    """Return what must be seen before any figure: withdrawn, test, research only, simulated, degraded."""
    made_by = view.provenance
    found = []
    if view.status == "W":
        found.append(_banner("withdrawn", "grave"))
    if view.status == "X":
        found.append(_banner("unevaluable", "grave"))
    if view.mode == "T":
        found.append(_banner("test", "test", intended_use=use_words(view)))
    if view.research_only:
        found.append(_banner("research", "test", intended_use=use_words(view)))
    if view.simulated:
        found.append(_banner("simulated", "test"))
    if made_by.degraded:
        found.append(_banner("degraded", "plain", engine=made_by.engine_name, device=made_by.engine_device))
    if view.reason:
        found.append(tag("p", sentence("report.reason", reason=view.reason), class_="banner plain"))
    return joined(found)


def use_words(view: RecordView) -> str:
    """Return what the bundle is meant for, in words."""
    return words("use").get(view.provenance.intended_use, view.provenance.intended_use)


def _banner(kind: str, look: str, **facts: object) -> Html:
    title = tag("strong", sentence(f"banner.{kind}_title"))
    return tag("p", title, " ", sentence(f"banner.{kind}", **facts), class_=f"banner {look}")


def assessments(view: RecordView) -> Html:
    """Return one card for every assessment."""
    cards = [_assessment(assessment, number) for number, assessment in enumerate(view.assessments)]
    return tag("div", *(cards or [_no_assessment()]), class_="assessments")


def _no_assessment() -> Html:
    """Say that no question was put to the slide: an empty place would leave that open."""
    return tag("section", tag("h2", sentence("section.no_assessment")), tag("p", sentence("call.none")), class_="card")


def _assessment(assessment: AssessmentView, number: int) -> Html:
    names = {"positive": assessment.positive, "negative": assessment.negative}
    parts = [
        tag("h2", sentence("section.assessment", **names)),
        tag("p", assessment.call, class_=f"call {_side(assessment)}"),
        tag("p", call_words(assessment), class_="call-words"),
        _because(assessment),
        tag("p", sentence("call.support"), class_="support"),
    ]
    if assessment.score is not None and assessment.call not in (NOT_EVALUABLE, NOT_REQUESTED):
        score = sentence("call.score", score=with_decimals(assessment.score, 3))
        figures = tag("p", tag("strong", score), ", " + interval_words(assessment), class_="score")
        parts += [figures, score_scale(assessment), tag("p", sentence("call.interval_note"), class_="fine")]
    if assessment.call != NOT_REQUESTED:
        parts += _sufficiency(assessment)
    if assessment.reasons:
        parts.append(coded_list(assessment.reasons))
    return tag("section", *parts, class_="card assessment", id=f"assessment-{number}")


def _because(assessment: AssessmentView) -> Html | None:
    """Name the parameters that moved the score most, with sign: the reason belongs beside the call."""
    if assessment.score is None or assessment.call in (NOT_EVALUABLE, NOT_REQUESTED):
        return None
    largest = sorted(assessment.contributions, key=lambda row: -abs(row.value))[:REASONS_SHOWN]
    names = "; ".join(f"{parameter_name(row.name)} {signed(row.value, 2)}" for row in largest)
    return tag("p", sentence("call.because", names=names), class_="because") if names else None


def _sufficiency(assessment: AssessmentView) -> list[Html]:
    """State whether enough cells were counted, beside the least that is asked for, and how many more would help."""
    enough = assessment.sufficient
    look = "enough" if enough else "enough not"
    parts = [tag("p", sentence("call.sufficient" if enough else "call.insufficient"), class_=look)]
    if enough:
        parts.append(tag("p", sentence("call.sufficient_minimum"), class_="fine"))
    found = assessment.sufficiency
    if found is not None:
        facts = {
            "leucocytes": found.leucocytes,
            "neutrophils": found.neutrophils,
            "minimum_leucocytes": found.minimum_leucocytes,
            "minimum_neutrophils": found.minimum_neutrophils,
        }
        parts.append(tag("p", sentence("call.counted_of_minimum", **facts), class_="fine"))
        if found.more_cells and assessment.score is not None:
            parts.append(tag("p", sentence("call.more_cells", count=found.more_cells)))
    return parts


def _side(assessment: AssessmentView) -> str:
    if assessment.call == f"{assessment.positive}-SUSPECT":
        return "positive"
    return "negative" if assessment.call == f"{assessment.negative}-LIKE" else "neither"


def call_words(assessment: AssessmentView) -> str:
    """Return what a call says, in a sentence."""
    names = {"positive": assessment.positive, "negative": assessment.negative}
    fixed = {INDETERMINATE: "indeterminate", NOT_EVALUABLE: "not_evaluable", NOT_REQUESTED: "not_requested"}
    if assessment.call == INDETERMINATE and not _holds_threshold(assessment):
        return sentence("call.indeterminate_reason", **names)
    if assessment.call in fixed:
        return sentence(f"call.{fixed[assessment.call]}", **names)
    positive = _side(assessment) == "positive"
    low, high = assessment.interval or (0.0, 1.0)
    whole = low >= assessment.threshold if positive else high < assessment.threshold
    return sentence(f"call.{'suspect' if positive else 'like'}{'' if whole else '_plain'}", **names)


def _holds_threshold(assessment: AssessmentView) -> bool:
    low, high = assessment.interval or (0.0, 1.0)
    return low < assessment.threshold <= high


def counted(view: RecordView) -> Html:
    """Return how many cells the result rests on, and how many were left out."""
    keys = ("leucocytes", "others", "unidentified", "out_of_distribution", "unreadable", "images")
    figures = [
        tag("div", tag("dd", str(getattr(view, key))), tag("dt", sentence(f"counted.{key}")), class_="figure")
        for key in keys
    ]
    heading = tag("h2", sentence("section.counted"))
    return tag("section", heading, tag("dl", *figures, class_="figures"), class_="card counted", id="counted")


def warnings(view: RecordView) -> Html | None:
    """Return the warnings in words; None where there are none."""
    if not view.warnings:
        return None
    heading = tag("h2", sentence("section.warnings"))
    return tag("section", heading, coded_list(view.warnings), class_="card warnings", id="warnings")


def coded_list(texts: tuple[CodedText, ...]) -> Html:
    """Return coded texts as a list: what the code means, the record's own words, the code.

    The words of a record are English, whatever the language of the page.
    """
    return tag("ul", *_coded_rows(texts), class_="coded")


def _coded_rows(texts: tuple[CodedText, ...]) -> Iterator[Html]:
    titles = words("code")
    for text in texts:
        title = (tag("strong", titles[text.code]), " ") if text.code in titles else ()
        own = tag("span", text.text, lang=None if current_language() == ENGLISH else ENGLISH)
        yield tag("li", *title, own, " ", tag("code", text.code))
