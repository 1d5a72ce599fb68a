"""HTML from values: text is escaped unless it was made here, so that no identifier can become markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

from edge.errors import printable


class Html(str):
    """Text that is markup already. Only `tag`, `joined` and `raw` make it."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: object) -> Html:
    """Return an element. Children that are plain text are escaped; None is left out.

    Attribute names lose a trailing underscore and turn others into hyphens (`class_`, `aria_label`); an attribute of
    value None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_quoted(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Iterable[str | None]) -> Html:
    """Return children one after the other, plain text escaped, None left out."""
    return Html("".join(child if isinstance(child, Html) else _quoted(child) for child in children if child))


def raw(markup: str) -> Html:
    """Mark a constant of ours as markup. Never for anything that came from a record."""
    return Html(markup)


def _quoted(text: str) -> str:
    # Control characters and direction marks are spelled out: they could make an identifier look like another.
    return html.escape(printable(text), quote=True)
