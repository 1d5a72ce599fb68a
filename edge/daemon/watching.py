"""Events of the file system, as a hint that a look is worth while. The only file that knows watchdog.

Events get lost in bursts, and a share changed by another host sends none: the periodic look is the truth, an event only
shortens the wait. Whatever goes wrong here costs promptness and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path


class FolderEvents:
    """Watches a source's tree from threads of its own. `fileno()` becomes readable when something changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self.problem = ""
        # Putting a watch on every folder of a slow share takes long: it must not hold the first look.
        threading.Thread(target=self._begin, name="begin-watching", daemon=True).start()

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._reading

    def take_changed(self) -> set[str]:
        """Return the names of slide folders with events since the last call, and forget them."""
        with contextlib.suppress(BlockingIOError):  # nothing to read: nothing has happened
            os.read(self._reading, 65536)
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed

    def _begin(self) -> None:
        try:
            from watchdog import events as kinds
            from watchdog.events import FileSystemEvent, FileSystemEventHandler
            from watchdog.observers import Observer

            events = self

            class Handler(FileSystemEventHandler):
                def on_any_event(self, event: FileSystemEvent) -> None:
                    # Opening and closing are our own looks: they would wake us for ever.
                    if event.event_type not in ("opened", "closed_no_write"):
                        events.note(os.fsdecode(event.src_path))
                        events.note(os.fsdecode(event.dest_path or b""))

            observer = Observer()
            # Opening and closing are not asked for at all: watchdog's own walk over thousands of folders would fill the
            # kernel's queue with them, and it then walks again, for ever (15 % of a core, measured).
            wanted: list[type[FileSystemEvent]] = [
                kinds.FileCreatedEvent, kinds.FileModifiedEvent, kinds.FileMovedEvent, kinds.FileDeletedEvent,
                kinds.DirCreatedEvent, kinds.DirMovedEvent, kinds.DirDeletedEvent,
            ]  # fmt: skip
            observer.schedule(Handler(), str(self._root), recursive=True, event_filter=wanted)
            observer.daemon = True
            observer.start()
        except (ImportError, OSError, RuntimeError) as error:
            self.problem = f"{type(error).__name__}: {error}"

    def note(self, path: str) -> None:
        """Note an event below the root (called on watchdog's thread)."""
        try:
            parts = Path(path).relative_to(self._root).parts
        except ValueError:
            return
        if not parts:
            return
        with self._lock:
            self._changed.add(parts[0])
        try:
            os.write(self._writing, b"x")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already
