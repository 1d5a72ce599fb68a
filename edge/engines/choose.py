"""Which network file of a bundle runs, and on what. A pure decision; nothing is opened here.

Requests: `cpu`, `gpu`, or one with a precision such as `cpu-fp32`; `auto` prefers a GPU that is there. Within a device
the manifest's order decides: the maker of the bundle puts first what was proved best. A device that was asked for and
is not there is an error; only `auto` may choose, and the choice carries its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge.bundle.manifest import EngineEntry
from edge.errors import EdgeError

_AUTO_ORDER = ("gpu", "cpu")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The network file to open, on which device, in which precision, and why."""

    file: str
    device: str
    precision: str
    reason: str


def choose_engine(engines: Sequence[EngineEntry], available: Collection[str], requested: str) -> EngineChoice:
    """Choose among the bundle's engines.

    `available`: devices this machine can use ("cpu", "gpu"). Raises EdgeError MDSE-ENGINE-001 when the request cannot
    be met, naming what the bundle and the machine offer, and MDSE-ENGINE-002 for a request that means nothing.
    """
    device, _, precision = requested.partition("-")
    if device not in {"auto", "cpu", "gpu"} or (device == "auto" and precision) or requested.endswith("-"):
        raise EdgeError("MDSE-ENGINE-002", where=requested)
    devices = _AUTO_ORDER if device == "auto" else (device,)
    for wanted in devices:
        for entry in engines:
            if entry.device == wanted and wanted in available and precision in {"", entry.precision}:
                return EngineChoice(entry.file, wanted, entry.precision, _reason(requested, wanted, entry))
    raise EdgeError(
        "MDSE-ENGINE-001",
        where=requested,
        offered=", ".join(f"{entry.device}-{entry.precision}" for entry in engines),
        available=", ".join(sorted(available)) or "no device",
    )


def _reason(requested: str, device: str, entry: EngineEntry) -> str:
    if requested == "auto":
        return f"chosen automatically: the first {device} engine of the bundle ({entry.precision})"
    return f"as requested: {requested}"
