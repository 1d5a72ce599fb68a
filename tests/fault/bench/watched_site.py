"""A site whose daemon may die or be hurt at any call, with an LIS that takes every result as soon as it sees it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.audit import verify_audit
from edge.daemon.control_client import reply_from_daemon
from edge.daemon.durable import sync_folder
from edge.delivery.durable import OWN_NAMES
from edge.errors import EdgeError
from tests.fault.bench import changes
from tests.fault.bench.call_watch import CallWatch
from tests.fault.bench.contract import Outcome
from tests.fault.bench.warm_start import WarmInterpreter
from tests.fault.site import Site

LIS_EVERY_S = 0.01
POLL_S = 0.04
PATIENCE_S = 180.0
ANSWER_S = 2.0
"""How long an answer is waited for: a daemon that begins anew may forget a question, and it is asked again."""
FOR_EVER = (4, 78)
"""Exit statuses after which systemd does not start the daemon again: no passing fault may lead there."""


class WatchedSite(Site):
    """`expected` maps every exported slide to its final state and the revisions that have to be sent."""

    def __init__(self, root: Path, *, kind: str = "", watch: CallWatch | None = None, wrong: tuple[str, ...] = (),
                 warm: WarmInterpreter | None = None, outside: Path | None = None,
                 **settings: Any) -> None:  # fmt: skip
        super().__init__(root, attempts=10, **settings)
        self.outside = root if outside is None else outside
        self._facts = {
            "root": str(self.outside), "kind": kind, "address": watch.address if watch is not None else "",
            "changes": ["shorten_pauses", *wrong], "warm": False,
        }  # fmt: skip
        self.expected: dict[str, tuple[str, list[tuple[int, str]]]] = {}
        self.faults: list[str] = []
        self.deaths = 0
        self.patience_s = PATIENCE_S
        self._warm = warm
        self.started_s = 0.0
        self.is_hit_once: Callable[[], bool] = lambda: False
        """Whether no life after this one has to be watched any more."""
        self.lis = Lis(self)

    def start(self, **environment: str) -> None:
        self.started_s = time.time()  # as the file system writes it
        if self._warm is None:
            super().start(**environment)
        else:
            argv = self.command()[3:]
            self.process = self._warm.start(argv, self.environment(**environment), self.log)  # type: ignore[assignment]  # looks like one

    def command(self, *arguments: str) -> list[str]:
        command = super().command(*arguments)
        return [command[0], "-m", "tests.fault.bench.entry", *command[3:]]

    def environment(self, **more: str) -> dict[str, str]:
        quick = {"MDS_EDGE_TEST_SECONDS": "0.01", "PYTHONDONTWRITEBYTECODE": "1"}
        return super().environment(**{changes.ENVIRONMENT: json.dumps(self._facts)}, **quick, **more)

    def ask(self, command: str, **facts: Any) -> dict[str, Any]:
        return reply_from_daemon(self.root / "run" / "s", {"command": command, **facts}, timeout_s=ANSWER_S)

    def children(self) -> dict[str, int]:
        """Return the running children by their kind."""
        assert self.process is not None
        found = {}
        for path in (self.outside / "pids").glob("*"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(path.read_text())
                if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    found[path.name] = pid
        return found

    def revive(self) -> None:
        """Start the daemon again when it has died, as systemd does."""
        assert self.process is not None
        status = self.process.poll()
        if status is None:
            return
        self.deaths += 1
        if status in FOR_EVER:
            self.faults.append(f"exit status {status}, after which systemd would not start it again")
        if self.is_hit_once():
            self.stop_watching()
        self.start()

    def stop_watching(self) -> None:
        """Let the next lives run unwatched, which is faster."""
        self._facts["kind"] = ""

    def wait(self, done: Any, what: str, again: Any = None) -> None:
        """Wait until `done()`, reviving the daemon; `again` is a person's command that may have been lost with it."""
        end_s = time.monotonic() + self.patience_s
        next_s = time.monotonic() + 1.0
        while True:
            with contextlib.suppress(EdgeError, OSError):
                if done():
                    return
            if time.monotonic() > end_s:
                raise AssertionError(f"never happened: {what}\n{self.log.read_text()[-3000:]}")
            if again is not None and time.monotonic() > next_s:
                next_s = time.monotonic() + 1.0
                with contextlib.suppress(EdgeError, OSError):
                    again()
            self.revive()
            time.sleep(POLL_S)

    def shut_down(self) -> int:
        """Stop in order; a daemon that dies instead is revived and stopped."""
        self.wait(self.answers, "the daemon answers")
        return self.stop()

    def close_process(self) -> None:
        """End the daemon by force."""
        super().close()
        self.process = None

    def close(self) -> None:
        self.close_process()
        self.lis.close()


class Lis:
    """Takes every file out of the drop folder: what it has taken is beyond recall.

    `lock` is held while it has a file in hand; `sync` puts its delete on disk before it goes on.
    """

    def __init__(self, site: WatchedSite) -> None:
        self.folder = site.outside / "lis"
        self.folder.mkdir(exist_ok=True)
        self.lock = threading.Lock()
        self.sync = False
        self.pause: Callable[[], float] = lambda: LIS_EVERY_S
        self._drop = site.drop()
        self._count = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.wait(self.pause()):
            self.take()

    def take(self) -> None:
        """Take what is there."""
        with self.lock:
            for name in os.listdir(self._drop):  # noqa: PTH208 - a hundred times a second
                if not name.startswith("."):
                    self._count += 1
                    (self.folder / f"{self._count:06d}~{name}").write_bytes((self._drop / name).read_bytes())
                    (self._drop / name).unlink()
                    if self.sync:
                        sync_folder(self._drop)

    def taken(self) -> tuple[dict[str, Counter[tuple[int, str]]], int]:
        """Return what was taken: slide -> (revision, status letter) -> how often, and the number of torn files."""
        got: dict[str, Counter[tuple[int, str]]] = {}
        torn = 0
        with self.lock:
            for path in sorted(self.folder.iterdir()):
                try:
                    record = json.loads(path.read_bytes())
                    got.setdefault(record["slide"]["slide_key"], Counter())[record["revision"], record["status"]] += 1
                except (ValueError, KeyError):
                    torn += 1
        return got, torn

    def has_all(self, slide: str, revisions: list[tuple[int, str]]) -> bool:
        """Tell whether every one of these results of the slide was taken."""
        got, _ = self.taken()
        return not Counter(revisions) - got.get(slide, Counter())

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def outcome_of(site: WatchedSite, points: int, note: str) -> Outcome:
    """Judge a stopped site by the files that the LIS took, the journal and the folders."""
    site.lis.take()
    got, torn = site.lis.taken()
    lost = duplicate = 0
    wrong = list(site.faults)
    connection = site.journal()
    states = dict(connection.execute("SELECT slide_key, state FROM slides ORDER BY id"))
    for name, (state, revisions) in site.expected.items():
        found, wanted = got.pop(name, Counter()), Counter(revisions)
        lost += (missing := (wanted - found).total())
        duplicate += (twice := sum(count - 1 for count in found.values()))
        wrong += [f"{name}: {states.get(name)}, not {state}"] if states.get(name) != state else []
        wrong += [f"{name}: sent {dict(found)}, expected {dict(wanted)}"] if missing or twice or found - wanted else []
    wrong += [f"{name}: results of an unknown slide" for name in got]
    wrong += [f"{name}: no such slide was exported" for name in states if name not in site.expected]
    wrong += differences_of_archive(site, dict(connection.execute("SELECT message_id, record_sha256 FROM revisions")))
    integrity = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    wrong += [f"integrity_check: {integrity}"] if integrity != ["ok"] else []
    broken_at = verify_audit(connection).broken_at
    wrong += [f"the audit chain is broken at {broken_at}"] if broken_at is not None else []
    connection.close()
    wrong += [f"left behind: {name}" for name in leftovers(site)]
    text = "; ".join([note, *wrong])[:2000] if lost or duplicate or torn or wrong else ""
    shown = lost + duplicate + torn
    return Outcome(points, lost, duplicate, torn, 0 if shown else len(wrong), text)


def differences_of_archive(site: Site, recorded: dict[str, str]) -> list[str]:
    """Return the records that are missing, not in the journal, or not the bytes that the journal names."""
    files = {path.stem: path for path in (site.root / "state" / "archive").glob("*/*.json")}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    wrong = sorted(name for name in found.keys() | recorded.keys() if found.get(name) != recorded.get(name))
    return [f"archive and journal differ: {wrong}"] if wrong else []


def leftovers(site: WatchedSite) -> list[str]:
    """Return what a start should have cleaned away, and of which life it is."""
    staging = [path for path in (site.drop() / ".mds-edge-staging").iterdir() if path.name not in OWN_NAMES]
    hidden = [path for path in site.drop().iterdir() if path.name.startswith(".") and path.name != ".mds-edge-staging"]
    state = site.root / "state"
    found = [*staging, *hidden, *state.rglob(".*.tmp"), *(state / "spool" / "incoming").iterdir()]
    return [
        f"{path.relative_to(site.root)} (written {path.stat().st_mtime - site.started_s:+.1f} s from the last start, "
        f"holds {sorted(str(inner.relative_to(path)) for inner in path.rglob('*'))})"
        for path in found
    ]
