"""What a fault bench is, and what one run of it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FAULTS = ("lost", "duplicate", "torn", "other")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run counted.

    points     places at which the fault was really put; 0 where the run met none
    lost       slides without their result or stated reason
    duplicate  results that were sent twice
    torn       result files that were seen incomplete
    other      anything else that must not be: wrong state, damaged journal, broken audit, files left behind, late alarm
    note       what a person needs to find a fault again; "" where there was none
    """

    points: int
    lost: int = 0
    duplicate: int = 0
    torn: int = 0
    other: int = 0
    note: str = ""

    @property
    def faults(self) -> int:
        """How many faults the run showed."""
        return self.lost + self.duplicate + self.torn + self.other


@dataclass(frozen=True, slots=True)
class Bench:
    """One bench. `run(number, work)` does run `number` (0-based) in the empty folder `work`.

    The number fixes every random choice. A control (`control_of` names the bench that it proves) runs the same code on
    a product that was made wrong in the test's process: it must show faults, or the bench could not see them.
    `prepare()` is called once, in the process that the runs are forked from.
    """

    name: str
    unit: str
    full_count: int
    run: Callable[[int, Path], Outcome]
    control_of: str | None = None
    prepare: Callable[[], object] | None = None
