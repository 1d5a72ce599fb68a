"""What acceptance tests share: slides of drawn cells, a site whose daemon runs the real bundle, the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edge.simulator.cell_sources import DrawnCells
from edge.simulator.films import FilmKind, compose_film
from edge.simulator.scene import random_look
from tests.fault.site import REPOSITORY, Site

PATIENCE_S = 180.0
"""How long a process may take before a test gives up: far above what a loaded machine needs."""


@dataclass(frozen=True)
class TestedBundle:
    """A bundle and the public key that signed it (None: not verified, as on a site without a key)."""

    __test__ = False

    path: Path
    public_key: Path | None

    @property
    def options(self) -> list[str]:
        """The options by which a command runs on this bundle."""
        key = ["--public-key", str(self.public_key)] if self.public_key else []
        return ["--bundle", str(self.path), *key]

    @property
    def config_line(self) -> str:
        return f'public_key = "{self.public_key}"' if self.public_key else ""

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.path / "manifest.json").read_bytes())


def real_site(root: Path, bundle: TestedBundle, *, allow_demo: bool = True, **settings: Any) -> Site:
    """Return a site with HL7 (acknowledged by files in root/ack) and JSON outputs and no stand-in for the models."""
    site = Site(root, formats=("hl7", "json"), test_analyzer="", bundle=bundle.path, key=bundle.config_line, **settings)
    (root / "ack").mkdir()
    text = site.config.read_text()
    text = text.replace('drop-hl7"\nack = "none"', f'drop-hl7"\nack = "ack-file"\nack_path = "{root}/ack"')
    text = text.replace("allow_demo = true", f"allow_demo = {str(allow_demo).lower()}")
    site.config.write_text(text + "[assess]\nassess_all = true\n")
    return site


def wait_for_model(site: Site) -> None:
    site.wait_ready()
    site.wait_for(lambda: site.ask("status")["model"]["ready"], "the model is ready", PATIENCE_S)


def wait_for_states(site: Site, states: Mapping[str, str]) -> None:
    """Wait until every slide key shows its state."""

    def reached() -> bool:
        return all(site.state_of(key) == state for key, state in states.items())

    try:
        site.wait_for(reached, "the states", PATIENCE_S)
    except AssertionError as error:
        found = {key: site.state_of(key) for key in states}
        raise AssertionError(f"expected {states}, found {found}\n{error}") from error


def journal(site: Site, *arguments: str) -> dict[str, Any]:
    """Run edge-journal as a person does and return its JSON answer."""
    return json.loads(run("edge.commands.journal", *arguments, "--config", str(site.config), "--json").stdout)


def shown(site: Site, slide_key: str) -> dict[str, Any]:
    return journal(site, "show", f"di60/{slide_key}")


def records_of(site: Site) -> dict[str, list[dict[str, Any]]]:
    """Return the published JSON records by slide key, by revision."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in site.results("json"):
        record = json.loads(path.read_bytes())
        found.setdefault(record["slide"]["slide_key"], []).append(record)
    return {key: sorted(records, key=lambda record: record["revision"]) for key, records in found.items()}


def run(module: str, *arguments: str, expect: Collection[int] = (0,)) -> subprocess.CompletedProcess[bytes]:
    """Run one command of this checkout to its end; its exit status must be one of `expect`."""
    ended = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode in expect, f"exit {ended.returncode}: {ended.stderr.decode(errors='replace')[-3000:]}"
    return ended


@cache
def drawn_jpegs(seed: int, count: int = 12, kind: FilmKind = "NORMAL") -> tuple[bytes, ...]:
    """Return the drawn cells of a film as JPEG files; every seed gives other pictures."""
    random = np.random.default_rng([seed, 2])
    film = compose_film(kind, count, random)
    return tuple(cell.data for cell in DrawnCells(size_px=160).supply(film.cells, random_look(random), random))


def drawn_files(seed: int, count: int = 12, kind: FilmKind = "NORMAL") -> dict[str, bytes]:
    """Return the cell files of a slide of drawn cells by their names in the folder."""
    return {f"wbc/{number:04d}.jpg": data for number, data in enumerate(drawn_jpegs(seed, count, kind), start=1)}


def export_slide(export: Path, slide_key: str, files: Mapping[str, bytes], /, **metadata: object) -> Path:
    """Export a finished slide in one step; `metadata` becomes slide.json, left out when there is none."""
    building = export / f".{slide_key}.part"
    building.mkdir()
    for name, data in files.items():
        (building / name).parent.mkdir(exist_ok=True)
        (building / name).write_bytes(data)
    if metadata:
        (building / "slide.json").write_text(json.dumps(metadata))
    return building.rename(export / slide_key)
