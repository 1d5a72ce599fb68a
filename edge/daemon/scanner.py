"""The scanner: one child per source. Looks at the export folder, says what settled, copies it into the spool on order.

It alone touches the share, so a share that hangs takes this process with it and nothing else.

    from the supervisor   begin {settings, known_messages} · known {folders} · fetch {slide, folder, signature}
                          watch {folder, released} · finished {folder, signature}
    to the supervisor     alive · looked {folders, slow} · source {away} · seen {folders} · settled {stat} · overdue
                          vanished {folders} · unlisted {folders} · hopeless {code} · fetched · moved · refused
                          failed {errno}
"""

from __future__ import annotations

import secrets
import select
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.daemon.channel import Channel
from edge.daemon.child_main import run_child
from edge.daemon.folder_look import (
    Stamp,
    is_plain_folder,
    look_at_folder,
    names_to_spool,
    parts_of_folder,
    stamp_of_folder,
)
from edge.daemon.listing import Listed, SourceListing
from edge.daemon.settle import FolderLook, SettleRule, SettleWatch
from edge.daemon.spool import FILES_NAME, FolderMovedError, content_digest, copy_slide, manifest_digest
from edge.daemon.watching import FolderEvents
from edge.errors import EdgeError, printable
from edge.slide import META_INCOMPLETE, read_slide

ALIVE_EVERY_S = 2.0
GONE_AFTER_LOOKS = 3
NAMES_PER_MESSAGE = 500
RECHECK_PASSES = 60
"""A finished folder's times are compared once in so many passes even without an event: a share sends none."""
DEEP_LOOKS_PER_THOUSAND = 1
"""Of a thousand finished folders so many are looked at file by file in each pass: a file that was changed in its place
leaves its folder's time as it was."""
SLOW_OPERATION_S = 4.0
"""A share that is well answers in milliseconds; between two words of ours lie one folder's files at most."""
HINT_PAUSE_S = 0.2
"""Events come in bursts: at most this often does one shorten the wait."""


@dataclass(slots=True)
class KnownFolder:
    """One folder under watch, or finished (then `signature` is what it looked like when it was read)."""

    finished: bool = False
    signature: str = ""
    watch: SettleWatch | None = None
    reported: str = ""
    released: bool = False
    missing_looks: int = 0
    stat: bool = False
    parts: tuple[str, ...] = ()
    stamp: Stamp | None = None


class Scanner:
    """The child's state. All times are monotonic."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._root = Path(settings["path"])
        self._settings = settings
        self._markers = tuple(settings["marker"])
        self._rule = SettleRule(settings["quiet_s"], settings["max_wait_s"], settings["marker_required"])
        self._folders: dict[str, KnownFolder] = {}
        self._listing = SourceListing(self._root, settings["sentinel"])
        self._sent_at_s = 0.0
        self._went_on_at_s = 0.0
        self._was_slow = False
        self._known_told = 0
        self._present: list[str] = []
        self._away = ""
        self._passes = 0
        self._place: tuple[int, int] | None = None
        self._events: FolderEvents | None = None

    def run(self) -> None:
        """Look, obey, wait, for ever; ends with EOFError when the supervisor is gone."""
        while self._known_told < self._settings["known_messages"]:
            # Before the first look: what is finished need not be read again, file by file.
            self._obey(ALIVE_EVERY_S)
            self._alive()
        next_look_s = 0.0
        changed: set[str] = set()
        while True:
            now_s = time.monotonic()
            if now_s >= next_look_s:
                self.look(changed)
                changed = set()
                next_look_s = time.monotonic() + self._settings["scan_s"]
            self._obey(min(next_look_s - time.monotonic(), ALIVE_EVERY_S))
            if self._events is not None and (hints := self._events.take_changed()):
                changed |= hints
                next_look_s = min(next_look_s, time.monotonic() + HINT_PAUSE_S)
            self._alive()

    def _obey(self, wait_s: float) -> None:
        """Wait for an order or an event; carry out every order that is there."""
        waiting: list[Channel | FolderEvents] = [self._channel, *([self._events] if self._events is not None else [])]
        wait_s = 0.0 if self._channel.holds_messages else max(0.0, wait_s)
        if self._channel not in select.select(waiting, [], [], wait_s)[0] and not self._channel.holds_messages:
            return
        while (message := self._channel.receive(0.0)) is not None:
            order: dict[str, Any] = dict(message.header)
            if message.kind == "known":
                self._known_told += 1
                for folder, finished, signature, released in order["folders"]:
                    self._folders[folder] = KnownFolder(finished, signature or "", released=released)
            elif message.kind == "finished":
                self._folders[order["folder"]] = KnownFolder(True, order["signature"])
            elif message.kind == "watch":
                self._folders[order["folder"]] = KnownFolder(released=order["released"])
            elif message.kind == "fetch":
                self._fetch(order)

    def _send(self, kind: str, **facts: object) -> None:
        self._channel.send({"kind": kind, **facts})
        self._sent_at_s = time.monotonic()

    def _send_names(self, kind: str, names: list[str]) -> None:
        """Tell of many folders in few messages: each is one transaction of the supervisor's, synced to disk."""
        for start in range(0, len(names), NAMES_PER_MESSAGE):
            self._send(kind, folders=names[start : start + NAMES_PER_MESSAGE])

    def _alive(self) -> None:
        """Tell the supervisor that we make progress; called between any two operations on the share."""
        now_s = time.monotonic()
        self._was_slow = self._was_slow or now_s - self._went_on_at_s > SLOW_OPERATION_S
        self._went_on_at_s = now_s
        if now_s - self._sent_at_s > ALIVE_EVERY_S:
            self._send("alive")

    def _begin_work(self) -> None:
        """Note that a look or a copy begins: whether the share is slow is said of each."""
        self._went_on_at_s, self._was_slow = time.monotonic(), False

    def _is_slow(self) -> bool:
        """Tell whether the share let this look or copy wait for one operation beyond all measure."""
        self._alive()
        return self._was_slow

    def look(self, changed: set[str]) -> None:
        """One pass over the source."""
        self._begin_work()
        try:
            listed = self._listing.take(self._folders, changed, time.monotonic(), self._alive)
        except (OSError, EdgeError) as error:
            self._report_away(str(error))
            return
        all_gone = bool(self._folders) and listed.present.isdisjoint(self._folders)
        # The very folder that we looked at before, with other slides in it: what it no longer lists is really gone.
        is_same_place = bool(listed.present) and listed.place == self._place
        if all_gone and not is_same_place and any(not folder.finished for folder in self._folders.values()):
            # An empty mount point or another share looks like this. Nothing is concluded from it.
            self._report_away(f"none of the {len(self._folders)} known slide folders is there any more")
            return
        if self._away:
            self._away = ""
            self._send("source", away="")
        if self._events is None:
            self._events = FolderEvents(self._root)
        if not listed.again:
            self._take_list(listed, concludes=not all_gone or is_same_place)
            # In the order in which we first saw them: the oldest slide settles, and is copied, first.
            self._present = [name for name in self._folders if name in listed.present]
        self._judge(self._present, changed)
        self._passes += 1
        slow = self._is_slow()
        self._send("looked", folders=len(listed.names), all_gone=all_gone, slow=slow, events=self._events.problem)

    def _take_list(self, listed: Listed, *, concludes: bool) -> None:
        """Tell of new folders; where the list `concludes` anything, also of those that it no longer holds."""
        new = [name for name in listed.names if name not in self._folders]
        self._send_names("seen", new)
        self._folders.update({name: KnownFolder() for name in new})
        if concludes:
            self._forget_gone(listed.present)
        self._place = listed.place

    def _report_away(self, reason: str) -> None:
        if reason != self._away:
            self._away = reason
            self._send("source", away=reason)
        for folder in self._folders.values():
            folder.watch = None  # quiet time during which we saw nothing is no quiet time
        self._events = None
        self._listing.forget()

    def _forget_gone(self, present: frozenset[str]) -> None:
        gone: dict[str, list[str]] = {"unlisted": [], "vanished": []}
        for name, folder in list(self._folders.items()):
            folder.missing_looks = 0 if name in present else folder.missing_looks + 1
            if folder.missing_looks >= GONE_AFTER_LOOKS:
                del self._folders[name]
                gone["unlisted" if folder.finished else "vanished"].append(name)
        for kind, names in gone.items():
            self._send_names(kind, names)

    def _judge(self, names: list[str], changed: set[str]) -> None:
        whole = self._at_work() | {names[place] for place in self._whole_looks(len(names))} | changed
        asked = whole.union(names[self._passes % RECHECK_PASSES :: RECHECK_PASSES])
        for name in filter(asked.__contains__, names):
            folder = self._folders[name]
            try:
                if name not in whole and not self._has_moved(name, folder):
                    continue
                look = look_at_folder(self._root / name, self._markers, self._alive)
            except FileNotFoundError:
                continue  # it is going: the next passes tell
            except OSError as error:
                folder.watch = None
                text = f"{type(error).__name__}: {error}"
                self._send("failed", slide=0, folder=name, text=text, errno=error.errno or 0)
                continue
            except EdgeError as error:
                self._give_up(name, folder, error)
                continue
            if folder.finished and look.signature == folder.signature:
                folder.watch = None
                continue
            self._observe(name, folder, look)

    def _at_work(self) -> set[str]:
        """Return the folders that are not finished, or that changed since they were."""
        return {name for name, folder in self._folders.items() if folder.watch is not None or not folder.finished}

    def _whole_looks(self, count: int) -> set[int]:
        """Return which of the finished folders are looked at file by file in this pass, in turn."""
        deep = DEEP_LOOKS_PER_THOUSAND * (1 + count // 1000)
        return {(self._passes * deep + step) % count for step in range(deep)} if count else set()

    def _has_moved(self, name: str, folder: KnownFolder) -> bool:
        """Tell whether a finished folder's own times have changed; raises OSError.

        The first time there is nothing to compare with: it is a whole look, so that after a start every folder is
        looked at once.
        """
        place = self._root / name
        if folder.stamp is None:
            folder.parts = parts_of_folder(place)
        try:
            stamp = stamp_of_folder(place, folder.parts)
        except FileNotFoundError:
            stamp = ()
        if stamp == folder.stamp:
            return False
        folder.stamp = None if folder.stamp is not None else stamp
        return True

    def _give_up(self, name: str, folder: KnownFolder, error: EdgeError) -> None:
        """Report a folder that is no slide whatever its files say (too many of them); once, until that changes."""
        signature = error.code
        report = f"hopeless {signature}"
        if (folder.finished and folder.signature == signature) or folder.reported == report:
            return
        folder.watch, folder.reported = None, report
        self._send("hopeless", folder=name, signature=signature, code=error.code, text=str(error))

    def _observe(self, name: str, folder: KnownFolder, look: FolderLook) -> None:
        now_s = time.monotonic()
        if folder.watch is None:
            folder.watch = SettleWatch(self._rule, look, now_s)
            folder.reported = ""
            return
        verdict = folder.watch.observe(look, now_s, lambda: self._missing(name), released=folder.released)
        report = f"{verdict.kind} {look.signature} {verdict.reason}"
        if verdict.kind == "wait":
            folder.reported = ""
        elif report != folder.reported:
            folder.reported = report
            self._send(verdict.kind, folder=name, signature=look.signature, reason=verdict.reason, stat=folder.stat)

    def _missing(self, name: str) -> str:
        """Return what the slide's metadata promises and the folder does not hold yet; "" when nothing, or unknown."""
        try:
            slide = read_slide(
                self._root / name,
                slide_key=printable(name),
                sample_id_pattern=self._settings["sample_id_pattern"],
                hash_files=False,
            )
        except (EdgeError, OSError):
            return ""  # what is wrong with it is said when its copy is read: here only completeness counts
        self._folders[name].stat = slide.is_stat
        return next((warning.text.rstrip(".") for warning in slide.warnings if warning.code == META_INCOMPLETE), "")

    def _fetch(self, order: dict[str, Any]) -> None:
        """Copy one slide into the spool and report; whatever was copied in vain is removed."""
        self._begin_work()
        slide, name = order["slide"], order["folder"]
        token = f"{slide}-{secrets.token_hex(8)}"
        target = Path(self._settings["spool"]) / "incoming" / token
        facts: dict[str, object] = {"slide": slide, "folder": name, "signature": order["signature"], "token": token}
        try:
            facts |= self._copy(name, target, order["signature"])
        except FolderMovedError as error:
            self._drop(target)
            self._folders[name] = KnownFolder(released=self._folders.get(name, KnownFolder()).released)
            self._tell("moved", facts, text=str(error))
        except EdgeError as error:
            refusal = {"code": error.code, "text": str(error), "exit": error.exit_status}
            self._tell("refused", facts, **refusal)
        except OSError as error:
            self._drop(target)
            text = f"{type(error).__name__}: {error}"
            self._tell("failed", facts, text=text, errno=error.errno or 0)
        else:
            self._tell("fetched", facts)

    def _tell(self, kind: str, facts: Mapping[str, object], **more: object) -> None:
        """Say what came of a copy, and whether the share was slow meanwhile."""
        self._send(kind, **facts, slow=self._is_slow(), **more)

    def _copy(self, name: str, target: Path, signature: str) -> dict[str, object]:
        folder = self._root / name
        if not is_plain_folder(folder):
            raise FolderMovedError("the folder is gone")
        names = names_to_spool(folder)
        manifest = copy_slide(
            folder, target, names, file_bytes_max=self._settings["cell_bytes"], on_progress=self._alive
        )
        try:
            after = look_at_folder(folder, self._markers, self._alive)
        except FileNotFoundError as error:
            raise FolderMovedError("the folder went away while it was copied") from error
        if after.signature != signature:
            raise FolderMovedError("the folder changed while it was copied")
        facts: dict[str, object] = {
            "manifest_sha256": manifest_digest(manifest),
            "content_sha256": content_digest(manifest),
            "file_count": len(manifest),
            "byte_count": sum(entry.size for entry in manifest),
        }
        return facts | self._identity(name, target)

    def _identity(self, name: str, target: Path) -> dict[str, object]:
        """Read who the slide belongs to from its copy: the sample id, or the error that says why there is none."""
        try:
            slide = read_slide(
                target / FILES_NAME,
                slide_key=printable(name),
                sample_id_pattern=self._settings["sample_id_pattern"],
            )
        except EdgeError as error:
            return {"sample_id": None, "stat": False, "problem": [error.code, str(error), error.exit_status]}
        return {"sample_id": slide.sample_id, "stat": slide.is_stat, "problem": None}

    def _drop(self, target: Path) -> None:
        shutil.rmtree(
            target, ignore_errors=True
        )  # what stays is removed at the next start: the journal does not name it


def serve(channel: Channel) -> None:
    """Take the settings and scan until the supervisor is gone."""
    message = channel.receive()
    if message is not None:
        Scanner(channel, dict(message.header)).run()


def main(descriptor: int, parent_pid: int) -> int:
    """Run as a child of the supervisor."""
    return run_child(descriptor, parent_pid, serve)
