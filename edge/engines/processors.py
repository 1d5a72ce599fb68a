"""What this process may really use of the processor: cores (affinity, hyper-threads, the control group's quota), int8.

A program that starts a thread for every processor of the machine, although a container grants it two, waits most of the
time for threads that are not running. Two hyper-threads of one core count once: they share its multipliers.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

_INT8_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})
"""Of x86-64 and of 64-bit Arm, as the kernel names them."""
_PROC, _SYS = Path("/proc"), Path("/sys")


def usable_cores(proc: Path = _PROC, sys: Path = _SYS) -> int:
    """Return the physical cores among the processors of this process, no more than its quota pays for; at least 1."""
    cores = {_siblings(sys, cpu) for cpu in os.sched_getaffinity(0)}
    quota = cpu_quota(proc, sys)
    return max(1, len(cores) if quota is None else min(len(cores), int(quota)))


def cpu_quota(proc: Path = _PROC, sys: Path = _SYS) -> float | None:
    """Return the smallest quota of processors on the way from this process's control group to the root (cgroup v2).

    None where nothing limits it, or the files cannot be read: then affinity alone counts.
    """
    group = _group(proc)
    if group is None:
        return None
    root = sys / "fs" / "cgroup"
    quotas = []
    for folder in (group, *group.parents):
        words = _text(root / str(folder).lstrip("/") / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def processor_name(proc: Path = _PROC) -> str:
    """Return the processor's name as the kernel gives it, or the architecture where it gives none."""
    for line in _text(proc / "cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def has_int8_dot_product(proc: Path = _PROC) -> bool:
    """Tell whether the processor sums products of int8 numbers in 32 bits at once. False where nothing is known of it.

    One without (x86-64 with AVX2 or AVX-512 alone) sums pairs in 16 bits, which two products of u8 and s8 overflow.
    """
    return not instructions(proc).isdisjoint(_INT8_DOT_PRODUCTS)


def instructions(proc: Path = _PROC) -> frozenset[str]:
    """Return the processor's instruction sets by the kernel's names; none where it tells none."""
    lines = (line.partition(":") for line in _text(proc / "cpuinfo").splitlines())
    return frozenset(w for name, _, words in lines if name.strip() in ("flags", "Features") for w in words.split())


def _group(proc: Path) -> Path | None:
    for line in _text(proc / "self" / "cgroup").splitlines():
        if line.startswith("0::"):
            return Path(line.removeprefix("0::"))
    return None


def _siblings(sys: Path, cpu: int) -> str:
    """Return the processors that share a core with this one, as the kernel writes them; its own number if unknown."""
    topology = sys / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology"
    return _text(topology / "core_cpus_list") or _text(topology / "thread_siblings_list") or str(cpu)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
