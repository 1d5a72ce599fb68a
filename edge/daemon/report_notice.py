"""The archived HTML report of a result whose status a person changed: the same page with a notice at its head.

Nothing that was measured changes, and the pictures exist only in the page that was made while the slide was analyzed.
So the page is kept as it is, and what has become of the result stands above it, where nobody can overlook it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

BEGIN, END = b"<!-- status notice: begin -->", b"<!-- status notice: end -->"
WORDS = {"F": "FINAL", "W": "WITHDRAWN: DO NOT USE", "C": "CORRECTED", "X": "NOT EVALUATED", "P": "PRELIMINARY"}
_BODY = re.compile(rb"<body(?:\s[^>]*)?>")
_LOOK = "border:3px solid #111;padding:12px 18px;margin:0 0 12px;font-weight:bold;overflow-wrap:anywhere"
_GRAVE = "background:#111;color:#fff;"


def page_with_notice(page: bytes, record: Mapping[str, Any], *, by: str) -> bytes | None:
    """Return the report page with a notice of the record's status; an earlier notice is replaced.

    None when the page has no body, which no page of ours is without.
    """
    if page.count(BEGIN) == 1 and page.count(END) == 1 and page.index(BEGIN) < page.index(END):
        page = page[: page.index(BEGIN)] + page[page.index(END) + len(END) :]
    body = _BODY.search(page)
    if body is None:
        return None
    return page[: body.end()] + BEGIN + _notice(record, by).encode("utf-8") + END + page[body.end() :]


def _notice(record: Mapping[str, Any], by: str) -> str:
    status = str(record["status"])
    look = (_GRAVE if status == "W" else "") + _LOOK
    text = (
        f"{WORDS[status]} (status {status}). Revision {record['revision']}, message {record['message_id']}, replaces "
        f"{record['supersedes']}; {record['analysed_at']}, by {by}, because: {record['reason']}. "
        "The status printed further down is that of the measurement; no value has changed."
    )
    return f'<p role="alert" style="{look}">{html.escape(text)}</p>'
