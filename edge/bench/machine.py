"""The machine while a benchmark ran: processor, load, and what was taken away from it: stolen time, heat, clock.

A figure without these says nothing. On a virtual machine the hypervisor may run somebody else in our time ("steal");
a hot processor lowers its clock; other programs on the same cores are the load.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edge.engines.processors import processor_name, usable_cores

_ON_THE_CPU = ("numpy", "opencv-python-headless", "simplejpeg", "openvino", "treelite", "xgboost-cpu")
_LIBRARIES = (*_ON_THE_CPU, "tensorrt", "tensorrt-rtx", "pycuda", "cuda-python")
STEAL_PCT_MAX = 5.0
"""With more of the time stolen a figure is shown, but nothing should be concluded from it."""
_FREE_LOAD = 0.5  # of other programs, per core


@dataclass(frozen=True, slots=True)
class Moment:
    """Counters of the kernel at one moment: processor time in all and stolen, in ticks, and throttling events."""

    total_ticks: int
    stolen_ticks: int
    throttled: int


def machine_facts() -> dict[str, Any]:
    """Return processor, cores, load, kernel and the versions of what computes."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # a library that is not installed computed nothing
    return {
        "cpu": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "physical_cores": usable_cores(),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def moment(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Moment:
    """Return the counters now."""
    words = (proc / "stat").read_text(encoding="ascii", errors="replace").splitlines()[0].split()[1:]
    ticks = [int(word) for word in words[:8]]  # guest time is inside of user time already
    stolen = ticks[7] if len(ticks) > 7 else 0
    throttled = sum(
        _number(file) or 0 for file in sys.glob("devices/system/cpu/cpu*/thermal_throttle/core_throttle_count")
    )
    return Moment(sum(ticks), stolen, throttled)


def disturbance(before: Moment, after: Moment, load_before: float, sys: Path = Path("/sys")) -> dict[str, Any]:
    """Return what disturbed a run: steal in per cent, throttling events, the clock where the kernel tells it, notes."""
    total = max(after.total_ticks - before.total_ticks, 1)
    steal_pct = round(100 * (after.stolen_ticks - before.stolen_ticks) / total, 2)
    clocks_mhz = [
        khz // 1000 for file in sys.glob("devices/system/cpu/cpu*/cpufreq/scaling_cur_freq") if (khz := _number(file))
    ]
    throttled = after.throttled - before.throttled
    return {
        "load_before": round(load_before, 2),
        "steal_pct": steal_pct,
        "throttled": throttled,
        "clock_mhz": [min(clocks_mhz), max(clocks_mhz)] if clocks_mhz else None,
        "notes": _notes(load_before, steal_pct, throttled),
    }


def _notes(load_before: float, steal_pct: float, throttled: int) -> list[str]:
    cores, notes = len(os.sched_getaffinity(0)), []
    if load_before > _FREE_LOAD * cores:
        notes.append(
            f"other programs were busy before the run (load {load_before:.1f} on {cores} cores): "
            "the figures are lower than this machine's own"
        )
    if steal_pct > STEAL_PCT_MAX:
        notes.append(f"{steal_pct:.1f} % of the time went to other machines of this host: shown, not to be judged")
    if throttled:
        notes.append(f"the processor slowed down {throttled} times because of heat")
    return notes


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
