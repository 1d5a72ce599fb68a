"""Random human decisions against a model: what people may command, in any order, while slides come and change.

A run is 100 schedules of up to 40 acts each (`tests/fault/decision_machine.py`), drawn by hypothesis from the run's
number. It ends at its first fault, which is told with the fewest acts that lead to it. `lost` counts a slide that
nobody would have been told of, `duplicate` a result that left twice, after a newer one, or for two samples, `other`
everything else (`tests/fault/decision_judge.py`).

Wrong rules for the controls: the same images under another name are another slide; an output never asks whether a newer
result has left already; nothing is asked before an analysis or of a decision, and files put back take nothing back.
"""

from __future__ import annotations

import logging
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

import edge.daemon.analysis as analysis_module
import edge.daemon.arrival as arrival_module
import edge.daemon.decisions as decisions_module
import edge.daemon.likeness as likeness_module
import tests.fault.decision_world as world_module
from edge.daemon.arrival import Arrival
from edge.daemon.books import Books
from edge.journal_results import ResultBook
from edge.journal_rows import SlideRow
from tests.fault.bench.contract import Bench, Outcome
from tests.fault.decision_judge import DecisionError, OrderError, PatientError, StrandedError, TwiceError
from tests.fault.decision_machine import DecisionMachine, shortened

SCHEDULES_PER_RUN = 100
ACTS = 40
DUPLICATE = (TwiceError, OrderError, PatientError)


def run_schedules(number: int, work: Path, *, schedules: int = SCHEDULES_PER_RUN, short: bool = True) -> Outcome:
    """Run the schedules of run `number`; `short`: look for the fewest acts that lead to a fault."""
    last: list[DecisionMachine] = []

    class Machine(DecisionMachine):
        place = work

        def teardown(self) -> None:
            last[:] = [self]
            super().teardown()

    seed(number)(Machine)
    rules = settings(
        max_examples=schedules, stateful_step_count=ACTS, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # thousands of refusals are the daemon's daily work here
    try:
        run_state_machine_as_test(Machine, settings=rules)
        return Outcome(Machine.schedules)
    except DecisionError as fault:
        points, acts = Machine.schedules, last[0].acts
        found = fault
        if short:
            found, acts = shortened(Machine, last[0].steps, fault)
        lost, duplicate = int(isinstance(found, StrandedError)), int(isinstance(found, DUPLICATE))
        return Outcome(points, lost, duplicate, 0, 1 - lost - duplicate, noted(found, acts))
    finally:
        logging.disable(before)


def noted(fault: DecisionError, acts: list[str]) -> str:
    """Return what a person needs to find a fault again, in one line: acts are parted by `/`."""
    return f"{type(fault).__name__}: {fault}: {' / '.join(acts)}"


# ---- the controls


def run_twins(number: int, work: Path) -> Outcome:
    """Wrong: the same images under another name are a new slide."""
    with patch.object(likeness_module, "twin_of", lambda *_, **__: None):
        return run_schedules(number, work, short=False)


def run_older_after_newer(number: int, work: Path) -> Outcome:
    """Wrong: a result leaves although a newer one of its slide has left already."""
    with (
        patch.object(ResultBook, "newer_sent", lambda *_: ""),
        patch.object(world_module, "plan_missed_results", lambda *_: None),
    ):
        return run_schedules(number, work, short=False)


def run_without_gate(number: int, work: Path) -> Outcome:
    """Wrong: nothing is asked before an analysis or of a decision, and files that are put back take nothing back."""

    def note_nothing(books: Books, newest: SlideRow, known: SlideRow, arrival: Arrival, *, in_work: bool) -> SlideRow:
        return books.journal.slides.amend(newest.id, "same files seen again", signature=arrival.signature)

    with (
        patch.object(analysis_module, "ask_gate", lambda *_: (None, None)),
        patch.object(decisions_module, "require_turn", lambda *_: None),
        patch.object(arrival_module, "note_same_files", note_nothing),
    ):
        return run_schedules(number, work, short=False)


BENCHES = (
    Bench("decisions", "100 schedules", 100, run_schedules),
    Bench("decisions_without_likeness", "100 schedules", 1, run_twins, control_of="decisions"),
    Bench("decisions_older_after_newer", "100 schedules", 1, run_older_after_newer, control_of="decisions"),
    Bench("decisions_without_gate", "100 schedules", 1, run_without_gate, control_of="decisions"),
)
