"""The largest memory of a contestant: of its own process, and of what it started and still runs, such as a server.

Read where the kernel keeps it for a program (VmHWM). The resource usage of a process is no measure of that: it begins
with what the process held that started it.
"""

from __future__ import annotations

from pathlib import Path

_KIB_IN_MIB = 1024


def peak_memory_mb(process: int) -> dict[str, int]:
    """Return `peak_rss_mb` of a process, and `peak_rss_below_mb`, summed over the processes below it if there are any.

    In MiB. What ended before is not counted, pages that are shared count for each, and the peaks of several processes
    need not have come together: the sum is the most that they held. Raises ProcessLookupError for a process that is
    not there.
    """
    own = _peak_kib(process)
    if own is None:
        raise ProcessLookupError(f"process {process} is not there or has ended")
    below = [peak for child in _below(process) if (peak := _peak_kib(child)) is not None]
    found = {"peak_rss_mb": round(own / _KIB_IN_MIB)}
    return found | ({"peak_rss_below_mb": round(sum(below) / _KIB_IN_MIB)} if below else {})


def _peak_kib(process: int) -> int | None:
    """None for a process that has ended, waited for or not."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def _below(process: int) -> list[int]:
    children: list[int] = []
    for thread in Path(f"/proc/{process}/task").glob("*"):
        try:
            children += [int(word) for word in (thread / "children").read_text(encoding="ascii").split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # this thread has ended; its children were given to another
    return [*children, *(below for child in children for below in _below(child))]
