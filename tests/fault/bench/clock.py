"""A wall clock that jumps: ten years ahead and back, to 1970, by hours and seconds, fifty times while slides arrive.

The real daemon runs under a false wall clock: no slide may be taken early, no child may be called stuck, nothing may
stay behind. (What is removed by age, tests/unit/test_retention.py drives through false clocks.)
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.false_clock import YEARS_S, FalseClock, missing_for_clock
from tests.fault.site import write_slide
from tests.fault.watched_site import WatchedSite, counted_faults, key_of, states_ever

STEPS = 50
PAUSE_S = 0.3
ANALYSIS_S = 0.8
QUIET_S = 2
GROWING = 12
END_S = 60.0
WRONG_END_S = 8.0
TO_1970 = "1970"


def random_offset_s(chance: random.Random) -> float:
    """Return how wrong the clock is after a step: right, seconds, hours, ten years, or at 1970."""
    kind = chance.choice(("right", "seconds", "hours", "years", "years", TO_1970))
    if kind == TO_1970:
        return -time.time() + 3600.0 * chance.random()
    size = {"right": 0.0, "seconds": 90.0, "hours": 86400.0, "years": 10 * YEARS_S}[kind]
    return chance.uniform(-size, size)


def run_clock(number: int, work: Path, wrong_part: str = "", steps: int = STEPS) -> Outcome:
    """Run the daemon through `steps` steps of its clock."""
    if why := missing_for_clock():
        raise OSError(why)
    chance = random.Random(number)
    site = WatchedSite(work / "site", wrong_part=wrong_part, quiet_s=QUIET_S, scan_s=0.2)
    clock = FalseClock(work / "clock")
    site.extra_environment = clock.environment()
    names = [f"T{index}" for index in range(steps // 10)]
    grown = min(GROWING, -(-steps // 3))
    try:
        clock.set(-time.time() + 60.0 if number % 4 == 3 else random_offset_s(chance))
        site.start(MDS_EDGE_TEST_SECONDS=str(ANALYSIS_S))
        site.wait_ready()
        began_s = time.monotonic()
        growing = site.export / "GROWS"
        growing.mkdir()
        for step in range(steps):
            clock.set(random_offset_s(chance))
            if step % 10 == 0:
                write_slide(site.export, names[step // 10])
            if step % 3 == 0 and step // 3 < GROWING:
                grow(growing, step // 3)
            time.sleep(PAUSE_S * (0.5 + chance.random()))
        all_in = site.waited(lambda: site.published(*names, "GROWS"), WRONG_END_S if wrong_part else END_S)
        restarts = site.ask("status")["restarts"] if site.is_running() else {"supervisor": 1}
        late = site.watchdog.times_late(began_s, time.monotonic())
        status = site.stop() if site.is_running() else -1
        lost, duplicate, torn, other = counted_faults(site, [*names, "GROWS"])
        images = [json.loads(path.read_bytes())["images"] for path in site.results() if key_of(path) == "GROWS"]
        states = states_ever(site)
    finally:
        site.close()
    wrong = [
        "something stays behind" if all_in is None else "",
        f"children were replaced: {restarts}" if restarts else "",
        f"the watchdog was late {late} times" if late else "",
        f"exit status {status}" if status else "",
        "" if images == [grown] else f"the growing slide was taken with {images} of {grown} images",
        f"states {sorted(states)}" if states & {"LATE", "HELD", "VANISHED", "QUARANTINED"} else "",
        other,
    ]
    found = [text for text in wrong if text]
    return Outcome(steps, lost, duplicate, torn, len(found), "; ".join(found))


def grow(folder: Path, index: int) -> None:
    """Write one more image of a slide that comes slowly: never quiet for `QUIET_S`."""
    (folder / f"{index:04d}.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes([index]) * 64)
    if index == 0:
        (folder / "slide.json").write_text('{"sample_id": "S-GROWS"}')


BENCHES = (
    Bench("clock", "sites with 50 steps", 20, run_clock),
    Bench(
        "clock_budgets_by_wall", "sites with 50 steps", 1,
        lambda number, work: run_clock(number, work, "wall_clock_for_budgets"), "clock",
    ),
    Bench(
        "clock_quiet_time_by_wall", "sites with 50 steps", 1,
        lambda number, work: run_clock(number, work, "wall_clock_for_quiet_time"), "clock",
    ),
)  # fmt: skip
