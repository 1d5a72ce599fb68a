"""What moved a score, and the cells behind it: the part that lets a technologist agree or overrule."""

from __future__ import annotations

from collections.abc import Mapping

from edge.writers.figures import per_hundred, with_decimals
from edge.writers.html_charts import Bar, contribution_chart
from edge.writers.html_explanation import changes, contrast_table, groups_table, signed
from edge.writers.html_gallery import CellPictures, strip
from edge.writers.html_markup import Html, joined, tag
from edge.writers.names import parameter_name
from edge.writers.record_view import AssessmentView, ContributionView, ParameterView, RecordView
from edge.writers.report_context import CohortRows
from edge.writers.strings import sentence

BARS_SHOWN = 12


def evidence(view: RecordView, pictures: CellPictures, cohorts: Mapping[str, CohortRows]) -> Html:
    """Return, for every assessment that has contributions, what moved its score and the cells behind it.

    `cohorts` gives the training cohort by target, for those whose bundle carries one.
    """
    return joined(
        _section(number, assessment, view, pictures, cohorts.get(assessment.target))
        for number, assessment in enumerate(view.assessments)
        if assessment.contributions
    )


def _section(
    number: int, assessment: AssessmentView, view: RecordView, pictures: CellPictures, cohort: CohortRows | None
) -> Html:
    names = {"positive": assessment.positive, "negative": assessment.negative}
    largest = sorted(assessment.contributions, key=lambda row: -abs(row.value))[:BARS_SHOWN]
    anchors = [f"behind-{number}-{place}" for place in range(len(largest))]
    bars = [
        Bar(parameter_name(row.name), row.value, anchor, names["positive" if row.value >= 0 else "negative"])
        for row, anchor in zip(largest, anchors, strict=True)
    ]
    strips = [_strip(row, anchor, view, pictures) for row, anchor in zip(largest, anchors, strict=True)]
    return tag(
        "section",
        tag("h2", sentence("section.contributions", **names)),
        tag("p", sentence("contribution.lead", **names), class_="fine"),
        contribution_chart(bars, **names),
        _sum(assessment, largest),
        changes(assessment),
        groups_table(assessment, cohort),
        contrast_table(assessment),
        tag("h3", sentence("section.behind")),
        *strips,
        class_="card",
        id=f"contributions-{number}",
    )


def _sum(assessment: AssessmentView, shown: list[ContributionView]) -> Html | None:
    """State how the bars add up to the margin, so that nothing is left unexplained."""
    if assessment.margin is None:
        return None
    total = sum(row.value for row in shown)
    figures = {"shown": total, "rest": assessment.margin - total, "margin": assessment.margin}
    written = {name: with_decimals(value, 3).replace("-", "\u2212") for name, value in figures.items()}
    return tag("p", sentence("contribution.sum", **written), class_="fine")


def _strip(
    row: ContributionView, anchor: str, view: RecordView, pictures: CellPictures
) -> Html:  # fmt: skip
    cells = {cell.cell_id: cell for cell in view.cells}
    parameters = {parameter.name: parameter for parameter in (*view.shares, *view.per_100, *view.rates)}
    known = [cells[cell_id] for cell_id in row.cells if cell_id in cells]
    parameter = parameters.get(row.name)
    counted = parameter.numerator if parameter else None
    behind = strip(known, pictures, counted) if known else tag("p", _no_cells_words(row, parameter), class_="more")
    side = "positive" if row.value >= 0 else "negative"
    value = signed(row.value)
    share = tag("span", _counted(parameter), class_="fine")
    title = tag("p", parameter_name(row.name), " ", tag("b", value, class_=side), " ", share, class_="strip-title")
    return tag("div", title, behind, id=anchor, class_="behind")


def _no_cells_words(row: ContributionView, parameter: ParameterView | None) -> str:
    """Say why no cells stand behind a bar: none shows the finding, none could, or it is a share of all."""
    if not row.name.endswith("_rate"):
        return sentence("contribution.no_cells")
    return sentence("contribution.no_cells_show" if parameter and parameter.denominator else "contribution.no_kind")


def _counted(parameter: ParameterView | None) -> str:
    """Return the parameter's own value in counts: a contribution means little without it."""
    if parameter is None or not parameter.denominator:
        return sentence("table.nothing")
    of = sentence("table.of", numerator=parameter.numerator, denominator=parameter.denominator)
    value = per_hundred(parameter.numerator, parameter.denominator)
    unit = "per_100" if parameter.name.endswith("_per_100_wbc") else "percent"
    return sentence(f"contribution.{unit}", of=of, numerator=parameter.numerator, value=value)
