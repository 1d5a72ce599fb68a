"""Does edge-convert refuse every damaged conversion? Writes conversion_refusals.json.

    python -m tests.real.demo_network demo.keras
    python -m benchmarks.conversion_refusals --cells CELLS --network demo.keras --trees TREES --no-search

MODEL (with its card beside it) is converted undamaged first, which must not be refused, then damaged in every way of
conversion_damages.py, through the shipped steps of edge-convert. What a damage costs is measured beside the refusal:
the worst type's loss of agreement on the test cells. Every row says which network was damaged, which commit judged it
and whether layers were searched for; `--names` measures a few anew and leaves the others. For good networks there is
good_networks.py.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.borrowed_trees import borrow_trees
from benchmarks.conversion_damages import DAMAGES, Damage, applied, outputs_of
from benchmarks.known_outputs import outputs_kept
from convert import cell_pixels, conversion, network_files, opened_model
from convert.calibration_cells import choose_cells
from convert.cell_honesty import HonestyParts
from convert.cell_pixels import pixels_from_cells
from convert.conversion_request import ConversionRequest
from edge.catalogue import load_catalogue
from edge.engines.base import EngineOutputs
from edge.errors import EdgeError

RESULT = Path(__file__).with_suffix(".json")
FEWEST_CELLS = 20
CATALOGUE = load_catalogue()


def main() -> int:
    """Convert with every damage and write the figures."""
    options = _options()
    document: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    found = {row["name"]: row for row in document.get("damaged", [])} if options.names else {}
    for made in damaged_conversions(options, options.network):
        found[made["name"]] = made
        _write({"damaged": [row for d in DAMAGES if (row := found.get(d.name))]})
    print(RESULT.read_text())
    return 0


def _write(document: dict[str, Any]) -> None:
    """Write what there is: an interrupted run leaves the rows that it finished."""
    document["summary"] = summary_of(document["damaged"])
    RESULT.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def summary_of(damaged: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count what was refused, what was refused for a true cause, and what cost what a damage must cost at least."""
    return {
        "damaged": len(damaged),
        "damaged_refused": sum(row["refused"] is not None for row in damaged),
        "damaged_named_truly": sum(row["names_the_cause"] for row in damaged),
        "damaged_costing_two_points_or_structural": sum(
            row["kind"] == "structure" or (row["worst_type_loss"] or 0) >= 0.02 for row in damaged
        ),
    }


def damaged_conversions(options: argparse.Namespace, network: Path) -> Iterator[dict[str, Any]]:
    """Convert one network undamaged, then with every damage; give a row each."""
    chosen = choose_cells(options.cells, CATALOGUE)
    size_px = json.loads(network.with_suffix(".card.json").read_text())["image"]["size"]
    pixels = pixels_from_cells(chosen.parity, size_px)
    models: dict[str, Any] = {}
    refused = convert_network(options, network, None, models)
    if refused is not None:
        raise SystemExit(f"the undamaged network is refused already: {refused}")
    print("undamaged: not refused", file=sys.stderr, flush=True)
    original = outputs_of(models["graph"], pixels)
    for damage in DAMAGES:
        if options.names and damage.name not in options.names:
            continue
        started = time.monotonic()
        made: dict[str, Any] = {}
        error = convert_network(options, network, damage, made)
        loss, suffering = _cost(damage, made, original, pixels, chosen, size_px)
        cost = "-" if loss is None else f"{100 * loss:.1f} points {suffering}"
        took = f"{time.monotonic() - started:.0f} s"
        print(f"{damage.name}: {cost}; {error or 'NOT REFUSED'} ({took})", file=sys.stderr, flush=True)
        yield {
            "name": damage.name,
            "kind": damage.kind,
            "network": network.name,
            "commit": commit_of_code(),
            "search": not options.no_search,
            "refused": error,
            "names_the_cause": error is not None and names_the_cause(damage, error, suffering),
            "worst_type_loss": loss,
            "worst_type": suffering,
        }


def commit_of_code() -> str:
    """Return the commit of this checkout, so that a row says which gates it met."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=RESULT.parent, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def names_the_cause(damage: Damage, error: str, suffering: str | None) -> bool:
    """A true cause by the damage's own words; for a coarse file the type that suffers most by our own measurement.

    A type's code counts as a whole word: LY03 is not LY.
    """
    if damage.words:
        return any(word in error for word in damage.words)
    return suffering is not None and re.search(rf"\b{re.escape(suffering)}\b", error) is not None


def convert_network(
    options: argparse.Namespace, network: Path, damage: Damage | None, made: dict[str, Any]
) -> str | None:
    """Convert a copy; return the refusal's text, None for a bundle. `made` takes graph, files and facts."""
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        folder = Path(name)
        shutil.copy(network, folder / "model.keras")
        shutil.copy(network.with_suffix(".card.json"), folder / "model.card.json")
        borrow_trees(options.trees, folder / "trees.json")
        request = ConversionRequest(
            model=folder / "model.keras", out=folder / "bundle", trees={"mds_aa": folder / "trees.json"},
            cells=options.cells, precision=options.precision, parity_views=options.views,
            search=not options.no_search, threads=options.threads,
        )  # fmt: skip
        try:
            with ExitStack() as stack:
                if damage is not None:
                    stack.enter_context(applied(damage, folder))
                stack.enter_context(_kept(made))
                outputs_kept(stack)
                # Out-of-distribution limits and atlas come after every proof; here the proofs are in question.
                stack.enter_context(mock.patch.object(conversion, "_honesty", return_value=HonestyParts({}, {}, ())))
                if damage is None or damage.kind != "pixels":
                    stack.enter_context(mock.patch.object(cell_pixels, "_decoded", _decoded_once))
                made["facts"] = conversion.convert(request, None).facts
        except EdgeError as error:
            return str(error).replace(f"{folder}/", "")
        return None


def _decoded_once(cells: Any, size_px: int) -> Any:
    """Decode the same cells once: the pixels are in question only where the damage lies in them."""
    key = (size_px, *(cell.cell_id for cell in cells))
    if key not in _decoded:
        _decoded[key] = _DECODE(cells, size_px)
        _decoded[key].flags.writeable = False
    return _decoded[key]


_decoded: dict[Any, Any] = {}
_DECODE = cell_pixels._decoded  # the step itself, to keep its result


@contextmanager
def _kept(made: dict[str, Any]) -> Iterator[None]:
    """Keep the graph, the derived models and what was decided for int8 as the conversion has them."""
    # As the damage has left them, not as their own modules define them.
    written, derived = vars(opened_model)["onnx_from_keras"], vars(network_files)["derive_models"]

    def graph_kept(origin: Any) -> Any:
        made["graph"] = written(origin)
        return made["graph"]

    def models_kept(graph: Any, quantized: Any, **options: Any) -> Any:
        made["models"], made["quantized"] = derived(graph, quantized, **options), quantized
        return made["models"]

    graphs = mock.patch.object(opened_model, "onnx_from_keras", graph_kept)
    with graphs, mock.patch.object(network_files, "derive_models", models_kept):
        yield


def _cost(
    damage: Damage, made: Mapping[str, Any], original: EngineOutputs, pixels: Any, chosen: Any, size_px: int
) -> tuple[float | None, str | None]:
    """Return the loss of the type that suffers most, as a share of its cells, and the type."""
    if damage.kind == "structure" or (damage.kind in ("int8", "fp16") and "models" not in made):
        return None, None
    if damage.kind == "pixels":
        with tempfile.TemporaryDirectory() as folder, applied(damage, Path(folder)):
            found = outputs_of(made["graph"], pixels_from_cells(chosen.parity, size_px))
    else:
        found = outputs_of(made["graph"] if damage.kind == "graph" else made["models"][damage.kind], pixels)
    own, other = original.cell_type.argmax(axis=1), found.cell_type.argmax(axis=1)
    losses = {
        code: float((other != own)[own == place].mean())
        for place, code in enumerate(CATALOGUE.type_codes)
        if (own == place).sum() >= FEWEST_CELLS
    }
    worst = max(losses, key=lambda code: losses[code])
    return round(losses[worst], 4), worst


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, required=True, metavar="DIR", help="labelled real cells")
    parser.add_argument("--trees", type=Path, required=True, metavar="FILE", help="trees for mds_aa")
    parser.add_argument("--network", type=Path, required=True, metavar="MODEL", help="the network to damage")
    parser.add_argument("--views", type=int, default=1, help="orientations of each test cell (default: %(default)s)")
    parser.add_argument("--precision", choices=("int8", "fp16"), default="int8", help="default: %(default)s")
    parser.add_argument(
        "--names", action="append", default=[], metavar="DAMAGE", help="only these anew; the others' figures stay"
    )
    parser.add_argument(
        "--no-search", action="store_true", help="take no layer out of int8: the search takes long and proves nothing"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads (default: all)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
