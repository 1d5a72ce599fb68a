"""Every sentence that the writers put in front of a person, from one file per language (`strings.toml` is English).

A page is written in one language: `with speaking("ja"): ...`. Messages to receivers (`MESSAGE_SECTIONS`) are always
English, because a LIS may not take another character set, and stand in the English file alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources

ENGLISH = "en"
# A further language is two files, `strings.<language>.toml` and `names.<language>.toml`, and its code here.
LANGUAGES = (ENGLISH, "ja")
MESSAGE_SECTIONS = frozenset({"note", "name"})

# Set for the length of one page: handed down through every function that writes a word, it would stand in all of them.
_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Write in `language` inside the block. Raises ValueError for one that is not in LANGUAGES."""
    if language not in LANGUAGES:
        raise ValueError(f"no language {language!r}; there are {', '.join(LANGUAGES)}")
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def current_language() -> str:
    """Return the code of the language in which words are given now."""
    return _language.get()


@cache
def sections(language: str) -> dict[str, dict[str, str]]:
    """Return all sentences of a language by section and name."""
    name = "strings.toml" if language == ENGLISH else f"strings.{language}.toml"
    return _read(name)


@cache
def catalogue_names(language: str) -> dict[str, dict[str, str]]:
    """Return what a language calls the packaged catalogue's entries: sections `type`, `finding` and `short`, by code.

    English has none of its own: its names are the catalogue's.
    """
    return {"type": {}, "finding": {}, "short": {}} if language == ENGLISH else _read(f"names.{language}.toml")


def sentence(key: str, /, **facts: object) -> str:
    """Return the text under `section.name` with its placeholders filled. An unknown key or fact raises KeyError."""
    section, name = key.split(".", 1)
    return words(section)[name].format_map({name: str(value) for name, value in facts.items()})


def words(section: str) -> dict[str, str]:
    """Return a whole section, for example the words of the status letters."""
    return sections(ENGLISH if section in MESSAGE_SECTIONS else _language.get())[section]


def _read(name: str) -> dict[str, dict[str, str]]:
    text = resources.files("edge.writers").joinpath(name).read_text(encoding="utf-8")
    read: dict[str, dict[str, str]] = tomllib.loads(text)
    return read
