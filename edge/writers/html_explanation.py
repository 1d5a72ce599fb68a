"""Why the score is what it is, beside others: groups against the cohort, typical profiles, and what would turn it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from edge.writers.figures import with_decimals
from edge.writers.html_charts import heat_strip, place_marks
from edge.writers.html_markup import Html, tag
from edge.writers.names import parameter_name
from edge.writers.record_explanation import ChangeView, ContrastView, GroupView
from edge.writers.record_view import AssessmentView
from edge.writers.report_context import CohortRows, CohortSlide
from edge.writers.strings import sentence, words

MINUS = "\u2212"
SLIDES_IN_STRIP = 60


def signed(value: float, decimals: int = 3) -> str:
    """Return a contribution with its sign, so that the direction needs no colour."""
    return ("+" if value > 0 else "") + with_decimals(value, decimals).replace("-", MINUS)


def group_name(group: str) -> str:
    """Return the name of a group of Fig. 3 of the paper, or of the types that have none (OTHER)."""
    return words("group").get(group, group)


def groups_table(assessment: AssessmentView, cohort: CohortRows | None) -> Html | None:
    """Return the contributions by group as rows of a heat map beside the slides of the cohort; None without groups."""
    if not assessment.groups:
        return None
    names = {"positive": assessment.positive, "negative": assessment.negative}
    heads = [tag("th", sentence("groups.group"), scope="col"), tag("th", sentence("groups.slide"), scope="col")]
    sides = [] if cohort is None else [_side_slides(cohort, positive=True), _side_slides(cohort, positive=False)]
    for slides, name in zip(sides, names.values(), strict=False):
        heads.append(tag("th", sentence("groups.cohort", count=len(slides), name=name), scope="col"))
    scale = _scale(assessment.groups, sides)
    rows = [_group_row(row, cohort, sides, scale, tuple(names.values())) for row in assessment.groups]
    lead = "groups.lead" if cohort else "groups.lead_alone"
    return tag(
        "div",
        tag("h3", sentence("section.groups" if cohort else "section.groups_alone")),
        tag("p", sentence(lead, **names), class_="fine"),
        tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)),
        None if cohort is None else _legend(scale, names),
        class_="groups",
    )


def _side_slides(cohort: CohortRows, *, positive: bool) -> list[CohortSlide]:
    return sorted((slide for slide in cohort.slides if slide.positive == positive), key=lambda slide: -slide.score)


def _scale(groups: Sequence[GroupView], sides: Sequence[Sequence[CohortSlide]]) -> float:
    """Return the contribution at which the colours are full.

    Of the cohort it is the 98th of 100, so that one slide cannot make all others pale.
    """
    others = sorted(abs(value) for side in sides for slide in side for value in slide.contributions)
    high = others[int(0.98 * (len(others) - 1))] if others else 0.0
    return max(high, *(abs(row.value) for row in groups)) or 1.0


def _group_row(
    row: GroupView,
    cohort: CohortRows | None,
    sides: Sequence[Sequence[CohortSlide]],
    scale: float,
    names: tuple[str, ...],
) -> Html:
    own = tag("td", heat_strip([row.value], scale), tag("b", signed(row.value, 2)), class_="own")
    cells = [own]
    for side, name in zip(sides, names, strict=False):
        if cohort is None or row.group not in cohort.groups:
            cells.append(tag("td", sentence("table.nothing")))
            continue
        column = cohort.groups.index(row.group)
        values = [slide.contributions[column] for slide in side]
        middle = signed(median(values), 2) if values else sentence("table.nothing")
        words_of = sentence("groups.median", name=name, value=middle)
        cells.append(tag("td", tag("div", heat_strip(_evenly(values), scale), tag("span", words_of, class_="fine"))))
    return tag("tr", tag("th", group_name(row.group), scope="row"), *cells)


def _evenly(values: Sequence[float]) -> list[float]:
    """Return at most SLIDES_IN_STRIP of the values, evenly spaced in their order."""
    if len(values) <= SLIDES_IN_STRIP:
        return list(values)
    return [values[round(place * (len(values) - 1) / (SLIDES_IN_STRIP - 1))] for place in range(SLIDES_IN_STRIP)]


def _legend(scale: float, names: dict[str, str]) -> Html:
    steps = [step / 4 * scale for step in range(-4, 5)]
    left = f"{signed(-scale, 2)} {sentence('contribution.towards', name=names['negative'])}"
    right = f"{sentence('contribution.towards', name=names['positive'])} {signed(scale, 2)}"
    return tag("p", tag("span", left), heat_strip(steps, scale), tag("span", right), class_="legend fine")


def contrast_table(assessment: AssessmentView) -> Html | None:
    """Return the parameters that moved the score beside the cohort's typical profiles; None without a cohort."""
    if not assessment.contrast:
        return None
    names = {"positive": assessment.positive, "negative": assessment.negative}
    keys = ("contrast.parameter", "contrast.slide", "contrast.typical_positive", "contrast.typical_negative")
    heads = [
        tag("th", sentence(key, **names), scope="col", class_="n" if place else None) for place, key in enumerate(keys)
    ]
    heads.append(tag("th", sentence("contrast.axis", **names), scope="col", class_="axis"))
    rows = [_contrast_row(row) for row in assessment.contrast]
    return tag(
        "div",
        tag("h3", sentence("section.contrast", **names)),
        tag("p", sentence("contrast.lead", **names), class_="fine"),
        tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)),
        class_="contrast",
    )


def _contrast_row(row: ContrastView) -> Html:
    values = (row.value, row.positive_median, row.negative_median)
    cells = [tag("td", amount(row.name, value), class_="n strong" if not place else "n")
             for place, value in enumerate(values)]  # fmt: skip
    return tag(
        "tr",
        tag("th", parameter_name(row.name), scope="row"),
        *cells,
        tag("td", place_marks(*values), class_="axis"),
    )


def amount(name: str, value: float | None) -> str:
    """Return the value of a parameter in the unit in which people read it."""
    if value is None:
        return sentence("table.nothing")
    if name.endswith("_per_100_wbc"):
        return sentence("contrast.per_100", value=with_decimals(value, 1))
    return sentence("contrast.percent", value=with_decimals(100 * value, 1))


def changes(assessment: AssessmentView) -> Html | None:
    """Return which single counts would turn the call; None where there is no score."""
    if assessment.score is None or not assessment.groups:
        return None
    rows = [tag("li", _change_words(row, assessment)) for row in assessment.changes]
    content = tag("ul", *rows) if rows else tag("p", sentence("change.none"))
    lead = tag("p", sentence("change.lead"), class_="fine") if rows else None
    return tag("div", tag("h3", sentence("section.changes")), lead, content, class_="changes")


def _change_words(row: ChangeView, assessment: AssessmentView) -> str:
    was_above = (assessment.score or 0.0) >= assessment.threshold
    crosses = (row.score >= assessment.threshold) != was_above
    return sentence(
        "change.crosses" if crosses else "change.turns",
        name=parameter_name(row.name),
        counted=row.counted,
        of=row.of,
        needed=row.needed,
        score=with_decimals(row.score, 3),
        threshold=with_decimals(assessment.threshold, 3),
    )
