"""Which network file of a bundle runs, on what, by which library. A pure decision; nothing is opened here.

Requests: `cpu`, `gpu`, a library of the GPU (`tensorrt`, `rtx`), or one of these with a precision such as `cpu-fp32`;
`auto` prefers a GPU that is there. Within a device the manifest's order decides: the maker of the bundle puts first
what was proved best. What was asked for and is not there is an error; only `auto` may choose, and says why it did.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge.bundle.manifest import EngineEntry
from edge.errors import EdgeError

# What each request may mean: (device of the bundle's file, library), the preferred first.
_MEANINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "cpu": (("cpu", "openvino"),),
    "gpu": (("gpu", "tensorrt"), ("gpu", "rtx")),
    "tensorrt": (("gpu", "tensorrt"),),
    "rtx": (("gpu", "rtx"),),
}
_MEANINGS["auto"] = (*_MEANINGS["gpu"], *_MEANINGS["cpu"])

# TensorRT for RTX 1.7 knows these; a Hopper or a data-centre Blackwell (9.0, 10.0) is not among them, and for a Turing
# (7.5) it refuses our float32 heads.
_RTX_CAPABILITIES = frozenset({"8.0", "8.6", "8.9", "12.0", "12.1"})


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The network file to open, on which device, in which precision, by which library, and why."""

    file: str
    device: str
    precision: str
    library: str
    reason: str


def usable_libraries(installed: Collection[str], *, compute_capability: str | None) -> frozenset[str]:
    """Return which installed libraries ("openvino", "tensorrt", "rtx") can be used on this machine.

    `compute_capability`: that of the GPU, such as "8.9", or None where there is no GPU with a driver.
    """
    usable = {"openvino"} & set(installed)
    if compute_capability is not None:
        usable |= {"tensorrt"} & set(installed)
        usable |= {"rtx"} & set(installed) if compute_capability in _RTX_CAPABILITIES else set()
    return frozenset(usable)


def choose_engine(engines: Sequence[EngineEntry], usable: Collection[str], requested: str) -> EngineChoice:
    """Choose among the bundle's engines.

    `usable`: libraries this machine can use (see `usable_libraries`). Raises EdgeError MDSE-ENGINE-001 when the request
    cannot be met, naming what the bundle and the machine offer, and MDSE-ENGINE-002 for a request that means nothing.
    """
    device, _, precision = requested.partition("-")
    if device not in _MEANINGS or (device == "auto" and precision) or requested.endswith("-"):
        raise EdgeError("MDSE-ENGINE-002", where=requested)
    for wanted, library in _MEANINGS[device]:
        for entry in engines:
            if entry.device == wanted and library in usable and precision in {"", entry.precision}:
                reason = _reason(requested, library, entry)
                return EngineChoice(entry.file, wanted, entry.precision, library, reason)
    raise EdgeError(
        "MDSE-ENGINE-001",
        where=requested,
        offered=", ".join(f"{entry.device}-{entry.precision}" for entry in engines),
        available=", ".join(sorted(usable)) or "no engine",
    )


def _reason(requested: str, library: str, entry: EngineEntry) -> str:
    if requested == "auto":
        return f"chosen automatically: the first {entry.device} engine of the bundle ({entry.precision}), by {library}"
    return f"as requested: {requested}"
