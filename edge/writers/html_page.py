"""The frame of every page: one file with style and script inside, and a policy that forbids everything else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from edge.writers.html_markup import joined, raw, tag
from edge.writers.strings import current_language


@cache
def policy() -> str:
    """Return the content security policy: nothing may be fetched, and only our one script may run, known by its digest.

    Whatever an identifier holds: the browser is told so as well.
    """
    digest = base64.b64encode(hashlib.sha256(_file("sort.js").encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def page_from_body(title: str, body: Sequence[str | None]) -> str:
    """Return a whole HTML page in the current language; `title` and plain text in `body` are escaped.

    The script only sorts what is on the page already; everything can be read without it.
    """
    head = joined(
        (
            raw('<meta charset="utf-8">'),
            _policy_element(),
            raw('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            raw('<meta name="robots" content="noindex">'),
            tag("title", title),
            tag("style", raw(_file("report.css"))),
        )
    )
    script = tag("script", raw(_file("sort.js")))
    page = tag("html", tag("head", head), tag("body", *body, script), lang=current_language())
    return f"<!doctype html>\n{page}\n"


def _policy_element() -> str:
    """Return the policy as an element of the head."""
    return raw(f'<meta http-equiv="Content-Security-Policy" content="{policy()}">')


@cache
def _file(name: str) -> str:
    return resources.files("edge.writers").joinpath(name).read_text(encoding="utf-8")
