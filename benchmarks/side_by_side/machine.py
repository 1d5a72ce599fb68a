"""What the machine did besides: time that the hypervisor kept back (steal), time that other processes took, load."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAT = Path("/proc/stat")
_IDLE, _IOWAIT, _STEAL = 3, 4, 7


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Processor seconds of all cores since the machine started: in all, stolen by the hypervisor, and worked."""

    total_s: float
    stolen_s: float
    busy_s: float

    def since(self, earlier: ProcessorTime) -> ProcessorTime:
        """Return what was added since `earlier`."""
        return ProcessorTime(
            self.total_s - earlier.total_s, self.stolen_s - earlier.stolen_s, self.busy_s - earlier.busy_s
        )

    @property
    def steal(self) -> float:
        """Share that the hypervisor kept back, 0 to 1."""
        return self.stolen_s / self.total_s if self.total_s else 0.0


def processor_time(stat: Path = STAT) -> ProcessorTime:
    """Read the counters of all cores together."""
    fields = [int(text) for text in stat.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    idle, stolen = fields[_IDLE] + fields[_IOWAIT], fields[_STEAL]
    return ProcessorTime(sum(fields) * tick_s, stolen * tick_s, (sum(fields) - idle - stolen) * tick_s)


def machine_facts() -> dict[str, Any]:
    """Return processor, cores, memory, system and the versions of everything that computes here."""
    from importlib import metadata

    from edge.bench.machine import machine_facts as facts_of_machine
    from edge.engines.processors import instructions

    facts = facts_of_machine()
    versions = dict(facts["versions"])
    for name in ("tensorflow-cpu", "keras", "onnxruntime", "shap", "nvidia-pytriton", "onnx"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # what is not installed computed nothing
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wide = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if name in instructions()]
    return {**facts, "versions": versions, "memory_gb": round(pages / 1e9), "instructions": wide}
