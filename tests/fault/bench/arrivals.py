"""Random arrival schedules against a model: none started early, none missed, none twice.

A run is 100 schedules of up to 30 acts each (`tests/fault/arrival_machine.py`), drawn by hypothesis from the run's
number. `lost` counts schedules with a slide that was missed, `duplicate` with one that was taken twice, `other` with
one that was taken early. A run ends at its first fault.

Wrong rules for the controls: a folder whose files are old is complete; the last folder of a look is taken as it is; the
same images under another name are another slide; some folders are never written into the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

import edge.daemon.likeness as likeness_module
import edge.daemon.scanner as scanner_module
from edge.daemon.scanner import Scanner
from edge.daemon.settle import Verdict
from edge.daemon.sources import SourceKeeper
from tests.fault.arrival_machine import ArrivalMachine, EarlyError, MissedError, TwiceError
from tests.fault.arrival_world import QUIET_S
from tests.fault.bench.contract import Bench, Outcome

SCHEDULES_PER_RUN = 100
ACTS = 30


def run_schedules(number: int, work: Path, *, schedules: int = SCHEDULES_PER_RUN) -> Outcome:
    """Run the schedules of run `number`."""

    class Machine(ArrivalMachine):
        place = work

    seed(number)(Machine)
    rules = settings(
        max_examples=schedules, stateful_step_count=ACTS, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    lost = duplicate = other = 0
    note = ""
    # A finished folder is looked at once in eight looks, not in 150: what a share tells late is seen in this time.
    with patch.object(scanner_module, "RECHECK_PASSES", 8):
        try:
            run_state_machine_as_test(Machine, settings=rules)
        except MissedError as error:
            lost, note = 1, str(error)
        except TwiceError as error:
            duplicate, note = 1, str(error)
        except EarlyError as error:
            other, note = 1, str(error)
    return Outcome(Machine.schedules, lost, duplicate, 0, other, note)


# ---- the controls


def run_old_files(number: int, work: Path) -> Outcome:
    """Wrong: complete is what has not changed for the quiet time by its files' own times."""

    def observe(self: Scanner, name: str, folder: Any, look: Any) -> None:
        newest_s = max((p.stat().st_mtime for p in (self._root / name).glob("*.jpg")), default=time.time())
        if look.file_count and time.time() - newest_s > QUIET_S:
            self._send("settled", folder=name, signature=look.signature, reason="", stat=False)
        else:
            sound(self, name, folder, look)

    sound = Scanner._observe
    with patch.object(Scanner, "_observe", observe):
        return run_schedules(number, work)


def run_last_of_the_look(number: int, work: Path) -> Outcome:
    """Wrong: the last folder of a look is taken although it is too young."""

    def judge(self: Scanner, names: list[str], changed: set[str]) -> None:
        self._last = names[-1]  # type: ignore[attr-defined]  # set above
        sound_judge(self, names, changed)

    def observe(self: Scanner, name: str, folder: Any, look: Any) -> None:
        if name == self._last and look.file_count:  # type: ignore[attr-defined]  # set above
            reason = Verdict("settled").reason
            self._send("settled", folder=name, signature=look.signature, reason=reason, stat=False)
        else:
            sound_observe(self, name, folder, look)

    sound_judge, sound_observe = Scanner._judge, Scanner._observe
    with patch.object(Scanner, "_judge", judge), patch.object(Scanner, "_observe", observe):
        return run_schedules(number, work)


def run_twins(number: int, work: Path) -> Outcome:
    """Wrong: the same images under another name are a new slide."""
    with patch.object(likeness_module, "twin_of", lambda *_, **__: None):
        return run_schedules(number, work)


def run_forgetful(number: int, work: Path) -> Outcome:
    """Wrong: a folder that appears in a crowd is not written into the journal."""

    def seen(self: SourceKeeper, folders: list[str]) -> None:
        sound(self, [folder for folder in folders if not folder.endswith(("2", "5"))])

    sound: Callable[[SourceKeeper, list[str]], None] = SourceKeeper._on_seen
    with patch.object(SourceKeeper, "_on_seen", seen):
        return run_schedules(number, work)


BENCHES = (
    Bench("arrivals", "100 schedules", 100, run_schedules),
    Bench("folders_complete_by_file_times", "100 schedules", 1, run_old_files, control_of="arrivals"),
    Bench("last_folder_of_a_look_is_taken", "100 schedules", 1, run_last_of_the_look, control_of="arrivals"),
    Bench("other_name_other_slide", "100 schedules", 1, run_twins, control_of="arrivals"),
    Bench("folders_forgotten", "100 schedules", 1, run_forgetful, control_of="arrivals"),
)
