"""Holds back what native libraries print past Python (versions, processor features), and shows it on failure."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def native_messages_kept() -> Iterator[None]:
    """Keep the process's standard output and error in a file while the body runs; on an exception, show them.

    For calls into C++ only: what Python itself prints in the body is held back too.
    """
    with tempfile.TemporaryFile() as kept:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = [(number, os.dup(number)) for number in (1, 2)]
        failed = True
        try:
            for number, _ in saved:
                os.dup2(kept.fileno(), number)
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in saved:
                os.dup2(copy, number)
                os.close(copy)
            if failed:
                kept.seek(0)
                sys.stderr.write(kept.read().decode("utf-8", "replace"))
