"""The results as Markdown: one table for README.md, the whole of them for benchmarks/README.md. No figure is typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.side_by_side.contestants import ENTRIES, INT8_LIMIT, PIPELINE, PLAIN
from benchmarks.side_by_side.layers import DENSE, POINTWISE
from benchmarks.side_by_side.rivals import RIVALS, rows_with_rivals
from benchmarks.side_by_side.spread import STEAL_LIMIT

Results = Mapping[str, Any]
OTHER_MACHINE = Path(__file__).parents[1] / "side_by_side_amd_epyc.json"
MATRIX_KINDS = (POINTWISE, DENSE)
TREE_FORMS = {
    "library_row": "inside our compiled library",
    "library_call": "our compiled library, one call",
    "gtil": "Treelite's interpreter",
    "inplace": "XGBoost inplace_predict",
    "booster": "XGBoost Booster.predict",
    "contributions": "our contributions",
    "shap": "shap.TreeExplainer",
}


def readme_table(results: Results) -> str:
    """Return the table of README.md: the ratios that have a bar, the nearest rivals, and the rates behind them."""
    results = {**results, "ratios": rows_with_rivals(results)}
    sizes = [size for size in results["sizes"] if any(row["bar"] for row in _ratios(results, int(size)))]
    shown = [row for size in sizes for row in _ratios(results, int(size))]
    claims = {row["claim"]: row["text"] for row in shown if row["bar"] is not None or row["claim"] in RIVALS}
    rows = [[text, *(_cell(_ratio(results, claim, int(size))) for size in sizes)] for claim, text in claims.items()]
    rows += [
        [text, *(_figure(results["sizes"][size]["contestants"].get(name, {}).get(key)) for size in sizes)]
        for text, name, key in (
            ("cells per second: this pipeline, from files to published results", PIPELINE, "slide_images_per_s"),
            ("cells per second: the plain way (Keras by 32, XGBoost, shap)", PLAIN, "slide_images_per_s"),
        )
    ]
    return _table(["network of the paper's size, random weights", *(f"{size} px" for size in sizes)], rows) + _note(
        results
    )


def ratio_table(results: Results) -> str:
    """Return every ratio with its spread, bar and verdict."""
    rows = [
        [row["text"], f"{row['size_px']} px", _cell(row), _bar(row), row["ratio"]["rounds"], row["verdict"] or "shown"]
        for row in rows_with_rivals(results)
    ]
    return _table(["ratio", "size", "median (lowest to highest)", "bar", "rounds", "verdict"], rows) + _note(results)


def contestant_tables(results: Results) -> str:
    """Return one table for each image size: every contestant's figures, or the reason why it did not run."""
    parts = []
    for size, found in results["sizes"].items():
        rows = [_contestant(name, facts, found["contestants"]) for name, facts in found["contestants"].items()]
        heads = ["", "cells/s, network alone", "one cell, ms", "cells/s, whole slides", "of its limit", "batch",
                 "opens in, s", "memory, MB"]  # fmt: skip
        disturbed = f"Steal of each round: {_shares(found['steal'])}; work of others: {_shares(found['others'])}."
        head = f"### {size} px: {found['giga_operations']} giga-operations a cell\n\n"
        told = [disturbed, *_understated(found["contestants"], found["giga_operations"])]
        parts.append(f"{head}{_table(heads, rows)}\n" + "\n\n".join(told) + "\n")
    return "\n".join(parts)


def entry_table(_: Results) -> str:
    """Return what each contestant is."""
    return _table(["contestant", "what it is"], [[entry.label, entry.setting] for entry in ENTRIES.values()])


def cold_table(results: Results) -> str:
    """Return the seconds from a process that does not exist to a slide's result."""
    rows = [
        [f"{size} px", _figure(found[PIPELINE]), _figure(found[PLAIN])] for size, found in results["cold_s"].items()
    ]
    return _table(["cold process to score, 200 cells, s", "this pipeline", "the plain way"], rows)


def layer_tables(results: Results) -> str:
    """Return where the network's time goes, by kind of layer, and what each kind reaches of the int8 limit."""
    parts = []
    for size, found in results["layers"].items():
        limits = results["sizes"].get(size, {}).get("contestants", {}).get(INT8_LIMIT, {})
        limit = limits.get("giga_operations_per_s", {}).get("median")
        total_ms = sum(row["ms"] for row in found)
        rows = []
        for row in found:
            rate = 1000 * row["giga_operations"] / row["ms"] if row["ms"] else 0.0
            reached = f"{100 * rate / limit:.0f} %" if limit and rate else ""
            share = f"{100 * row['ms'] / total_ms:.1f} %"
            rows.append([row["kind"], f"{row['ms']:.2f}", share, f"{row['giga_operations']:.2f}", reached])
        heads = [f"{size} px", "ms a cell", "share", "giga-operations", "of the int8 limit"]
        parts.append(_table(heads, rows) + _ceiling(found, limit))
    return "\n".join(parts)


def processor_table(results: Results) -> str:
    """Return what a cell costs the processor in the network and in everything, and the share that leaves the network.

    With every core busy the rest cannot hide behind the network: the quotient is the most that whole slides can reach
    of the engine-only rate.
    """
    rows = []
    for size, found in results["sizes"].items():
        spent = found["contestants"].get(PIPELINE, {}).get("cpu_ms_a_cell", {})
        if {"rate", "slide"} <= spent.keys():
            network, whole = spent["rate"]["median"], spent["slide"]["median"]
            most = f"{100 * min(1.0, network / whole):.0f} %"
            reached = _cell(_ratio(results, "end_to_end", int(size)))
            rows.append([f"{size} px", f"{network:.2f}", f"{whole:.2f}", most, reached])
    heads = ["processor time a cell", "network alone, ms", "whole slide, ms", "most that can be reached", "reached"]
    return _table(heads, rows)


def tree_table(results: Results) -> str:
    """Return microseconds of one row by number of trees."""
    found = results.get("trees", [])
    rows = [[text, *(_triple(row["us"][form]) for row in found)] for form, text in TREE_FORMS.items()]
    return _table(["one row, microseconds", *(_trees(row["trees"]) for row in found)], rows)


def waiting_table(results: Results) -> str:
    """Return how the daemon drains slides that wait."""
    rows = [
        [
            row["slides"],
            f"{row['all_s']:.1f}",
            "" if row["slides_per_s"] is None else f"{row['slides_per_s']:.2f}",
            row["supervisor_rss_mb"],
            row["worker_rss_mb"],
            f"{100 * row['steal']:.1f} %",
        ]
        for row in sorted(results.get("waiting", []), key=lambda row: row["slides"])
    ]
    heads = ["waiting slides of 10 cells", "start to last result, s", "slides per second", "supervisor, MB",
             "worker, MB", "steal"]  # fmt: skip
    return _table(heads, rows)


def machine_table(results: Results) -> str:
    """Return on what it was measured."""
    machine, slices = results["machine"], results["slice_s"]
    rows = [
        ["processor", f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB"],
        ["instructions", ", ".join(machine["instructions"])],
        ["system", f"{machine['system']}, Python {machine['python']}"],
        ["libraries", ", ".join(f"{name} {version}" for name, version in machine["versions"].items())],
        ["threads of each contestant", results["threads"]],
        ["seconds of a slice", ", ".join(f"{kind} {seconds:g}" for kind, seconds in slices.items())],
        ["cells", f"200 JPEG files, {results['cells']}"],
        ["date", results["date"]],
    ]
    return _table(["", ""], rows)


def other_machine_table(_: Results) -> str:
    """Return README's table of the same run on another processor, from the file that is kept of it."""
    return readme_table(json.loads(OTHER_MACHINE.read_text(encoding="utf-8")))


BLOCKS: dict[str, Callable[[Results], str]] = {
    "ratios": ratio_table,
    "entries": entry_table,
    "contestants": contestant_tables,
    "cold": cold_table,
    "layers": layer_tables,
    "processor": processor_table,
    "trees": tree_table,
    "waiting": waiting_table,
    "machine": machine_table,
    "elsewhere": other_machine_table,
}


def _contestant(name: str, facts: Mapping[str, Any], all_of_size: Mapping[str, Mapping[str, Any]]) -> list[object]:
    label = ENTRIES[name].label
    if not {"images_per_s", "latency_ms", "giga_operations_per_s"} & facts.keys():
        return [label, f"not run: {facts.get('not_run', 'no round measured it')}", "", "", "", "", "", ""]
    limit = all_of_size.get(ENTRIES[name].limit or "", {}).get("giga_operations_per_s", {}).get("median")
    rate = facts.get("giga_operations_per_s")
    reached = f"{100 * rate['median'] / limit:.0f} %" if rate and limit else ""
    if not {"images_per_s", "latency_ms"} & facts.keys():
        return [label, f"{_figure(rate)} giga-operations/s", "", "", reached, "", facts["open_s"], _memory(name, facts)]
    figures = [_figure(facts.get(key)) for key in ("images_per_s", "latency_ms", "slide_images_per_s")]
    return [label, *figures, reached, facts["batch"], facts["open_s"], _memory(name, facts)]


def _memory(name: str, facts: Mapping[str, Any]) -> str:
    """Return the MiB of a contestant with its server; an earlier measurement left the server out."""
    if "peak_rss_mb" not in facts:
        return ""
    if ENTRIES[name].serves and "peak_rss_below_mb" not in facts:
        return f"{facts['peak_rss_mb']} without its server"
    return str(facts["peak_rss_mb"] + facts.get("peak_rss_below_mb", 0))


def _understated(contestants: Mapping[str, Mapping[str, Any]], giga_operations: float) -> list[str]:
    """Name whose network alone was measured slower than whole slides, which contain it, and by how much at least."""
    told = []
    for name, facts in contestants.items():
        if not {"images_per_s", "slide_images_per_s"} <= facts.keys():
            continue
        alone, slides = facts["images_per_s"]["median"], facts["slide_images_per_s"]["median"]
        limit = contestants.get(ENTRIES[name].limit or "", {}).get("giga_operations_per_s", {}).get("median")
        reached = f", {100 * slides * giga_operations / limit:.0f} % of its limit" if limit else ""
        if slides > alone:
            told.append(
                f"{ENTRIES[name].label}: the network alone is understated at least {slides / alone:.2f} times: whole "
                f"slides, which contain the network, reach {slides:.4g} cells/s{reached}."
            )
    return told


def _ceiling(found: Sequence[Mapping[str, Any]], limit: float | None) -> str:
    """Say what the whole network could reach if every pointwise and 3x3 convolution ran at the limit."""
    if not limit:
        return ""
    giga = sum(row["giga_operations"] for row in found)
    ideal = sum(
        1000 * row["giga_operations"] / limit if row["kind"].startswith(MATRIX_KINDS) else row["ms"] for row in found
    )
    share = f"{100 * 1000 * giga / limit / ideal:.0f} %"
    return (
        f"\nWith pointwise and 3x3 convolutions at the full matrix rate and all else as it is: {share} of the limit.\n"
    )


def _ratios(results: Results, size_px: int) -> list[Mapping[str, Any]]:
    return [row for row in results["ratios"] if row["size_px"] == size_px]


def _ratio(results: Results, claim: str, size_px: int) -> Mapping[str, Any] | None:
    return next((row for row in _ratios(results, size_px) if row["claim"] == claim), None)


def _cell(row: Mapping[str, Any] | None) -> str:
    """Return a ratio as text: median and, in brackets, lowest and highest of the rounds where they were kept."""
    if row is None:
        return ""
    if "min" not in row["ratio"]:
        return f"{row['ratio']['median']:.2f}x, of the medians"
    low, middle, high = (row["ratio"][key] for key in ("min", "median", "max"))
    if row["percent"]:
        return f"{100 * middle:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    return f"{middle:.2f}x ({low:.2f} to {high:.2f})"


def _bar(row: Mapping[str, Any]) -> str:
    if row["bar"] is None:
        return ""
    return f"{100 * row['bar']:.0f} %" if row["percent"] else f"{row['bar']:g}x"


def _figure(found: Mapping[str, Any] | None) -> str:
    return "" if not found else f"{found['median']:.4g} ({found['min']:.4g} to {found['max']:.4g})"


def _triple(values: Sequence[float]) -> str:
    return f"{values[0]:.3g} ({values[1]:.3g} to {values[2]:.3g})"


def _trees(count: int) -> str:
    return f"{count:,} tree" if count == 1 else f"{count:,} trees"


def _shares(values: Sequence[float]) -> str:
    return ", ".join(f"{100 * value:.1f} %" for value in values)


def _note(results: Results) -> str:
    machine = results["machine"]
    stolen = max((share for found in results["sizes"].values() for share in found["steal"]), default=0.0)
    shown = f" Rounds with more than {100 * STEAL_LIMIT:.0f} % are shown, not judged." if stolen > STEAL_LIMIT else ""
    where = f"{machine['cores']} cores of {machine['cpu']}, {results['threads']} threads each"
    return (
        f"\nMeasured {results['date']}: {where}, 200 {results['cells']} cells a slide; median of the rounds, lowest "
        f"and highest in brackets; steal at most {100 * stolen:.1f} %.{shown}\n"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
