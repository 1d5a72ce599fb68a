"""How SENAITE's automatic import tells what it did: two files that it keeps in the drop folder itself.

    imported.csv    one file name a line, appended when the file was read, also when its import failed
    logs.log        lines such as `2026-11-23 18:00:00 [ERROR] [Instrument:DI-60] [Interface:...] text`

(senaite.core, auto_import_results.py.) The name comes first and its error lines after it, so a name alone is believed
only when a later look finds it still without an error (`edge/daemon/deliver.py`). An error line that does not name the
file cannot be told from that of another file and settles nothing: SENAITE's own screen shows it.
"""

from __future__ import annotations

import os
import re
import stat

INDEX_NAME = "imported.csv"
LOG_NAME = "logs.log"
READ_BYTES_MAX = 4 * 1_048_576
"""Both files only grow, and what was published last stands at their ends: more than this is not read."""
_ERROR_MARK = "[ERROR]"


def read_index(folder: int) -> frozenset[str]:
    """Return the file names in `imported.csv` of the open drop folder; none when there is no such file."""
    return frozenset(line.strip() for line in _tail_lines(folder, INDEX_NAME))


def read_log(folder: int) -> tuple[str, ...]:
    """Return the lines of `logs.log` of the open drop folder; none when there is no such file."""
    return tuple(_tail_lines(folder, LOG_NAME))


def refusal_in_log(lines: tuple[str, ...], final_name: str) -> str:
    """Return the last error line that names the file, from its mark on; "" when there is none."""
    stem = final_name.rpartition(".")[0] or final_name
    # Not a file whose name only begins or ends in the same way, as that of a repeated delivery (`_d2`) does.
    named = re.compile(rf"(?<![\w-]){re.escape(stem)}(?![\w-])")
    for line in reversed(lines):
        _, mark, text = line.partition(_ERROR_MARK)
        if mark and named.search(text):
            return text.strip()
    return ""


def _tail_lines(folder: int, name: str) -> list[str]:
    """Return the whole lines at the end of a plain file; a last line without its end is still being written."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return []
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return []
        skipped = max(0, facts.st_size - READ_BYTES_MAX)
        content = os.pread(descriptor, READ_BYTES_MAX, skipped)
    finally:
        os.close(descriptor)
    lines = content.decode("utf-8", "replace").split("\n")[:-1]
    return lines[1:] if skipped else lines
