"""A share that hangs, fails, slows down or looks empty, beginning with every operation that a slide costs on it.

One run puts one fault at eight operations, spread over them all, each on a site of its own. Before the fault one
slide is in the spool; it must leave as if nothing were wrong. The watchdog must be fed in time all along, an alarm must
be up within 30 s of the fault, and the slide that met it must arrive when the share is well again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault.bad_share import FAULTS, BadShare, bad_share
from tests.fault.bench.contract import Bench, Outcome
from tests.fault.site import write_slide
from tests.fault.watched_site import WatchedSite, counted_faults, states_ever

SIDE_BY_SIDE = 8
OPERATIONS = 200
"""So many operations on the share follow the arrival of a slide of three cells (195 counted)."""
ALARM_S = 30.0
ANALYSIS_S = 3.0
SLACK_S = 3.0
HOLD_S = 5.0
END_S = 120.0
WRONG_END_S = 8.0
"""How long a control waits for what will not come."""
UNKILLABLE_S = 80.0


@dataclass(slots=True)
class Point:
    """What one site showed."""

    lost: int = 0
    duplicate: int = 0
    torn: int = 0
    wrong: list[str] = field(default_factory=list)
    met: bool = False


class ShareSite(WatchedSite):
    """A site whose export folder is the bad share; slides are written behind it."""

    def __init__(self, root: Path, share: BadShare, wrong_part: str = "") -> None:
        super().__init__(root, wrong_part=wrong_part, scan_s=0.5, quiet_s=1)
        self.share = share

    @property
    def export(self) -> Path:
        return self.share.backing


def try_fault(fault: str, operation: int, work: Path, wrong_part: str, hold_s: float) -> Point:
    """Put one fault at one operation and say what came of it."""
    point = Point()
    with bad_share(work / "site" / "export", work / "share") as share:
        site = ShareSite(work / "site", share, wrong_part)
        try:
            meet_fault(site, share, fault, operation, hold_s, point)
        finally:
            site.close()
    return point


def meet_fault(site: ShareSite, share: BadShare, fault: str, operation: int, hold_s: float, point: Point) -> None:
    site.start(MDS_EDGE_TEST_SECONDS=str(ANALYSIS_S))
    site.wait_ready()
    write_slide(site.export, "SPOOLED")
    site.wait_for(lambda: site.state_of("SPOOLED") == "SPOOLED", "it is in the spool")
    spooled_s = time.monotonic()
    write_slide(site.export, "MEETS")
    share.order(fault, first_operation=operation)
    point.met = site.waited(lambda: share.met_at_s() is not None, 30.0) is not None
    met_s = share.met_at_s() or time.monotonic()
    left_s = published_by(site, "SPOOLED", spooled_s + ANALYSIS_S + SLACK_S + (0.0 if site.wrong_part else 20.0))
    if left_s is None or left_s - spooled_s > ANALYSIS_S + SLACK_S:
        point.wrong.append(f"the spooled slide left after {'ever' if left_s is None else left_s - spooled_s} s")
    already = site.published("MEETS")
    patience_s = hold_s if site.wrong_part else ALARM_S + 15.0
    raised = site.waited(lambda: answers(site, lambda: source_alarms(site)), patience_s - time.monotonic() + met_s)
    late_s = time.monotonic() - met_s
    if (raised is None or late_s > ALARM_S) and point.met and not already:
        point.wrong.append(f"no alarm within {late_s:.1f} s")
    time.sleep(max(0.0, met_s + hold_s - time.monotonic()))
    healed_s = time.monotonic()
    share.order("")
    if site.waited(lambda: site.published("SPOOLED", "MEETS"), WRONG_END_S if site.wrong_part else END_S) is None:
        point.wrong.append("the slide never arrived")
    late = site.watchdog.times_late(spooled_s, healed_s)
    if late:
        longest_s = site.watchdog.longest_pause_s(spooled_s, healed_s)
        point.wrong.append(f"watchdog late {late} times, longest pause {longest_s:.1f} s")
    judge(site, point)


def judge(site: ShareSite, point: Point) -> None:
    """Stop the site and read what lies there."""
    if not site.is_running() or site.stop() != 0:
        point.wrong.append("the daemon ended or did not stop")
        site.close()
        site.process = None
    point.lost, point.duplicate, point.torn, other = counted_faults(site, ["SPOOLED", "MEETS"])
    point.wrong += [other] if other else []
    if "VANISHED" in states_ever(site):
        point.wrong.append("a slide was called vanished")


def published_by(site: ShareSite, name: str, deadline_s: float) -> float | None:
    """Return when a slide's result was seen; None when it was not by the deadline."""
    while time.monotonic() < deadline_s:
        if site.published(name):
            return time.monotonic()
        time.sleep(0.05)
    return None


def source_alarms(site: ShareSite) -> bool:
    return any(name.startswith(("source-", "folder-", "scanner")) for name in site.alarms())


def answers(site: ShareSite, question: Callable[[], bool]) -> bool:
    """Ask the daemon; one that does not answer has raised no alarm."""
    from edge.errors import EdgeError

    try:
        return question()
    except EdgeError:
        return False


def run_faults(number: int, work: Path, faults: tuple[str, ...], wrong_part: str = "", hold_s: float = HOLD_S,
               side_by_side: int = SIDE_BY_SIDE) -> Outcome:  # fmt: skip
    """Run one fault at `side_by_side` operations."""
    fault = faults[number % len(faults)]
    first, step = 1 + number // len(faults), OPERATIONS // SIDE_BY_SIDE
    points: dict[int, Point] = {}

    def one(operation: int) -> None:
        try:
            points[operation] = try_fault(fault, operation, work / str(operation), wrong_part, hold_s)
        except (AssertionError, OSError, ValueError) as error:
            points[operation] = Point(wrong=[f"{type(error).__name__}: {str(error)[-300:]}"])

    threads = [threading.Thread(target=one, args=(first + index * step,)) for index in range(side_by_side)]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    found = [f"operation {operation}: {text}" for operation, point in points.items() for text in point.wrong]
    return Outcome(
        sum(point.met for point in points.values()),
        sum(point.lost for point in points.values()),
        sum(point.duplicate for point in points.values()),
        sum(point.torn for point in points.values()),
        len(found),
        "; ".join([f"{fault} from operation {first} on, and every {step}th after it", *found]),
    )


BENCHES = (
    Bench(
        "share", "faults, each at 8 operations", len(FAULTS) * OPERATIONS // SIDE_BY_SIDE,
        lambda n, work: run_faults(n, work, FAULTS),
    ),
    Bench(
        "share_unkillable_scanner", "hangs beyond the scanner's budget, at 4 operations", 4,
        lambda n, work: run_faults(n, work, ("hang",), hold_s=UNKILLABLE_S, side_by_side=4),
    ),
    Bench(
        "share_unkillable_is_joined", "hangs beyond the scanner's budget", 1,
        lambda n, work: run_faults(
            n, work, ("hang",), "children_are_joined_without_limit", hold_s=UNKILLABLE_S, side_by_side=1
        ), "share_unkillable_scanner",
    ),
    Bench(
        "share_empty_is_believed", "faults at 4 operations", 1,
        lambda n, work: run_faults(n, work, ("empty",), "empty_source_means_vanished", side_by_side=4), "share",
    ),
    Bench(
        "share_touched_by_supervisor", "faults at 2 operations", 1,
        lambda n, work: run_faults(
            n, work, ("hang",), "supervisor_looks_at_the_share", hold_s=12.0, side_by_side=2
        ), "share",
    ),
)  # fmt: skip
