"""Setting a slide aside: its files and the reason in a folder of their own, for a person to look at."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import edge
from edge.daemon.books import Books
from edge.daemon.durable import make_folder, sync_folder, write_durably
from edge.journal_rows import SlideRow


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
