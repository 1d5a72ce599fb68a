"""The frame of every page: one file with its style inside, and a policy that forbids everything else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

from edge.writers.html_markup import joined, raw, tag

# Nothing may be fetched and nothing may run, whatever an identifier holds: the browser is told so as well.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page_from_body(title: str, body: Sequence[str | None]) -> str:
    """Return a whole HTML page; `title` and plain text in `body` are escaped."""
    head = joined(
        (
            raw('<meta charset="utf-8">'),
            raw(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
            raw('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            raw('<meta name="robots" content="noindex">'),
            tag("title", title),
            tag("style", raw(_stylesheet())),
        )
    )
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", *body), lang="en") + "\n"


@cache
def _stylesheet() -> str:
    return resources.files("edge.writers").joinpath("report.css").read_text(encoding="utf-8")
