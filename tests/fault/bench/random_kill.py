"""SIGKILL to a random process at a random moment, again and again, while slides come in and the LIS takes results.

Random kills seldom hit the microseconds that matter: the sweeps do. This bench finds what nobody thought of scripting.
A run is KILLS kills of one site.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.bench.sweep import CONTROL_PATIENCE_S, settle
from tests.fault.bench.warm_start import WarmInterpreter, nursery
from tests.fault.bench.watched_site import WatchedSite, outcome_of
from tests.fault.site import write_slide

KILLS = 30
RUNS = 100
LONGEST_S = 0.6
VICTIMS = ("supervisor", "supervisor", "scanner", "worker", "deliver")


def kill_at_random(number: int, work: Path, *, wrong: tuple[str, ...] = (), kills_max: int = KILLS) -> Outcome:
    """Do one run of kills."""
    chance = random.Random(f"kill {number}")
    with WarmInterpreter() as warm:
        site = WatchedSite(work, warm=warm, wrong=wrong)
        site.patience_s = CONTROL_PATIENCE_S if wrong else site.patience_s
        kills = 0
        try:
            site.start()
            site.wait(site.answers, "the daemon answers")
            while kills < kills_max:
                for place in range(chance.choice((0, 1, 2))):
                    name = f"K{kills:02d}-{place}"
                    write_slide(site.export, name)
                    site.expected[name] = ("CLOSED", [(1, "P")])
                time.sleep(chance.random() * LONGEST_S)
                kill_one(site, chance.choice(VICTIMS))
                kills += 1
            for name in site.expected:
                site.wait(lambda name=name: site.state_of(name) == "CLOSED", f"{name} is CLOSED")
            settle(site)
        except AssertionError as error:
            site.faults.append(str(error)[:1500])
            site.close_process()
        finally:
            site.close()
        return outcome_of(site, kills, f"run {number}")


def kill_one(site: WatchedSite, victim: str) -> None:
    """Kill the process; the supervisor where the child is between two lives."""
    assert site.process is not None
    pid = site.children().get(victim, site.process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if pid == site.process.pid:
        site.process.wait()
        site.revive()


CONTROL = partial(kill_at_random, wrong=("recovery_clears_spool",))
BENCHES = (
    Bench("random_kill", f"run of {KILLS} kills", RUNS, kill_at_random, prepare=nursery),
    Bench("spool_cleared_at_random_kills", f"run of {KILLS} kills", 1, CONTROL, "random_kill", nursery),
)
