"""Every call of the daemon's processes that changes something, killed or failed, in eight scripted runs.

    python -m tests.fault.bench.sweeps      counts the calls anew and writes them to sweep_points.json

A run takes a batch of points of one script and one kind of process. Batches are shuffled once and for all, so that a
part of the runs is a fair sample of all.
"""

from __future__ import annotations

import errno
import json
import random
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.fault.bench.call_watch import Fault
from tests.fault.bench.contract import Bench, Outcome
from tests.fault.bench.scripts import SCRIPTS
from tests.fault.bench.sweep import KINDS, count_calls, sweep
from tests.fault.bench.warm_start import nursery

COUNTED = Path(__file__).with_name("sweep_points.json")
BATCH = 8
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR", "ESTALE", "EMFILE")
LASTING = ("EIO", "ENOSPC", "EROFS", "ESTALE")
LASTING_CALLS = 8
LASTING_STRIDE = 7
SLACK = 2
"""Calls beyond the counted ones: a run may make one or two more than the counted run did."""
POINTS: dict[str, dict[str, list[str]]] = json.loads(COUNTED.read_text()) if COUNTED.exists() else {}
"""Script -> kind of process -> the name of each call in order. A message (`sendto`) is killed only."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A run: some faults of one script and one kind of process, one after the other."""

    script: str
    kind: str
    faults: tuple[Fault, ...]


def batches_of(kind: str, errors: Iterable[int], *, more: int = 0, stride: int = 1) -> tuple[Batch, ...]:
    """Return the batches of all scripts for one kind of process, shuffled the same way every time."""
    batches = []
    for script in SCRIPTS:
        calls = POINTS.get(script, {}).get(kind, [])
        for error in errors:
            numbers = [n for n, name in enumerate(calls, start=1) if name != "sendto" or not error]
            numbers += [len(calls) + extra for extra in range(1, SLACK + 1)] if numbers else []
            faults = [Fault(number, error, more) for number in numbers[::stride]]
            groups = [tuple(faults[start : start + BATCH]) for start in range(0, len(faults), BATCH)]
            batches += [Batch(script, kind, group) for group in groups]
    random.Random(6).shuffle(batches)
    return tuple(batches)


def run_batch(batches: tuple[Batch, ...], number: int, work: Path, *, wrong: tuple[str, ...] = ()) -> Outcome:
    """Do one batch."""
    batch = batches[number]
    return sweep(batch.script, batch.kind, batch.faults, work, wrong=wrong)


def bench_of(name: str, batches: tuple[Batch, ...]) -> Bench:
    """Return the bench that does these batches."""
    return Bench(
        name, f"batch of up to {BATCH} calls", max(1, len(batches)), partial(run_batch, batches), prepare=nursery
    )


def control_of(wrong: str, proved: str, script: str, kind: str, numbers: Iterable[int], error: int = 0) -> Bench:
    """Return a control, named as what was made wrong: the same sweep of some calls."""
    batches = (Batch(script, kind, tuple(Fault(number, error) for number in numbers)),)
    return Bench(wrong, "sweep of some calls", 1, partial(run_batch, batches, wrong=(wrong,)), proved, nursery)


def numbers_of(script: str, kind: str, name: str) -> list[int]:
    """Return the numbers of the calls of one name."""
    return [n for n, call in enumerate(POINTS.get(script, {}).get(kind, []), start=1) if call == name]


def made_controls() -> tuple[Bench, ...]:
    """Return the controls of the sweeps, each where its fault shows: at the publishing, the copying, the commits."""
    published = numbers_of("normal", "deliver", "renameat2")[-1:]
    publishing = [number + more for number in published for more in range(-1, 4)]
    commits = numbers_of("normal", "supervisor", "fdatasync")
    copied = numbers_of("normal", "scanner", "openat")
    return (
        control_of("publish_then_journal", "kill_deliver", "normal", "deliver", publishing),
        control_of("journal_then_publish", "kill_deliver", "normal", "deliver", publishing),
        control_of("clean_before_recovery", "kill_deliver", "normal", "deliver", publishing),
        # A busy machine shows it at the first of these, an idle one, whose slides wait for nobody, at the last.
        control_of("recovery_clears_spool", "kill_supervisor", "normal", "supervisor", commits[9:20]),
        control_of("scanner_order_kept", "kill_scanner", "normal", "scanner", copied[:1]),
        control_of("worker_order_kept", "kill_worker", "retry", "worker", [1]),
        control_of("commit_errors_swallowed", "error_supervisor", "normal", "supervisor", commits[8:17:2], errno.EIO),
        control_of("copy_errors_swallowed", "error_scanner", "normal", "scanner", copied[-3:], errno.ENOSPC),
        control_of("publish_errors_swallowed", "error_deliver", "normal", "deliver", published, errno.EIO),
    )


CONTROLS = made_controls()


def made_benches() -> tuple[Bench, ...]:
    """Return every sweep."""
    found = []
    for kind in KINDS:
        found.append(bench_of(f"kill_{kind}", batches_of(kind, [0])))
    # With a stand-in for the models, the worker changes nothing itself: it answers, and can be killed.
    for kind in ("supervisor", "scanner", "deliver"):
        numbers = [getattr(errno, name) for name in ERRORS]
        found.append(bench_of(f"error_{kind}", batches_of(kind, numbers)))
        lasting = [getattr(errno, name) for name in LASTING]
        batches = batches_of(kind, lasting, more=LASTING_CALLS - 1, stride=LASTING_STRIDE)
        found.append(bench_of(f"lasting_error_{kind}", batches))
    return (*found, *CONTROLS)


BENCHES = made_benches()


def main() -> None:
    """Count the calls of every script and kind of process."""
    counted: dict[str, dict[str, list[int]]] = {}
    for script in SCRIPTS:
        for kind in KINDS:
            with tempfile.TemporaryDirectory(prefix="mds-edge-count-") as work:
                calls = count_calls(script, kind, Path(work))
            counted.setdefault(script, {})[kind] = [call.name for call in calls]
            print(f"{script:12} {kind:12} {len(calls):5}", flush=True)  # noqa: T201 - a bench prints
    COUNTED.write_text(json.dumps(counted, indent=1) + "\n")


if __name__ == "__main__":
    main()
