"""Where real cells fall short of the paper, in words: every type and finding, with what it was taken for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convert.evaluation.paper import load_paper

_NAMED_MISTAKES = 3


def shortfalls_of(section: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each figure below the paper's and each published figure that has no cells here.

    Empty for drawn cells: they are never held against the paper.
    """
    if section["simulated"]:
        return []
    return [*_of_types(section), *_of_findings(section)]


def _of_types(section: Mapping[str, Any]) -> Iterator[str]:
    for code, published in load_paper().cell_types.items():
        row = section["cell_types"].get(code)
        if row is None:
            yield f"{code}: no labelled cell here (paper: {_percent(published.sensitivity)} of {published.validation})."
            continue
        for name in ("sensitivity", "specificity"):
            ours, theirs = row[name], getattr(published, name)
            if ours is None or ours >= theirs:
                continue
            interval = row["ci95" if name == "sensitivity" else f"{name}_ci95"]
            within = _within(interval, theirs)
            mistakes = _mistakes(section["confusion"], code, missed=name == "sensitivity")
            yield f"{code}: {name} {_percent(ours)}, paper {_percent(theirs)}; {within}; {mistakes}."


def _of_findings(section: Mapping[str, Any]) -> Iterator[str]:
    missing = [code for code in load_paper().findings if code not in section["findings"]]
    if missing:
        yield f"No annotated real cell shows {', '.join(missing)}: their rows of Table 3 stay empty."
    for code, row in section["findings"].items():
        published = row.get("paper")
        if published is None or row["auc"] is None or row["auc"] >= published["auc"]:
            continue
        positives = f"{row['positives']} cells with it"
        within = _within(row["auc_ci95"], published["auc"])
        yield f"{code}: AUC {row['auc']:.3f}, paper {published['auc']:.3f}; {within} ({positives})."


def _within(interval: Sequence[float] | None, theirs: float) -> str:
    if interval is None:
        return "too few for an interval"
    return "the interval reaches it" if interval[1] >= theirs else "the interval does not reach it"


def _mistakes(confusion: Mapping[str, Any], code: str, *, missed: bool) -> str:
    """Return what cells of a type were taken for (`missed`), or which cells were taken for it."""
    codes, counts = confusion["codes"], confusion["counts"]
    place = codes.index(code)
    line = counts[place] if missed else [row[place] for row in counts]
    wrong = sorted(((n, other) for other, n in zip(codes, line, strict=True) if other != code and n), reverse=True)
    named = ", ".join(f"{other} {n}" for n, other in wrong[:_NAMED_MISTAKES])
    return f"{'called' if missed else 'came from'} {named}" if named else "no single cause"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
