"""Every English sentence that the writers put in front of a person, from one file (`strings.toml`)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources


@cache
def _sections() -> dict[str, dict[str, str]]:
    text = resources.files("edge.writers").joinpath("strings.toml").read_text(encoding="utf-8")
    sections: dict[str, dict[str, str]] = tomllib.loads(text)
    return sections


def sentence(key: str, /, **facts: object) -> str:
    """Return the text under `section.name` with its placeholders filled. An unknown key or fact raises KeyError."""
    section, name = key.split(".", 1)
    return _sections()[section][name].format_map({name: str(value) for name, value in facts.items()})


def words(section: str) -> dict[str, str]:
    """Return a whole section, for example the words of the status letters."""
    return _sections()[section]
