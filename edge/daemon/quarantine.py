"""Setting a slide aside: its files and the reason in a folder of their own, for a person to look at.

    quarantine/2026-11-23/57-0a1b2c3d/    files, reason.json

The folder stays as long as the slide waits for a person, and for the retention after the decision.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edge
from edge.audit import AuditEvent
from edge.daemon.books import Books
from edge.daemon.durable import make_folder, sync_folder, write_durably
from edge.daemon.recovery import remove_copy
from edge.journal_rows import SlideRow

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FOLDER = re.compile(r"([0-9]{1,15})-[0-9A-Za-z]{1,8}")


def quarantine_slide(
    books: Books,
    slide: SlideRow,
    files: Path | None,
    *,
    code: str,
    text: str,
    stage: str,
    traceback: str = "",
    **columns: Any,
) -> SlideRow:
    """Put the spooled files (hard links: no space, no time) into the quarantine with `reason.json`, and record it.

    The spooled copy stays until its retention ends, so that `edge-journal requeue` can try again. When the disk
    refuses the copy, the slide is set aside all the same: the journal holds the reason. Raises sqlite3.Error.
    """
    day = books.wall().strftime("%Y-%m-%d")
    target = books.folders.quarantine / day / f"{slide.id}-{(slide.idempotency_key or 'unread')[:8]}"
    reason = {
        "slide": slide.id, "source": slide.source, "slide_key": slide.slide_key, "sample_id": slide.sample_id,
        "code": code, "text": text, "stage": stage, "attempts": slide.attempts,
        "software": f"mds-edge {edge.__version__}", "at": books.journal.now(), "traceback": traceback,
    }  # fmt: skip
    try:
        make_folder(target.parent)
        if target.exists():
            shutil.rmtree(target)
        if files is not None and files.is_dir():
            shutil.copytree(files, target, copy_function=os.link)
        make_folder(target)
        write_durably(target / "reason.json", json.dumps(reason, indent=1, ensure_ascii=True).encode("ascii") + b"\n")
        sync_folder(target.parent)
    except OSError as error:
        text = f"{text} (no copy in the quarantine folder: {error.strerror or error})"
    return books.journal.slides.move(slide.id, "QUARANTINED", code=code, text=text, **columns)


def remove_old_quarantine(books: Books, border: str, limit: int) -> int:
    """Remove up to `limit` folders of slides that were decided about before `border`; return how many.

    Their images take space in the quarantine alone by then: the spooled copy, of which they are hard links, is gone.
    Raises OSError, sqlite3.Error.
    """
    removed = 0
    for folder, slide_id in quarantine_folders(books):
        if removed >= limit:
            break
        if folder.parent.name >= border[:10] or is_waiting(books, slide_id, border):
            continue
        remove_copy(folder)
        if folder.exists():
            continue
        removed += 1
        with books.journal.change():
            event = AuditEvent("daemon", "quarantined files removed after retention", f"slide:{slide_id}")
            books.journal.note(event)
        with contextlib.suppress(OSError):  # another slide of that day is still there
            folder.parent.rmdir()
    return removed


def quarantine_folders(books: Books) -> Iterator[tuple[Path, int]]:
    """Yield every folder that we made in the quarantine, oldest day first, with the number of its slide."""
    for day in sorted(books.folders.quarantine.iterdir()):
        if not _DAY.fullmatch(day.name) or day.is_symlink() or not day.is_dir():
            continue
        for folder in sorted(day.iterdir()):
            match = _FOLDER.fullmatch(folder.name)
            if match and not folder.is_symlink() and folder.is_dir():
                yield folder, int(match[1])


def is_waiting(books: Books, slide_id: int, border: str) -> bool:
    """Tell whether the slide waits for a person, or was decided about since `border`; rows that are gone do not."""
    query = "SELECT state = 'QUARANTINED' OR changed_at >= ? FROM slides WHERE id = ?"
    row = books.journal.connection.execute(query, (border, slide_id)).fetchone()
    return row is not None and bool(row[0])
