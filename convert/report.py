"""MODEL_CARD.md: what the bundle is for, what it rests on, how it was proved, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convert.model_card import ModelCard
from convert.seen_cells import words_of_seen
from edge.catalogue import Catalogue

_USES = {
    "demo": "A demonstration. It must not be used on people; every output is marked.",
    "research": "Research. Its results are not for patient care.",
    "clinical": "Decision support for review by a qualified person. Its results are preliminary and no diagnosis.",
}


def model_card_text(
    card: ModelCard,
    catalogue: Catalogue,
    engines: Sequence[Mapping[str, Any]],
    parity: Mapping[str, Any],
    assessments: Sequence[Mapping[str, Any]],
    cohorts: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the card as Markdown, the same text for the same facts."""
    lines = [f"# {card.name} {card.version}", "", _USES.get(card.intended_use, card.intended_use), ""]
    if not card.given:
        lines += ["No card came with the model: nothing is known about its training, and every threshold is 0.5.", ""]
    lines += _evidence_lines(card, catalogue) + _training_lines(card) + _assessment_lines(assessments, cohorts)
    lines += _engine_lines(engines, parity) + _doubt_lines(card, parity) + _validation_lines(card)
    lines += ["## Limits", "", *[f"- {limit}" for limit in card.limits or ["None were stated; assume many."]]]
    lines.append("- Results are decision support for review. They are no diagnosis.")
    return "\n".join(lines) + "\n"


def _evidence_lines(card: ModelCard, catalogue: Catalogue) -> list[str]:
    lines = ["## What the outputs were learned from", "", "| evidence | cell types | findings |", "|---|---|---|"]
    for kind in ("real", "drawn", "none"):
        types = [code for code in catalogue.type_codes if card.evidence[code] == kind]
        findings = [code for code in catalogue.finding_codes if card.evidence[code] == kind]
        lines.append(f"| {kind} | {' '.join(types) or '-'} | {' '.join(findings) or '-'} |")
    return [*lines, ""]


def _training_lines(card: ModelCard) -> list[str]:
    lines = ["## Trained on", ""]
    for source in card.trained_on:
        facts = [str(source.get("name", "unnamed")), f"{source.get('cells', 'an unknown number of')} cells"]
        facts += [str(source[key]) for key in ("licence", "attribution") if source.get(key)]
        lines.append(f"- {'; '.join(facts)}")
    return [*(lines if card.trained_on else [*lines, "- not stated"]), ""]


def _assessment_lines(assessments: Sequence[Mapping[str, Any]], cohorts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["## Assessments", ""]
    for spec in assessments:
        cohort = cohorts[spec["target"]]
        cases = ", ".join(f"{count} {name}" for name, count in cohort["cases"].items())
        lines.append(
            f"- {spec['target']}: {spec['positive']} against {spec['negative']}, threshold {spec['threshold']}, "
            f"{'SIMULATED slides' if cohort['simulated'] else 'slides'}: {cases}"
        )
    return [*(lines if assessments else [*lines, "- none: the bundle counts cells and findings only"]), ""]


def _engine_lines(engines: Sequence[Mapping[str, Any]], parity: Mapping[str, Any]) -> list[str]:
    lines = ["## Engines and their proof", "", f"Compared with: {parity['reference']['compared_with']}.", ""]
    lines += ["| file | device | precision | proof |", "|---|---|---|---|"]
    lines += [f"| {e['file']} | {e['device']} | {e['precision']} | {e['proof']} |" for e in engines]
    return [*lines, ""]


def _doubt_lines(card: ModelCard, parity: Mapping[str, Any]) -> list[str]:
    """Say what lets this bundle doubt its own cells, and how far its probabilities can be believed."""
    lines = ["## Doubt", ""]
    calibration = parity.get("calibration")
    if calibration is None:
        return [*lines, "- Probabilities were not compared with labelled cells: do not read them as chances.", ""]
    lines.append(
        f"- Probabilities (temperature {calibration['temperature']:.4g}) against {calibration['n']} cells of the "
        f"{calibration['split']} split: calibration error {calibration['ece_debiased']:.4f}, debiased, "
        f"{len(calibration['reliability'])} bins; the table is in parity.json."
    )
    if (test := parity["reference"].get("test_cells")) is not None:
        lines.append(f"- These cells: {words_of_seen(test['seen'], test['n'])}.")
    limits = [f"{code} {limit:.2f}" for code, limit in card.decision["unidentified_below"].items() if 0 < limit < 1]
    never = [code for code, limit in card.decision["unidentified_below"].items() if limit >= 1]
    if limits:
        lines.append(f"- A cell stays unidentified below: {', '.join(limits)}.")
    if never:
        lines.append(f"- Never named, because never learned: {', '.join(never)}.")
    return [*lines, ""]


def _validation_lines(card: ModelCard) -> list[str]:
    """Return the trainer's figures on cells kept apart: one line per origin, real and drawn never mixed."""
    facts = {key: value for key, value in card.validation.items() if isinstance(value, (int, float, str))}
    lines = [f"- {key}: {value}" for key, value in sorted(facts.items())]
    origins = {key: value for key, value in card.validation.items() if isinstance(value, dict)}
    lines += [_line_of_origin(name, figures) for name, figures in sorted(origins.items(), reverse=True)]
    return ["## Validation", "", *(lines or ["- none stated"]), ""]


def _line_of_origin(name: str, figures: Mapping[str, Any]) -> str:
    """Say what is there: a foreign card measures other things, and with few cells the trainer leaves figures empty."""
    words = [f"{figures.get('note', name)}, {figures.get('split', '?')} split: {figures.get('n', '-')} cells"]
    if "accuracy" in figures:
        words.append(f"accuracy {_shown(figures['accuracy'])}")
    if "macro_recall" in figures:
        words.append(f"mean recall of {figures.get('macro_recall_types', '-')} types {_shown(figures['macro_recall'])}")
    groups = figures.get("groups")
    if isinstance(groups, dict):
        words.append(f"accuracy over 8 groups {_shown(groups.get('accuracy'))} ({groups.get('n', '-')} cells)")
    return "- " + ", ".join(words)


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
