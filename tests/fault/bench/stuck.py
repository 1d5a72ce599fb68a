"""A worker that gets stuck on a slide, politely or deaf in native code: replaced, and at work again, within 5 s more
than its budget. One run holds five such slides; what is measured is the time from getting stuck on one slide to the
beginning of the next in a new process, as the analyzers themselves wrote it down.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.site import write_slide
from tests.fault.watched_site import WatchedSite, counted_faults

STUCK = 5
BUDGET_S = 1.0
REPLACED_S = 5.0
END_S = 60.0
WRONG_END_S = 10.0
"""How long a control waits for what will not come."""


def run_stuck(number: int, work: Path, wrong_part: str = "", stuck: int = STUCK) -> Outcome:
    """Run `stuck` slides that hang and a good one behind them; every one of them is a point."""
    chance = random.Random(number)
    site = WatchedSite(
        work / "site", wrong_part=wrong_part, worker_budget_s=int(BUDGET_S), attempts=1,
        test_analyzer="tests.fault.stuck_analyzer:open_stuck_analyzer",
    )  # fmt: skip
    marks = [work / f"began-{index}" for index in range(stuck + 1)]
    try:
        for index, mark in enumerate(marks):
            word = "NOTE" if index == stuck else "NATIVE" if wrong_part else chance.choice(("SLEEP", "NATIVE"))
            write_slide(site.export, f"S{index}", contents=(f"{word} {mark} {number}".encode(),))
        site.start()
        site.wait_ready()
        done = site.waited(lambda: is_done(site, stuck), WRONG_END_S if wrong_part else END_S)
        alive = site.is_running()
        if done is None:
            return Outcome(stuck, lost=1, other=1, note="the good slide has no result, or a stuck one no reason")
        began_s = sorted(float(mark.read_text()) for mark in marks)
        late = site.watchdog.times_late(began_s[0], began_s[-1])
        status = site.stop()
        lost, duplicate, torn, other = counted_faults(site, [f"S{stuck}"])
    finally:
        site.close()
    took_s = [after - before for before, after in itertools.pairwise(began_s)]
    slow = sum(seconds > BUDGET_S + REPLACED_S for seconds in took_s)
    wrong = [
        f"{slow} replaced late" if slow else "",
        f"the watchdog was late {late} times" if late else "",
        "" if alive and status == 0 else f"exit status {status}",
        other,
    ]
    found = [text for text in wrong if text]
    note = f"longest {max(took_s):.1f} s with a budget of {BUDGET_S:.0f} s"
    return Outcome(stuck, lost, duplicate, torn, len(found), "; ".join([note, *found]))


def is_done(site: WatchedSite, stuck: int) -> bool:
    """Tell whether the good slide has its result and every other one is set aside, in whichever order they came."""
    return site.published(f"S{stuck}") and site.ask("status")["slides"]["QUARANTINED"] == stuck


BENCHES = (
    Bench("stuck_worker", "sites with 5 stuck slides", 20, run_stuck),
    Bench(
        "stuck_worker_without_budget", "sites", 1,
        lambda number, work: run_stuck(number, work, "budgets_are_not_kept"), "stuck_worker",
    ),
    Bench(
        "stuck_worker_joined", "sites", 1,
        lambda number, work: run_stuck(number, work, "children_are_joined_without_limit"), "stuck_worker",
    ),
)  # fmt: skip
