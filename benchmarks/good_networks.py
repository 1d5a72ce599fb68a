"""Does edge-convert refuse no good network? Makes twenty, converts each, and writes good_networks.json.

    python -m benchmarks.good_networks --cells CELLS --drawn DRAWN --trees TREES --work FOLDER --make-only
    python -m benchmarks.good_networks --cells CELLS --drawn DRAWN --trees TREES --work FOLDER

The networks are those of fine_tuned_networks.py; one that lies in FOLDER with its card is not made again. Making them
takes hours, and `--make-only` does no more than that: what converts them may be changed meanwhile. Each is
converted as edge-convert does it, with the parity run on all real test cells and composed slides. A conversion to int8
makes the float16 and fp32 files, too, and proves all three: every engine has its row, also where one is refused.

A recipe gives another network on another processor: training rounds otherwise there. Rows of networks that are no more
stand under `made_anew`; their refusals are not undone by what took their place.

Of int8 each row says which layers the search kept in floating point, and how much of what is allowed the biases use
(`convert.bias_check`): honest ones at most, and a layer without its biases at least.

Composed slides (`convert.slide_parity`) stand in each row as the conversion compared them, for every engine: also those
that refused a network. Rows may be judged side by side, each by a run of its own (`--names`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.conversion_refusals import commit_of_code, convert_network
from benchmarks.fine_tuned_networks import RECIPES, Maker, Recipe, make_network, open_maker
from convert import conversion, network_files
from convert.bias_check import bias_shares, without_biases
from convert.engine_proof import ProvedEngine, prove_cpu_engine
from convert.int8_trial import Quantized
from convert.slide_parity import prove_slides
from edge.engines.processors import has_int8_dot_product

RESULT = Path(__file__).with_suffix(".json")


def main() -> int:
    """Make and convert the networks that have no row yet; write the figures after each."""
    options = _options()
    if options.threads:
        _limit_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {"networks": []}
    known = {row["recipe"]["name"] for row in document["networks"]}
    maker: Maker | None = None
    for recipe in RECIPES:
        if (recipe.name in known and not options.make_only) or (options.names and recipe.name not in options.names):
            continue
        network = options.work / f"{recipe.name}.keras"
        if not network.with_suffix(".card.json").is_file():
            maker = maker or open_maker(options.cells, options.drawn, options.work / "cache")
            make_network(recipe, maker, network)
        if options.make_only:
            continue
        row = _converted(options, recipe, network)
        document["networks"] = sorted([*document["networks"], row], key=lambda r: str(r["recipe"]["name"]))
        _write(document)
    if not options.make_only:
        _write(document)
        print(json.dumps(document["summary"], indent=1))
    return 0


def _write(document: dict[str, Any]) -> None:
    """Write what there is: an interrupted run leaves the networks that it finished."""
    document["summary"] = summary_of(document["networks"])
    RESULT.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def summary_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Count the networks, what makes them different, and the refusals: of conversions and of single engines."""
    of_int8 = [row for row in rows if row.get("int8")]
    engines = sorted({precision for row in rows for precision in row["engines"]})
    cpu_engines = sorted({name for row in rows for name in row["slides"]})
    return {
        "recipes": len(RECIPES),
        "networks": len(rows),
        "sizes_px": sorted({row["recipe"]["size_px"] for row in rows}),
        "widths": sorted({row["recipe"]["width"] for row in rows}),
        "lowest_accuracy_real_test": min((row["accuracy_real_test"] for row in rows), default=None),
        "highest_accuracy_real_test": max((row["accuracy_real_test"] for row in rows), default=None),
        "refused": sum(row["refused"] is not None for row in rows),
        "most_float_layers": max((len(row["int8"]["float_layers"]) for row in of_int8), default=None),
        "bias_share_most": max((row["int8"]["bias_share_most"] for row in of_int8), default=None),
        "bias_share_least_without_biases": min(
            (row["int8"]["bias_share_least_without_biases"] for row in of_int8), default=None
        ),
        "engines_refused": {
            precision: sum(row["engines"].get(precision, {}).get("verdict") == "REFUSED" for row in rows)
            for precision in engines
        },
        "slides": {name: _slides_summary(rows, name) for name in cpu_engines},
        "commits": sorted({row["commit"] for row in rows}),
    }


def _slides_summary(rows: Sequence[Mapping[str, Any]], engine: str) -> dict[str, Any]:
    """The composed slides of one engine over all networks: how far scores lie apart, and how many changed sides."""
    found = [row["slides"][engine] for row in rows if engine in row["slides"]]
    means, p99s = (sorted(slides["score_diff"][name] for slides in found) for name in ("mean", "p99"))
    return {
        "networks": len(found),
        "slides": sum(slides["n"] for slides in found),
        "mean": [means[0], means[-1]],
        "p99": [p99s[0], p99s[-1]],
        "proven": sum(slides["verdict"] == "PROVEN" for slides in found),
        "flipped": sum(slides["flipped"] for slides in found),
        "flipped_unforeseen": sum(slides["flipped_unforeseen"] for slides in found),
        "fewest_near_threshold": min(slides["near_threshold"] for slides in found),
    }


def _converted(options: argparse.Namespace, recipe: Recipe, network: Path) -> dict[str, Any]:
    proved: list[ProvedEngine] = []

    def kept(*given: Any, **named: Any) -> ProvedEngine:
        proved.append(prove_cpu_engine(*given, **named))
        return proved[-1]

    slides: dict[str, dict[str, Any]] = {}

    def slides_kept(*given: Any, **named: Any) -> dict[str, dict[str, Any]]:
        slides.update(prove_slides(*given, **named))
        return slides

    started, made = time.monotonic(), dict[str, Any]()
    keeping = mock.patch.object(network_files, "prove_cpu_engine", kept)
    with keeping, mock.patch.object(conversion, "prove_slides", slides_kept):
        error = convert_network(options, network, None, made)
    card = json.loads(network.with_suffix(".card.json").read_text())
    row = {
        "recipe": asdict(recipe),
        "commit": commit_of_code(),
        "int8_dot_product": has_int8_dot_product(),
        "accuracy_real_test": card["validation"]["real"]["accuracy"],
        "refused": error,
        "verdict": "REFUSED" if error else made["facts"]["parity"]["verdict"],
        "engines": {engine.entry["precision"]: _engine_row(engine) for engine in proved},
        "int8": _int8_row(made["models"], made["quantized"]) if "models" in made else None,
        "slides": slides,
    }
    said = {precision: engine["gates"]["top1_agreement"]["value"] for precision, engine in row["engines"].items()}
    took = f"{time.monotonic() - started:.0f} s"
    print(f"{recipe.name}: {row['accuracy_real_test']:.4f} {said} {error} ({took})", file=sys.stderr, flush=True)
    return row


def _int8_row(models: Mapping[Any, Any], quantized: Quantized | None) -> dict[str, Any] | None:
    """The layers in floating point, and the shares of what biases may differ by; None without int8."""
    if quantized is None:
        return None
    honest = bias_shares(models["int8"], quantized.source)
    dropped = bias_shares(without_biases(models["int8"]), quantized.source)
    return {
        "float_layers": list(quantized.float_layers),
        "bias_share_most": round(max(honest.values()), 4),
        "bias_share_least_without_biases": round(min(dropped.values()), 4),
    }


def _engine_row(engine: ProvedEngine) -> dict[str, Any]:
    """The verdict, the gates with their intervals, and the types and findings that lose most."""
    parity = engine.parity
    if parity is None:
        raise ValueError("an engine without a parity run: the folder has no test cells")
    gates = {
        gate.name: {"value": round(gate.value, 6), "lowest": gate.lowest, "highest": gate.highest, "bar": gate.bar}
        | {"views": gate.views, "verdict": gate.verdict}
        for gate in parity.gates
    }
    worst = {c.code: [round(c.loss.value, 4), c.loss.views, c.verdict] for c in parity.worst() if c.loss is not None}
    near_ties = {
        c.code: [round(c.near_ties.value * c.near_ties.views), c.near_ties.views] for c in parity.types if c.near_ties
    }
    return {"verdict": parity.verdict, "gates": gates, "lose_most": worst, "near_ties": near_ties}


def _limit_threads(count: int) -> None:
    import tensorflow
    import torch

    torch.set_num_threads(count)
    tensorflow.config.threading.set_intra_op_parallelism_threads(count)
    tensorflow.config.threading.set_inter_op_parallelism_threads(count)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, required=True, metavar="DIR", help="labelled real cells")
    parser.add_argument("--drawn", type=Path, required=True, metavar="DIR", help="drawn cells, for the other types")
    parser.add_argument("--trees", type=Path, required=True, metavar="FILE", help="trees for mds_aa")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where networks and pixels are kept")
    parser.add_argument("--precision", choices=("int8", "fp16"), default="int8", help="default: %(default)s")
    parser.add_argument("--views", type=int, default=1, help="orientations of each test cell (default: %(default)s)")
    parser.add_argument("--no-search", action="store_true", help="take no layer out of int8, whatever the bars say")
    parser.add_argument("--make-only", action="store_true", help="make the networks that are missing, convert none")
    parser.add_argument("--names", action="append", default=[], metavar="NAME", help="only these (default: all)")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads (default: all)")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
