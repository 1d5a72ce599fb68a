"""The whole run, part after part; what an earlier run of the same settings has finished is not measured again."""

from __future__ import annotations

import datetime
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import layers, trees, waiting
from benchmarks.side_by_side.cold import PLANNED_S as COLD_S
from benchmarks.side_by_side.cold import measure_cold
from benchmarks.side_by_side.contestant_process import REPOSITORY, NotRunError, environment
from benchmarks.side_by_side.contestants import ENTRIES
from benchmarks.side_by_side.machine import machine_facts
from benchmarks.side_by_side.material import Material
from benchmarks.side_by_side.material_files import make_files, material_of
from benchmarks.side_by_side.progress import Progress
from benchmarks.side_by_side.results import result_document
from benchmarks.side_by_side.rounds import OPEN_S, Seconds, finished_rounds, measure_size, slices_of, starter
from benchmarks.side_by_side.slides import Pictures, pictures, write_slide_folder

CELLS = 200
PARTS = ("sizes", "cold", "layers", "trees", "waiting")
TREE_ROUNDS = 5
TREES_S, LAYERS_S = 60.0, 8.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured. `rounds` by image size; `cold` pairs of cold starts at the sizes that have a bar."""

    rounds: dict[int, int]
    seconds: Seconds
    threads: int
    contestants: tuple[str, ...]
    parts: tuple[str, ...]
    cold: dict[int, int]
    waiting: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Folders: networks (paper<px>/), real cells or None, state of this run, files that are made once; interpreters."""

    networks: Path
    cells: Path | None
    state: Path
    material: Path
    triton_python: str | None
    product_python: str = sys.executable

    @property
    def log(self) -> Path:
        """Where the libraries' own words go."""
        return self.state / "contestants.log"


def measure(settings: Settings, places: Places) -> dict[str, Any]:
    """Run every part that was asked for and return the results as JSON values.

    Raises FileNotFoundError where a network is missing and ValueError where the state is another run's.
    """
    places.state.mkdir(parents=True, exist_ok=True)
    cells = pictures(places.cells, CELLS)
    slide = _slide(places.material, cells)
    materials = {
        size_px: material_of(places.networks, size_px, places.material, slide, places.state / "results")
        for size_px in settings.rounds
    }
    machine = machine_facts()
    _require_same(places.state, settings, materials, machine)
    for material in materials.values():
        make_files(material, places.log, lambda text: print(text, file=sys.stderr, flush=True))
    progress = Progress(planned_seconds(settings))
    found: dict[str, Any] = {"sizes": {}, "cold": {}, "layers": {}}
    # The sizes with bars first, then what does not depend on a size: a run that is cut short has what matters most.
    barred = [size_px for size_px in materials if size_px in settings.cold]
    for size_px in barred:
        _measure_one(size_px, materials[size_px], settings, places, progress, found)
    _measure_growth(settings, places, cells, progress, found)
    for size_px in (size_px for size_px in materials if size_px not in barred):
        _measure_one(size_px, materials[size_px], settings, places, progress, found)
    facts = {"date": datetime.date.today().isoformat(), "machine": machine, "cells": cells.kind}
    return result_document(settings, materials, facts, found)


def planned_seconds(settings: Settings) -> float:
    """Return the seconds of everything together, as planned."""
    planned = 0.0
    for size_px, count in settings.rounds.items():
        if "sizes" in settings.parts:
            planned += OPEN_S * len(settings.contestants) + count * round_seconds(settings)
        if "cold" in settings.parts:
            planned += settings.cold.get(size_px, 0) * sum(COLD_S.values())
        planned += LAYERS_S if "layers" in settings.parts else 0.0
    planned += TREES_S if "trees" in settings.parts else 0.0
    if "waiting" in settings.parts:
        planned += sum(waiting.PLANNED_S.get(count, 0.11 * count + 10) for count in settings.waiting)
    return planned


def round_seconds(settings: Settings) -> float:
    """Return the seconds of one round, as planned."""
    return sum(settings.seconds.of(kind) for _, kind in slices_of(settings.contestants, 0))


def _measure_growth(
    settings: Settings, places: Places, cells: Pictures, progress: Progress, found: dict[str, Any]
) -> None:
    if "trees" in settings.parts:
        progress.title = "trees"
        words = [trees.__name__, str(places.material), str(TREE_ROUNDS)]
        found["trees"] = _once(places.state / "trees.json", words, places.log, progress, TREES_S)
    if "waiting" in settings.parts:
        progress.title = "daemon"
        file = places.state / "waiting.jsonl"
        found["waiting"] = waiting.measure_waiting(file, settings.waiting, cells.files, places.state, progress)


def _measure_one(
    size_px: int, material: Material, settings: Settings, places: Places, progress: Progress, found: dict[str, Any]
) -> None:
    progress.title = f"{size_px} px"
    if "sizes" in settings.parts:
        file = places.state / f"rounds-{size_px}.jsonl"
        done = len(finished_rounds(file))
        if done:
            progress.skip(f"{done} rounds", done * round_seconds(settings))
        start = starter(material, settings.threads, places.log, places.triton_python, places.product_python)
        count = settings.rounds[size_px]
        found["sizes"][size_px] = measure_size(file, settings.contestants, count, settings.seconds, start, progress)
    if "cold" in settings.parts and settings.cold.get(size_px):
        file, count = places.state / f"cold-{size_px}.jsonl", settings.cold[size_px]
        found["cold"][size_px] = measure_cold(
            file, count, material, settings.threads, places.log, progress, places.product_python
        )
    if "layers" in settings.parts:
        words = [layers.__name__, json.dumps(material.as_words()), str(settings.threads)]
        file = places.state / f"layers-{size_px}.json"
        found["layers"][size_px] = _once(file, words, places.log, progress, LAYERS_S)


def _once(file: Path, words: list[str], log: Path, progress: Progress, planned_s: float) -> Any:
    """Run a module that prints one JSON line, and keep the line. Raises NotRunError where it fails."""
    if not file.exists():
        progress.begin(words[0].rpartition(".")[2], planned_s)
        with log.open("ab") as errors:
            command = [sys.executable, "-m", *words]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=errors, env=environment(), cwd=REPOSITORY, check=False
            )
        if done.returncode:
            raise NotRunError(f"{words[0]} failed; see {log}")
        file.write_bytes(done.stdout.splitlines()[-1] + b"\n")
        progress.end("done")
    return json.loads(file.read_text(encoding="ascii"))


def _slide(material: Path, cells: Pictures) -> Path:
    """Return the folder of the slide that is measured, written once for these very pictures."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in cells.files)).hexdigest()[:12]
    folder = material / f"slide-{digest}"
    if not folder.exists():
        partial = material / f"partial-{digest}"
        write_slide_folder(partial, cells.files, "SIDE-BY-SIDE")
        partial.rename(folder)
    return folder


def _require_same(state: Path, settings: Settings, materials: dict[int, Material], machine: dict[str, Any]) -> None:
    """Refuse to go on with the rounds of another machine, network, library or length of slices."""
    unknown = [name for name in settings.contestants if name not in ENTRIES]
    if unknown:
        raise ValueError(f"no such contestant: {', '.join(unknown)}")
    seconds = settings.seconds
    facts = {
        "seconds": [seconds.rate, seconds.latency, seconds.slide],
        "threads": settings.threads,
        "cpu": machine["cpu"],
        "cores": machine["cores"],
        "versions": machine["versions"],
        "networks": {str(size): _digest_of(material) for size, material in materials.items()},
    }
    file = state / "settings.json"
    if not file.exists():
        file.write_text(json.dumps(facts, indent=1) + "\n", encoding="ascii")
        return
    kept = json.loads(file.read_text(encoding="ascii"))
    kept_networks = kept.pop("networks")
    networks = facts.pop("networks")
    clash = any(kept_networks.get(size, digest) != digest for size, digest in networks.items())
    if kept != facts or clash:
        raise ValueError(f"{state} holds a run with other settings, networks or libraries: give another --state")
    file.write_text(json.dumps({**facts, "networks": kept_networks | networks}, indent=1) + "\n", encoding="ascii")


def _digest_of(material: Material) -> str:
    manifest = (material.bundle / "manifest.json").read_bytes()
    return hashlib.sha256(material.keras_model.read_bytes() + manifest).hexdigest()[:16]
