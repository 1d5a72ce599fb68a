"""A laboratory's books for tests of decisions: slides arrive, get results and are decided about. No process."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from test_outbox import PAGE, RECORD, Place, place_with

from edge.daemon.archive import store_result
from edge.daemon.arrival import Arrival, accept_arrival
from edge.daemon.intents import intents_for
from edge.daemon.next_revision import last_revision
from edge.daemon.requests import answer_request
from edge.daemon.spool import MANIFEST_NAME, SpooledFile, manifest_bytes, manifest_digest, read_manifest
from edge.errors import EdgeError
from edge.journal_results import NewRevision
from edge.journal_rows import SlideRow
from edge.record_text import record_bytes

LONG_AGO = "2026-01-01T00:00:00.000Z"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Laboratory:
    """One source and one output; a slide's images and its other files are words."""

    def __init__(self, root: Path) -> None:
        self.place: Place = place_with(root, "none", "json", report=False)
        self.books = self.place.books
        self.slides = self.books.journal.slides

    def slide(self, key: str = "A1") -> SlideRow:
        found = self.slides.newest("di60", key)
        assert found is not None
        return found

    def revisions(self, key: str = "A1") -> list[tuple[str, str | None]]:
        made = self.books.journal.results.revisions_of_folder("di60", key)
        return [(f"{row.number}{row.status}", row.supersedes) for row in made]

    def facts_of(self, key: str, *, sample: str | None, images: str, token: str = "t") -> dict[str, Any]:  # noqa: S107 - a folder's name
        """Return what the scanner tells of a copy that it made; the copy is made, too."""
        files = self.books.folders.incoming / token / "files"
        files.mkdir(parents=True)
        (files / "1.jpg").write_bytes(images.encode())
        named = [("1.jpg", images), ("slide.json", str(sample))]
        cells = [SpooledFile(cell["file"], 1, cell["sha256"]) for cell in RECORD["cells"]]
        manifest = (*(SpooledFile(name, len(text), digest(text)) for name, text in named), *cells)
        (files.parent / MANIFEST_NAME).write_bytes(manifest_bytes(manifest))
        return {
            "token": token, "signature": digest(f"{sample} {images}"), "content_sha256": digest(images),
            "manifest_sha256": manifest_digest(manifest), "file_count": 2, "byte_count": 9, "sample_id": sample,
            "problem": None, "stat": False,
        }  # fmt: skip

    def arrive(
        self,
        key: str = "A1",
        *,
        sample: str | None = "0042",
        images: str = "first",
        number: int | None = None,
        **other: Any,
    ) -> SlideRow:
        """Let a folder be read; `number` is its metadata's slide number, `other` replaces what the scanner tells."""
        newest = self.slides.newest("di60", key) or self.slides.add("di60", key, key.encode())
        if newest.state == "SEEN":
            newest = self.slides.move(newest.id, "SETTLED")
        facts = self.facts_of(key, sample=sample, images=images) | other
        if number is not None:
            facts["manifest_sha256"] = self.number_slide(number)
        return accept_arrival(self.books, newest, Arrival.from_message(facts), in_work=False)

    def number_slide(self, number: int) -> str:
        """Let the metadata of the copy that was just made name a slide number; return the manifest's digest."""
        copy = self.books.folders.incoming / "t"
        metadata = SpooledFile("slide.json", 1, digest(f"number {number}"))
        manifest = tuple(metadata if file.name == metadata.name else file for file in read_manifest(copy))
        (copy / MANIFEST_NAME).write_bytes(manifest_bytes(manifest))
        return manifest_digest(manifest)

    def analyze(self, slide: SlideRow, status: str = "P") -> SlideRow:
        """Book a result of a spooled slide and deliver it."""
        last = last_revision(self.books, slide)
        number = last.number + 1 if last else 1
        message_id = f"{slide.slide_key.replace(':', '')}.R{number}"
        supersedes = last.message_id if last else None
        named = {"slide_key": slide.slide_key, "sample_id": slide.sample_id}
        record = RECORD | {
            "slide": RECORD["slide"] | named, "message_id": message_id, "revision": number, "supersedes": supersedes,
            "reason": "again" if last else None, "status": status,
        }  # fmt: skip
        kept, report = store_result(self.books.folders.archive, message_id, record_bytes(record), PAGE)
        new = NewRevision(number, message_id, status, "P", kept, report, "0" * 64, supersedes, "daemon", None)
        with self.books.journal.change():
            intents = intents_for(self.books.config.outputs, record, report=None)
            self.books.journal.results.add_revision(slide.id, new, intents)
            self.slides.move(slide.id, "COMPUTED", released=0)
        self.place.run()
        return self.slides.get(slide.id)

    def reported(self, key: str = "A1", *, sample: str = "0042", images: str = "first") -> SlideRow:
        """Return a slide whose result was delivered."""
        return self.analyze(self.arrive(key, sample=sample, images=images))

    def decide(self, command: str, name: str, books: Any = None) -> dict[str, Any]:
        request = {"command": command, "slide": name, "by": "K. Sato", "reason": "because"}
        return answer_request(books or self.books, request, uid=1)

    def quarantine(self, slide: SlideRow) -> SlideRow:
        """Let an ordered analysis fail, as the worker does."""
        return self.slides.move(slide.id, "QUARANTINED", code="MDSE-DAEMON-007", text="it failed")

    def lose_copy(self, slide: SlideRow) -> None:
        """Let the copy in the spool go, as the retention does."""
        self.slides.amend(slide.id, "spooled images removed after retention", spool_name=None)


def refused(laboratory: Laboratory, command: str, name: str, books: Any = None) -> EdgeError:
    """Return the error with which a person's decision is refused."""
    with pytest.raises(EdgeError) as failure:
        laboratory.decide(command, name, books)
    return failure.value
