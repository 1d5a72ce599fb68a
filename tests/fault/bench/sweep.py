"""One scripted run after another with one call of one process ending badly in each, and what became of the slides."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from edge.errors import EdgeError
from tests.fault.bench.call_watch import Call, CallWatch, Fault
from tests.fault.bench.contract import Outcome
from tests.fault.bench.scripts import SCRIPTS, Script, take
from tests.fault.bench.warm_start import WarmInterpreter
from tests.fault.bench.watched_site import WatchedSite, outcome_of

CONTROL_PATIENCE_S = 20.0
KINDS = ("supervisor", "scanner", "worker", "deliver")


def sweep(name: str, kind: str, faults: Sequence[Fault], work: Path, *, wrong: tuple[str, ...] = ()) -> Outcome:
    """Take the script once for each fault, on one site or, where the script wants it, on a fresh one each.

    A product that was made wrong has to show it once: what comes after is not tried.
    """
    script = SCRIPTS[name]
    groups = [[fault] for fault in faults] if script.fresh else [list(faults)]
    with WarmInterpreter() as warm:
        outcomes = []
        for number, group in enumerate(groups):
            outcomes.append(sweep_site(work / str(number), script, kind, group, warm, wrong=wrong))
            if wrong and outcomes[-1].faults:
                break
    return Outcome(
        *(sum(getattr(o, field) for o in outcomes) for field in ("points", "lost", "duplicate", "torn", "other")),
        note=" | ".join(f"{name}: {o.note}" for o in outcomes if o.note),
    )


def sweep_site(
    root: Path,
    script: Script,
    kind: str,
    faults: Sequence[Fault],
    warm: WarmInterpreter,
    *,
    wrong: tuple[str, ...] = (),
) -> Outcome:
    """Take the script once for each fault on one site, and judge the site at the end."""
    root.mkdir()
    with CallWatch(root) as watch, opened(root, script, kind, watch, warm, wrong) as site:
        points, notes = 0, []
        if script.fresh:
            site.is_hit_once = lambda: watch.hit is not None
        for number, fault in enumerate(faults):
            slide = f"S{number:03d}"
            try:
                play(site, watch, script, slide, fault)
            except AssertionError as error:
                site.faults.append(str(error)[:1500])
            if watch.hit is not None:
                points += 1
                notes.append(f"{slide} {fault} of the {kind}: {watch.hit}")
            watch.disarm()
            if site.faults:
                break  # what follows would judge the first fault again and again
        settle(site)
        return outcome_of(site, points, ", ".join(notes))


@contextlib.contextmanager
def opened(root: Path, script: Script, kind: str, watch: CallWatch, warm: WarmInterpreter, wrong: tuple[str, ...]):  # type: ignore[no-untyped-def]  # a context manager
    """Give a site with its processes, and put them away."""
    site = WatchedSite(root, kind=kind, watch=watch, wrong=wrong, warm=warm)
    site.patience_s = CONTROL_PATIENCE_S if wrong else site.patience_s
    try:
        yield site
    finally:
        site.close()


def play(site: WatchedSite, watch: CallWatch, script: Script, slide: str, fault: Fault | None) -> None:
    """Take the script with one slide, the fault armed where the script says."""
    site.expected[slide] = (script.state, list(script.revisions))
    if not script.fresh and site.process is None:
        site.start()
        site.wait(lambda: is_at_rest(site), "the daemon and its children are ready")
    if script.setup:
        take(site, slide, script.setup)
    if not script.fresh and script.start:
        site.shut_down()
    if script.before is not None:
        script.before(site, slide)
    watch.arm(fault, record=fault is None)
    if script.start:
        site.start()
    take(site, slide, script.steps)
    site.wait(site.answers, f"the daemon answers after {slide}")
    # A journal that runs ahead of the drop folder shows the end before it: the fault must still find its call.
    site.wait(lambda: watch.hit is not None or site.lis.has_all(slide, list(script.revisions)), f"{slide} has left")


def is_at_rest(site: WatchedSite) -> bool:
    """Tell whether the start is over: the daemon ready, the model open."""
    status = site.ask("status")
    return bool(status["ready"] and status["model"]["ready"])


def settle(site: WatchedSite) -> None:
    """Stop, start and stop: what a start has to clean away is cleaned."""
    site.stop_watching()
    try:
        if site.process is None:
            return
        for is_last in (False, True):
            status = site.shut_down()
            if status != 0:
                site.faults.append(f"the daemon stopped with status {status}")
            if not is_last:
                site.start()
    except (AssertionError, EdgeError) as error:
        site.faults.append(f"at the end: {error}"[:1500])
        site.close_process()


def count_calls(name: str, kind: str, work: Path) -> list[Call]:
    """Take the script undisturbed; return the calls of one kind of process that change something, in order."""
    script = SCRIPTS[name]
    with WarmInterpreter() as warm, CallWatch(work) as watch, opened(work, script, kind, watch, warm, ()) as site:
        play(site, watch, script, "S000", None)
        calls = list(watch.calls or ())
        settle(site)
        outcome = outcome_of(site, 0, "")
        if outcome.faults:
            raise AssertionError(f"an undisturbed run of {name} shows faults: {outcome}")
        return calls
