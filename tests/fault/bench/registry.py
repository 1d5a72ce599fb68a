"""The list of fault benches, and the digest of the code that they test."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from tests.fault.bench.contract import Bench

REPOSITORY = Path(__file__).resolve().parents[3]
MODULES: tuple[str, ...] = (
    "sweeps", "random_kill", "power_cuts",
    "mutated_images", "truncations", "hostile_fields", "arrivals", "decisions", "soak",
    "full_disk", "share", "clock", "stuck", "systemd", "network",
)  # fmt: skip
"""Modules of this package that hold benches: each exports `BENCHES: tuple[Bench, ...]`."""
TESTED = ("journal*.py", "daemon/**/*.py", "delivery/**/*.py", "writers/**/*.py")
RESERVED = frozenset({"controls", "date", "machine", "earlier_machines", "digest", "schema"})


def load_benches(modules: tuple[str, ...] | None = None) -> dict[str, Bench]:
    """Return every bench by its name; raises ValueError for a name used twice and a control of nothing."""
    benches: dict[str, Bench] = {}
    for module in MODULES if modules is None else modules:
        for bench in importlib.import_module(f"{__package__}.{module}").BENCHES:
            if bench.name in benches or bench.name in RESERVED or not bench.name.replace("_", "").isalnum():
                raise ValueError(f"{module}: {bench.name!r} is used already or is no name of a bench")
            benches[bench.name] = bench
    for bench in benches.values():
        proved = benches.get(bench.control_of) if bench.control_of is not None else None
        if bench.control_of is not None and (proved is None or proved.control_of is not None):
            raise ValueError(f"{bench.name} is the control of {bench.control_of!r}, which is no bench")
    return benches


def digest_of_tested(root: Path = REPOSITORY / "edge") -> str:
    """Return the SHA-256 (hex) over the code under test: journal, daemon, delivery and writers.

    Counts of several sittings add up for one digest only: other code has to earn its figures again.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in TESTED for path in root.glob(pattern)}):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
