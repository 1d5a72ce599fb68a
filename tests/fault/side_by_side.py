"""Several runs of benches at once: they mostly wait, so a test need not wait for one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fault.bench.contract import Outcome


def side_by_side(work: Path, runs: Sequence[Callable[[Path], Outcome]]) -> list[Outcome]:
    """Run each in an empty folder of its own below `work`; an exception of one is raised when all have ended."""
    folders = [work / str(number) for number in range(len(runs))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(len(runs)) as pool:
        waiting = [pool.submit(run, folder) for run, folder in zip(runs, folders, strict=True)]
    return [one.result() for one in waiting]
