"""The eight scripted runs: what a slide can go through, each as steps that can be taken again after any death.

A step is done once (`do`), and waited for (`done`); `again` is a person's command that is given again while nothing
happens, because its answer may have died with the daemon.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.fault.bench.changes import PURGE_NOW
from tests.fault.bench.watched_site import WatchedSite
from tests.fault.site import jpeg_like, write_slide

Deed = Callable[[WatchedSite, str], None]
Question = Callable[[WatchedSite, str], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script."""

    done: Question
    do: Deed | None = None
    again: Deed | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """One scripted run.

    state, revisions   how it ends: the slide's state, and (number, status letter) of every result that is sent
    start              the fault may come from the daemon's start on (else: from the first step on)
    fresh              every run has a site of its own, nothing is there yet
    before             done while the daemon stands still, before the start
    setup              steps before the fault is armed
    """

    steps: tuple[Step, ...]
    state: str = "CLOSED"
    revisions: tuple[tuple[int, str], ...] = ((1, "P"),)
    start: bool = False
    fresh: bool = False
    before: Deed | None = None
    setup: tuple[Step, ...] = ()


def export(*contents: bytes) -> Deed:
    """Return the deed of exporting a slide; content may name the slide's own marker file as `{mark}`."""

    def do(site: WatchedSite, name: str) -> None:
        mark = str(site.root / f"mark-{name}").encode()
        write_slide(site.export, name, contents=tuple(content.replace(b"{mark}", mark) for content in contents))

    return do


def is_state(state: str) -> Question:
    """Return the question whether the slide is in a state."""
    return lambda site, name: site.state_of(name) == state


def has_revisions(*revisions: tuple[int, str]) -> Question:
    """Return the question whether the slide has just these results and they have left."""

    def ask(site: WatchedSite, name: str) -> bool:
        facts = site.ask("show", slide=f"di60/{name}")
        found = [(row["number"], row["status"]) for row in facts["revisions"]]
        return found == list(revisions) and facts["slide"]["state"] == "CLOSED"

    return ask


def command(name_of_command: str, status: str) -> Deed:
    """Return a person's command about a result, given only while the newest result does not have that status yet."""

    def do(site: WatchedSite, name: str) -> None:
        facts = site.ask("show", slide=f"di60/{name}")
        if facts["revisions"][-1]["status"] != status:
            site.ask(name_of_command, slide=f"di60/{name}", by="bench", reason="the bench asks")

    return do


def decide(name_of_command: str, *states: str) -> Deed:
    """Return a person's command about a slide, given only in the states that it is for."""

    def do(site: WatchedSite, name: str) -> None:
        if site.state_of(name) in states:
            site.ask(name_of_command, slide=f"di60/{name}", by="bench", reason="the bench asks")

    return do


def reanalyze(site: WatchedSite, name: str) -> None:
    """Ask for the slide's analysis with the present model unless it was made or is under way."""
    facts = site.ask("show", slide=f"di60/{name}")
    if len(facts["revisions"]) == 1 and facts["slide"]["state"] == "CLOSED":
        site.ask("reanalyze", slide=f"di60/{name}", by="bench", reason="the bench asks")


def add_late_file(site: WatchedSite, name: str) -> None:
    """Let the analyzer write one more image into a slide that was reported."""
    part = site.export / f".{name}.late"
    part.write_bytes(jpeg_like(f"{name}/late"))
    part.rename(site.export / name / "9999.jpg")


def begin_purge(site: WatchedSite, name: str) -> None:
    (site.root / PURGE_NOW).touch()


def is_purged(site: WatchedSite, name: str) -> bool:
    """Tell whether the slide's images are gone and its delivery is archived; ends the purge then."""
    facts = site.ask("show", slide=f"di60/{name}")
    states = {row["state"] for revision in facts["revisions"] for row in revision["deliveries"]}
    if facts["slide"]["spool_name"] is not None or states != {"ARCHIVED"}:
        return False
    (site.root / PURGE_NOW).unlink(missing_ok=True)
    return True


def new_model(site: WatchedSite, name: str) -> None:
    """Put a newer bundle in the place of the present one."""
    version = site.root / "bundle" / "version"
    version.write_text(str(int(version.read_text()) + 1 if version.exists() else 2))


UNDONE = {
    1: (
        "DROP INDEX audit_arrivals",
        "DROP TABLE purged",
        "DROP INDEX deliveries_of_state",
        "ALTER TABLE slides DROP COLUMN unlisted_at",
        "ALTER TABLE slides DROP COLUMN priority",
    ),
    2: (
        "DROP INDEX slides_come_again",
        "DROP INDEX slides_by_related",
        "DROP INDEX slides_by_label",
        "ALTER TABLE slides DROP COLUMN filed_as",
    ),
}
"""Of every migration of the journal what takes it back: there is no old program to write an old journal."""


def old_journal(site: WatchedSite, name: str) -> None:
    """Take the journal back to the first schema, unless a death has left it there."""
    connection = sqlite3.connect(site.root / "state" / "journal.sqlite", isolation_level=None)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("BEGIN")
    for step in range(version - 1, 0, -1):
        for statement in UNDONE[step]:
            connection.execute(statement)
    connection.execute("PRAGMA user_version = 1")
    connection.execute("COMMIT")
    connection.close()


def export_while_down(site: WatchedSite, name: str) -> None:
    old_journal(site, name)
    export()(site, name)


CLOSED = is_state("CLOSED")
ARRIVES = Step(CLOSED, export())
RELEASE = decide("release", "LATE")
SCRIPTS = {
    "normal": Script((Step(CLOSED),), start=True, fresh=True, before=export()),
    "retry": Script((Step(CLOSED, export(b"CRASH-ONCE {mark}")),)),
    "quarantine": Script((Step(is_state("QUARANTINED"), export(b"REJECT")),), state="QUARANTINED", revisions=()),
    "late": Script(
        (Step(is_state("LATE"), add_late_file), Step(has_revisions((1, "P"), (2, "P")), RELEASE, RELEASE)),
        revisions=((1, "P"), (2, "P")), setup=(ARRIVES,),
    ),
    "correction": Script(
        (
            Step(has_revisions((1, "P"), (2, "F")), command("finalize", "F"), command("finalize", "F")),
            Step(has_revisions((1, "P"), (2, "F"), (3, "W")), command("withdraw", "W"), command("withdraw", "W")),
        ),
        revisions=((1, "P"), (2, "F"), (3, "W")), setup=(ARRIVES,),
    ),
    "purge": Script((Step(is_purged, begin_purge),), setup=(ARRIVES,)),
    "swap": Script(
        (Step(has_revisions((1, "P"), (2, "P")), reanalyze, reanalyze),), revisions=((1, "P"), (2, "P")), start=True,
        before=new_model, setup=(ARRIVES,),
    ),
    "migration": Script((Step(CLOSED),), start=True, before=export_while_down),
}  # fmt: skip


def take(site: WatchedSite, name: str, steps: tuple[Step, ...]) -> None:
    """Take the steps with one slide, whatever becomes of the daemon on the way."""
    for number, step in enumerate(steps, start=1):
        if step.do is not None:
            do_until_heard(site, name, step.do)
        again = None if step.again is None else partial(step.again, site, name)
        site.wait(partial(step.done, site, name), f"step {number} of {name}", again)


def do_until_heard(site: WatchedSite, name: str, deed: Deed) -> None:
    """Do a deed; where it needs the daemon and that is away, leave it to `again`."""
    from edge.errors import EdgeError

    try:
        deed(site, name)
    except (EdgeError, OSError, KeyError):
        return
