"""At start, before any child runs: throw away what no row of the journal names, and nothing else.

What was STAGED in a drop folder is settled by each output's own deliverer (see outbox.py), before it cleans up.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from edge.daemon.books import Books

log = logging.getLogger("mds_edge.daemon")


def recover_state(books: Books) -> None:
    """Clear the spool of copies that were not finished or have been replaced; raises OSError."""
    for folder in list(books.folders.incoming.iterdir()):
        remove_copy(folder)
    remove_unnamed_copies(books)
    for path in books.folders.archive.glob("*/.*.tmp"):
        path.unlink(missing_ok=True)
    with books.journal.change():
        for slide in books.journal.slides.in_states(["SETTLED"]):
            # Settled is what a scanner told a supervisor that is gone: its successor looks anew.
            books.journal.slides.move(slide.id, "SEEN", text="the daemon was started again")
        for slide in books.journal.slides.in_states(["COMPUTED"]):
            if books.journal.results.is_delivered(slide.id):
                books.journal.slides.move(slide.id, "CLOSED")


def remove_unnamed_copies(books: Books) -> list[Path]:
    """Remove spooled copies that no slide names; return them."""
    named = {
        row[0] for row in books.journal.connection.execute("SELECT spool_name FROM slides WHERE spool_name NOT NULL")
    }
    removed = [
        folder
        for folder in books.folders.spool.iterdir()
        if folder.name not in named and folder != books.folders.incoming
    ]
    for folder in removed:
        remove_copy(folder)
    if removed:
        log.info("%d spooled copies that no slide names were removed", len(removed))
    return removed


def remove_copy(folder: Path) -> None:
    """Remove a copy that nobody needs. One that cannot be removed costs space and nothing else: the log says so."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        log.warning("%s cannot be removed, and is tried again at the next start: %s", folder, error)
