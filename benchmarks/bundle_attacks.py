"""Is every changed bundle refused before anything of it runs? Writes bundle_attacks.json.

    python -m benchmarks.bundle_attacks [--samples 10000] [--stride 1]

Every single bit of manifest.json and manifest.sig of the demo bundle is flipped, `--samples` bits of its networks,
trees and golden cells, and each attack of bundle_attack_kinds.py is made. Each changed bundle goes through
`open_model`, which the daemon and every command use, in this process, with markers on whatever runs bytes of a bundle:
the library loader, the trees' loader, the engine. The undamaged bundle must trip all of them; a changed one none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.bundle_attack_kinds import ATTACKS, PICKLE_RAN, Attack
from edge import trees
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.engines import openvino
from edge.errors import EdgeError
from edge.model import open_model

RESULT = Path(__file__).with_suffix(".json")
MARKED = ("library", "checkpoint", "engine")


class Markers:
    """Counts every time that bytes of a bundle would run, and goes on: the control must open as it always does."""

    def __init__(self) -> None:
        self.tripped: Counter[str] = Counter()

    @contextmanager
    def set(self) -> Iterator[Markers]:
        """Put the markers on the loaders."""
        places = (
            ("library", trees, "trees_from_library"),
            ("checkpoint", trees, "trees_from_checkpoint"),
            ("engine", openvino, "open_openvino"),
        )
        patches = [
            mock.patch.object(owner, name, self._marking(what, getattr(owner, name))) for what, owner, name in places
        ]
        for patch in patches:
            patch.start()
        try:
            yield self
        finally:
            for patch in patches:
                patch.stop()

    def _marking(self, what: str, right: Any) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            self.tripped[what] += 1
            return right(*given, **options)

        return call


def main() -> int:
    """Make all attacks and write the figures; status 1 where one came through or the control did not."""
    options = _options()
    key = DEMO_PUBLIC_KEY.read_bytes()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.work) as work, Markers().set() as markers:
        folder = Path(work) / "bundle"
        shutil.copytree(DEMO_BUNDLE, folder)
        open_model(folder, public_key=key, threads=1).close()
        control = dict(markers.tripped)
        markers.tripped.clear()
        unsigned = _unsigned_library(folder, markers)
        document: dict[str, Any] = {"control_tripped": control, "unsigned_library_loaded": unsigned, "flips": {}}
        for name in ("manifest.json", "manifest.sig"):
            flips = range(0, 8 * (folder / name).stat().st_size, options.stride)
            document["flips"][name] = _flip_bits(folder, name, flips, key)
        document["flips"]["networks, trees, golden"] = _flip_samples(folder, options.samples, key)
        document["attacks"] = [_attacked(attack, Path(work)) for attack in ATTACKS]
        document["tripped"] = dict(markers.tripped)
    document["seconds"] = round(time.monotonic() - started, 1)
    document["summary"] = summary_of(document)
    if options.stride == 1 and not options.no_write:
        RESULT.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    print(json.dumps(document["summary"], indent=1))
    return status_of(document["summary"])


def status_of(summary: Mapping[str, Any]) -> int:
    """Return 0 where nothing came through and the undamaged bundle tripped every marker: a dead marker sees nothing."""
    return 0 if summary["came_through"] == 0 and summary["control_trips_every_marker"] else 1


def summary_of(document: dict[str, Any]) -> dict[str, Any]:
    """Count what was tried and what came through: opened, or tripped a marker."""
    flips = sum(row["flipped"] for row in document["flips"].values())
    refused = sum(row["refused"] for row in document["flips"].values())
    held = sum(row["held"] for row in document["attacks"])
    markers, loaded = sum(document["tripped"].values()), document["unsigned_library_loaded"]
    return {
        "flips": flips,
        "attacks": len(document["attacks"]),
        "came_through": sum((flips - refused, len(document["attacks"]) - held, markers, loaded)),
        "control_trips_every_marker": set(document["control_tripped"]) == set(MARKED),
    }


def _unsigned_library(folder: Path, markers: Markers) -> int:
    """Open the bundle, compiled library and all, as a site does that trusts no key; return how often it was loaded."""
    open_model(folder, public_key=None, threads=1).close()
    loaded = markers.tripped["library"]
    markers.tripped.clear()
    return loaded


def _flip_bits(folder: Path, name: str, places: Any, key: bytes) -> dict[str, Any]:
    path = folder / name
    original = path.read_bytes()
    codes: Counter[str] = Counter()
    flipped = bytearray(original)
    started = time.monotonic()
    for count, place in enumerate(places, start=1):
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        flipped[place // 8] ^= 1 << place % 8
        codes[_refusal(folder, key)] += 1
        _say(name, count, len(places), started)
    path.write_bytes(original)
    return {"flipped": len(places), "refused": len(places) - codes["opened"], "codes": dict(sorted(codes.items()))}


def _flip_samples(folder: Path, samples: int, key: bytes) -> dict[str, Any]:
    """Flip bits drawn evenly over the bytes of each kind of file, a third of the samples each."""
    kinds = {
        "networks": ("cells.int8.onnx", "cells.fp16.onnx"),
        "trees": tuple(str(p.relative_to(folder)) for p in sorted(folder.glob("trees/*/*"))),
        "golden": tuple(str(p.relative_to(folder)) for p in sorted(folder.glob("golden/*"))),
    }
    draw = random.Random(20190913)  # noqa: S311  # repeatable, not secret
    codes: Counter[str] = Counter()
    started = time.monotonic()
    for count in range(samples):
        files = kinds[("networks", "trees", "golden")[count % 3]]
        sizes = [(folder / name).stat().st_size for name in files]
        path = folder / draw.choices(files, sizes)[0]
        _flip_in_place(path, place := draw.randrange(8 * path.stat().st_size))
        codes[_refusal(folder, key)] += 1
        _flip_in_place(path, place)
        _say("networks, trees, golden", count + 1, samples, started)
    return {"flipped": samples, "refused": samples - codes["opened"], "codes": dict(sorted(codes.items()))}


def _flip_in_place(path: Path, place: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(descriptor, 1, place // 8)[0]
        os.pwrite(descriptor, bytes([byte ^ 1 << place % 8]), place // 8)
    finally:
        os.close(descriptor)


def _attacked(attack: Attack, work: Path) -> dict[str, Any]:
    """Make one attack on a fresh copy; most for a site that takes unsigned bundles: only the check itself can hold."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name) / "bundle"
        shutil.copytree(DEMO_BUNDLE, folder)
        attack.make(folder)
        found = _refusal(folder, DEMO_PUBLIC_KEY.read_bytes() if attack.signed else None)
    return {"name": attack.name, "found": found, "held": found in attack.expected and not PICKLE_RAN.exists()}


def _refusal(folder: Path, key: bytes | None) -> str:
    try:
        open_model(folder, public_key=key, threads=1).close()
    except EdgeError as error:
        return error.code
    return "opened"


def _say(what: str, count: int, total: int, started: float) -> None:
    if count % 5000 == 0 or count == total:
        elapsed = time.monotonic() - started
        left = elapsed / count * (total - count)
        print(
            f"{what}: {count} of {total}, {elapsed:.0f} s elapsed, about {left:.0f} s to go",
            file=sys.stderr,
            flush=True,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="flips in other files (default: %(default)s)")
    parser.add_argument("--stride", type=int, default=1, help="every N-th bit of manifest and signature; 1 writes JSON")
    parser.add_argument("--no-write", action="store_true", help="print only")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
