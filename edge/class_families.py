"""Questions with more than two classes: one model for each class against the rest, under a common family name.

PV, ET and PMF are told apart by three questions, mpn_PV, mpn_ET and mpn_PMF, of the family mpn (ADR 0002). Each is a
binary assessment with its own score, interval and explanation. An order asks for the family or for a single question.
Their scores are not shares of one whole, so they need not agree; where two suspect their class, neither may say so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from edge.assessment import INDETERMINATE, Assessment
from edge.bundle.manifest import AssessmentSpec
from edge.gates import Reason

CLASSES_CONTRADICT = "CLASSES-CONTRADICT"


def names_of(spec: AssessmentSpec) -> set[str]:
    """Return the names by which an order or a site may ask for a question: its target and its family."""
    return {spec.target} if spec.family is None else {spec.target, spec.family}


def unanswered(name: str, specs: Sequence[AssessmentSpec], used: Collection[str], *, bundle: str) -> str:
    """Say what of an order for `name` is not assessed; "" when all is. Only all of its questions answer a family.

    `used` are the targets that the site uses; `bundle` is the bundle's name.
    """
    asked = [spec.target for spec in specs if name in names_of(spec)]
    left_out = [target for target in asked if target not in used]
    if not asked:
        return f"the order asks for {name}, which bundle {bundle} does not assess"
    if len(left_out) == len(asked):
        return f"the order asks for {name}, which this site does not use"
    return f"the order asks for {name}, of which this site does not use {', '.join(left_out)}" if left_out else ""


def settle_families(assessments: Sequence[Assessment], specs: Sequence[AssessmentSpec]) -> list[Assessment]:
    """Return the assessments; where several of one family suspect their class, each of these is INDETERMINATE."""
    family_of = {spec.target: spec.family for spec in specs}
    suspecting: dict[str, list[Assessment]] = {}
    for assessment in assessments:
        family = family_of[assessment.target]
        if family is not None and assessment.call == f"{assessment.positive}-SUSPECT":
            suspecting.setdefault(family, []).append(assessment)
    settled = []
    for assessment in assessments:
        rivals = suspecting.get(family_of[assessment.target] or "", [])
        if len(rivals) > 1 and assessment in rivals:
            classes = " and ".join(rival.positive for rival in rivals)
            reason = Reason(CLASSES_CONTRADICT, f"{classes} are each suspected, and a film can be of one class only")
            assessment = replace(assessment, call=INDETERMINATE, reasons=(*assessment.reasons, reason))
        settled.append(assessment)
    return settled
