"""What must hold whatever people decide, judged from what was shown, commanded and published. No rule is the product's.

CrashError     I1  an exception left a keeper, the scanner or a command; the journal or its audit is damaged
OrderError     I2  an older result left after a newer one, or a result after a withdrawal with nobody asked
OriginError    I3  a result of files, or for a sample, that the folder did not show
PatientError   I4  one slide's images, or one folder's results, are in force for two samples or slides
StrandedError  I5  a slide has neither its result nor a state that a person sees
TwiceError     I6  one message id for two contents, or one file sent twice
UnrestError    I7  the daemon does not come to rest, or changes something by itself after a restart
NamedError         a command acted on another result than it named, or a result that stands cannot be withdrawn
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from edge.daemon.books import Books
from edge.errors import EdgeError

JPEG = b"\xff\xd8\xff"
IN_FORCE = ("P", "F", "C")
WITHDRAWN = "W"
REFUSED_FOR_ITS_STATE = "MDSE-JOURNAL-006"
ASKED_ABOUT_LIKENESS = ("MDSE-SPOOL-005", "MDSE-SPOOL-011")
BEGINS_AGAIN = ("release", "requeue", "reanalyze")
SEEN_BY_A_PERSON = ("HELD", "QUARANTINED", "LATE")


class DecisionError(AssertionError):
    """Something that must never be; see the module."""


class CrashError(DecisionError):
    """I1."""


class UnrestError(DecisionError):
    """I7, and no rest at all."""


class OrderError(DecisionError):
    """I2."""


class OriginError(DecisionError):
    """I3."""


class PatientError(DecisionError):
    """I4."""


class StrandedError(DecisionError):
    """I5."""


class TwiceError(DecisionError):
    """I6."""


class NamedError(DecisionError):
    """A command and the result that it named."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a folder holds: its images by their words, and what its metadata say. `bad`: a link lies among them."""

    images: tuple[str, ...]
    sample: str | None
    slide_no: int | None
    bad: bool = False

    def files(self) -> dict[str, bytes]:
        """Return the files by name."""
        metadata = {"sample_id": self.sample, "slide_no": self.slide_no}
        named = {f"{number}.jpg": JPEG + word.encode() for number, word in enumerate(self.images, 1)}
        return {"slide.json": json.dumps(metadata).encode(), **named}

    def digests(self) -> tuple[str, ...]:
        """Return the SHA-256 of the images, sorted."""
        return tuple(sorted(hashlib.sha256(JPEG + word.encode()).hexdigest() for word in self.images))

    def identity(self) -> tuple[str | None, int | None, tuple[str, ...]]:
        """Return what a result must say of it."""
        return self.sample, self.slide_no, self.digests()

    def __str__(self) -> str:
        number = "" if self.slide_no is None else f" slide {self.slide_no}"
        return f"{'+'.join(self.images)} of {self.sample}{number}{' and a link' if self.bad else ''}"


def content_key(digests: Iterable[str]) -> str:
    """Return the journal's digest of images."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


@dataclass(slots=True)
class Sent:
    """One published result. `life`: how often the folder's rows had been given back before."""

    output: str
    folder: str
    life: int
    message_id: str
    number: int
    status: str
    sample: str
    slide_no: int | None
    digests: tuple[str, ...]
    file: str
    at: int
    is_refused: bool = False
    is_settled: bool = False
    """A person settled the refusal by hand: what it says is known there (ADR 14)."""

    @property
    def place(self) -> tuple[str, str]:
        """Where a receiver files it: sample and slide label."""
        return self.sample, str(self.slide_no) if self.slide_no is not None else self.folder

    def __str__(self) -> str:
        return f"{self.folder} revision {self.number}{self.status} for {self.sample}"


@dataclass(slots=True)
class Judge:
    """The model. Its time is the count of what happened."""

    now: int = 0
    shown: dict[str, Content | None] = field(default_factory=dict)
    history: dict[str, list[Content]] = field(default_factory=dict)
    read: dict[str, Content] = field(default_factory=dict)
    """What a folder has shown unchanged for so long that the daemon must have read it."""
    read_at: dict[tuple[str, Content], int] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    lives: dict[str, int] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    begun: set[tuple[int, Content]] = field(default_factory=set)
    named: set[tuple[int, Content | None]] = field(default_factory=set)
    commands: dict[str, list[tuple[int, str, int]]] = field(default_factory=dict)
    likeness_released: set[tuple[str, str, str]] = field(default_factory=set)
    withdrawn_at: dict[tuple[str, int, int], int] = field(default_factory=dict)

    # ---- the folder

    def on_shown(self, folder: str, content: Content | None) -> None:
        """Note what a folder shows from now on."""
        self.now += 1
        self.shown[folder] = content
        if content is not None:
            self.history.setdefault(folder, []).append(content)
            if self.read.get(folder) != content:
                # Until the daemon had time to read it, both are right.
                self.read.pop(folder, None)

    def on_settled(self, books: Books) -> None:
        """Note that the daemon has had the time to read every folder as it stands."""
        self.now += 1
        for folder, content in self.shown.items():
            if content is not None:
                self.read[folder] = content
                self.read_at.setdefault((folder, content), self.now)

    def on_restart(self) -> None:
        """Note that the daemon has begun anew: what it had begun it may end."""
        self.now += 1

    def on_purged(self, books: Books) -> None:
        """Note which folders' rows were given back: their numbers begin anew."""
        self.now += 1
        known = {row[0] for row in books.journal.connection.execute("SELECT DISTINCT slide_key FROM slides")}
        for folder in self.shown:
            if folder not in known and any(sent.folder == folder for sent in self.of_life(folder)):
                self.lives[folder] = self.lives.get(folder, 0) + 1

    def of_life(self, folder: str) -> list[Sent]:
        """Return what was sent of a folder since its rows were last given back."""
        life = self.lives.get(folder, 0)
        return [sent for sent in self.sent if (sent.folder, sent.life) == (folder, life)]

    # ---- the worker

    def on_begin(self, row: int, order: dict[str, Any], copy: dict[str, bytes]) -> None:
        """Judge what an analysis is begun with (I3)."""
        folder = order["slide_key"]
        # A link is not copied: of two that differ in it alone the sound one is meant.
        shown = sorted(self.history.get(folder, []), key=lambda content: content.bad)
        found = next((content for content in shown if content.files() == copy), None)
        if found is None:
            raise OriginError(f"{folder}: row {row} is analyzed with files that the folder never held together")
        if order["sample_id"] != found.sample:
            raise OriginError(f"{folder}: row {row} is analyzed for {order['sample_id']}, its files say {found.sample}")
        if order["job"]["manifest_sha256"] != manifest_of(copy):
            raise OriginError(f"{folder}: row {row} names other files than its copy holds, which is {found}")
        # What was begun rightly may be tried again. Files that are gone were replaced by nothing.
        allowed = (row, found) in self.begun or (row, None) in self.named or (row, found) in self.named
        read = self.read.get(folder)
        if not allowed and read is not None and read != found and self.shown[folder] not in (found,):
            raise OriginError(f"{folder}: row {row} is analyzed with {found}; the folder shows {read}")
        self.begun.add((row, found))

    # ---- the receiver

    def on_published(self, output: str, file: str, content: bytes) -> None:
        """Judge a result that a receiver gets (I2, I3, I4, I6)."""
        self.now += 1
        record = json.loads(content)
        slide, folder = record["slide"], record["slide"]["slide_key"]
        digests = tuple(sorted(cell["sha256"] for cell in record["cells"]))
        sent = Sent(
            output, folder, self.lives.get(folder, 0), record["message_id"], record["revision"], record["status"],
            slide["sample_id"], slide["slide_no"], digests, file, self.now,
        )  # fmt: skip
        self._judge_repeats(sent, hashlib.sha256(content).hexdigest())
        if (sent.sample, sent.slide_no, digests) not in {c.identity() for c in self.history.get(folder, [])}:
            raise OriginError(f"{sent} is of images, a sample or a number that the folder never showed together")
        self._judge_order(sent)
        self._judge_patients(sent)
        self.sent.append(sent)

    def _judge_repeats(self, sent: Sent, digest: str) -> None:
        if self.contents.setdefault(sent.message_id, digest) != digest:
            raise TwiceError(f"{sent} has the message id {sent.message_id}, which another result had")
        if any((old.output, old.file) == (sent.output, sent.file) for old in self.sent):
            raise TwiceError(f"{sent.file} is sent twice")

    def _judge_order(self, sent: Sent) -> None:
        mine = [old for old in self.of_life(sent.folder) if old.output == sent.output and not old.is_refused]
        newer = [old for old in mine if old.number > sent.number]
        if newer:
            raise OrderError(f"{sent} is sent to {sent.output} after {newer[-1]}")
        if sent.status == WITHDRAWN:
            return
        life = self.lives.get(sent.folder, 0)
        withdrawals = [
            at
            for (folder, when, number), at in self.withdrawn_at.items()
            if (folder, when) == (sent.folder, life) and number < sent.number
        ]
        asked = [at for at, command, _ in self.commands.get(sent.folder, []) if command in BEGINS_AGAIN]
        if withdrawals and max(asked, default=0) < max(withdrawals):
            raise OrderError(f"{sent} follows a withdrawal, and nobody was asked")

    def _judge_patients(self, sent: Sent) -> None:
        """Judge whom the result is in force for beside those that are in force already (I4)."""
        if sent.status not in IN_FORCE:
            return
        for old in self.in_force(sent.output):
            if old.folder == sent.folder:
                if old.life == sent.life and old.place != sent.place and old.number < sent.number:
                    raise PatientError(f"{sent}, {sent.place}, while {old} stands at {old.place}")
            elif old.digests == sent.digests and old.sample != sent.sample:
                key = content_key(sent.digests)
                asked = {(sent.folder, key, sent.sample), (old.folder, key, old.sample)}
                if not asked & self.likeness_released:
                    raise PatientError(f"{sent} has the images of {old}, which stands; nobody released that")

    def in_force(self, output: str) -> list[Sent]:
        """Return what stands: the last of every folder's life and place that was not refused, or settled by hand."""
        last: dict[tuple[object, ...], Sent] = {}
        for sent in self.sent:
            if sent.output == output and (sent.is_settled or not sent.is_refused):
                last[sent.folder, sent.life, sent.place] = sent
        return [sent for sent in last.values() if sent.status in IN_FORCE]

    def on_receiver_refused(self, output: str, file: str) -> None:
        """Note that a receiver does not keep a result."""
        for sent in self.sent:
            if (sent.output, sent.file) == (output, file):
                sent.is_refused = True

    # ---- commands

    def before_command(self, books: Books) -> dict[int, tuple[Any, ...]]:
        """Return what a person may have seen: slide key, state, reason, images and sample of every row."""
        query = "SELECT id, slide_key, state, reason_code, content_sha256, sample_id FROM slides"
        return {row[0]: row[1:] for row in books.journal.connection.execute(query)}

    def on_decided(self, command: str, name: str, reply: dict[str, Any], before: dict[int, tuple[Any, ...]]) -> None:
        """Note a command that was carried out, and judge which result it acted on."""
        self.now += 1
        row, folder = reply["slide"], reply["slide_key"]
        _, state, reason, images, sample = before[row]
        self.commands.setdefault(folder, []).append((self.now, command, row))
        if name not in (folder, f"di60/{folder}"):
            # A person who names a row or a message means that arrival, whatever the folder shows by now.
            self.named.add((row, None))
        if command == "release" and state in ("HELD", "LATE") and reason in ASKED_ABOUT_LIKENESS:
            self.likeness_released.add((folder, images, sample))
        if command == "discard" and state == "CLOSED":
            for sent in self.of_life(folder):
                sent.is_settled = sent.is_refused
        if command == "withdraw":
            self.withdrawn_at[folder, self.lives.get(folder, 0), reply["revision"]] = self.now
        is_message = ".R" in name
        if is_message and command in ("finalize", "withdraw", "resend"):
            stem, _, number = name.rpartition(".R")
            made = reply["revision"] - (command != "resend")
            if int(number) != made:
                raise NamedError(f"{command} {name} acted on revision {made} of {folder} ({stem})")

    def on_refused(self, command: str, name: str, error: EdgeError, before: dict[int, tuple[Any, ...]]) -> None:
        """Judge a refusal: a result that stands can always be withdrawn."""
        self.now += 1
        if command != "withdraw" or error.code != REFUSED_FOR_ITS_STATE or name not in self.shown:
            return
        standing = [sent for sent in self.of_life(name) if sent.output == "first" and not sent.is_refused]
        if standing and standing[-1].status in IN_FORCE:
            raise NamedError(f"{standing[-1]} stands and cannot be withdrawn: {error}")

    # ---- the end

    def judge_end(self, books: Books, alarms: set[str]) -> None:
        """Judge that every slide that lies there has its result, or stands where a person sees it (I5)."""
        for folder, content in self.shown.items():
            if content is not None and not self._is_told(books, folder, content, alarms):
                rows = ", ".join(
                    f"row {row.id} {row.state} {row.reason_code}"
                    for row in books.journal.slides.arrivals("di60", folder)
                )
                last = next((str(sent) for sent in reversed(self.sent) if sent.folder == folder), "no result")
                raise StrandedError(f"{folder} shows {content}; {last}; {rows}; alarms {sorted(alarms)}")

    def _is_told(self, books: Books, folder: str, content: Content, alarms: set[str]) -> bool:
        rows = books.journal.slides.arrivals("di60", folder)
        if not rows:
            return False
        newest = rows[-1]
        if newest.state in SEEN_BY_A_PERSON:
            return f"slides-{newest.state}" in alarms
        earlier = next((row for row in rows if row.id == newest.related_slide), None)
        if newest.state == "DUPLICATE" and earlier is not None and earlier.state in SEEN_BY_A_PERSON:
            return f"slides-{earlier.state}" in alarms  # the folder shows the files of that one again
        if content.bad:
            # A result or an earlier word about the folder stands; the refusal of later files is in the audit.
            return newest.state not in ("SEEN", "SETTLED", "SPOOLED", "VANISHED", "WAITING_SOURCE")
        # An alarm counts slides and does not name them: one that is up may be about another folder, and then a fault
        # here is not seen in this schedule.
        if f"slides-{newest.state}" in alarms:
            return True
        mine = [sent for sent in self.sent if sent.folder == folder and sent.output == "first"]
        last = mine[-1] if mine else None
        if last is not None and last.status == WITHDRAWN and self._lay_there(folder, content, last):
            return True  # a person withdrew the folder's result while it showed these files
        if last is not None and (last.sample, last.slide_no, last.digests) == content.identity():
            # In force, withdrawn by a person, or refused by the receiver: then it is an alarm or was decided about.
            return not last.is_refused or self._is_refusal_told(folder, last, alarms)
        if newest.state == "DUPLICATE" and self._is_copy_told(books, folder, content, alarms):
            return True
        return self._is_discarded(rows, content) or any(name.startswith("results-") for name in alarms)

    def _is_refusal_told(self, folder: str, last: Sent, alarms: set[str]) -> bool:
        decided = any(at > last.at for at, *_ in self.commands.get(folder, []))
        return bool({"results-REFUSED", "results-PARKED"} & alarms) or decided

    def _is_copy_told(self, books: Books, folder: str, content: Content, alarms: set[str]) -> bool:
        """Tell whether the images of a copy are in force, or wait where a person sees them, under another name."""
        wanted = (content.sample, content.digests())
        if "results-REFUSED" in alarms or any((s.sample, s.digests) == wanted for s in self.in_force("first")):
            return True
        for row in books.journal.slides.with_content(content_key(content.digests())):
            if row.slide_key != folder and row.state in SEEN_BY_A_PERSON:
                return True
        # Withdrawn while this copy lay there: whoever withdrew the images for this sample knew them.
        return any(
            sent.status == WITHDRAWN
            and (sent.sample, sent.digests) == wanted
            and self._lay_there(folder, content, sent)
            for sent in self.sent
        )

    def _lay_there(self, folder: str, content: Content, withdrawal: Sent) -> bool:
        return self.read_at.get((folder, content), withdrawal.at) < withdrawal.at

    def _is_discarded(self, rows: list[Any], content: Content) -> bool:
        """Tell whether a person discarded these files, or the folder before it was read."""
        manifest = manifest_of(content.files())
        given_up = {row for done in self.commands.values() for _, command, row in done if command == "discard"}
        return any(
            row.id in given_up and row.state == "CLOSED" and row.manifest_sha256 in (manifest, None) for row in rows
        )


def manifest_of(files: dict[str, bytes]) -> str:
    """Return the digest of a folder's manifest as the journal has it."""
    rows = sorted((name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items())
    text = json.dumps(rows, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode() + b"\n").hexdigest()
