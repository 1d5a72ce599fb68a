"""A finished folder takes the place of an earlier one: moved aside first, removed last, so that one is always there."""

from __future__ import annotations

import shutil
from pathlib import Path


def put_in_place(partial: Path, out: Path) -> Path | None:
    """Put `partial` in the place of `out`, beside which it lies. Return what is left of the earlier folder, if any.

    That something of it cannot be removed is no failure: the new folder is in its place by then. Raises OSError where
    the exchange fails; the earlier folder then has its name again, also after an interruption.
    """
    if not out.exists():
        partial.rename(out)
        return None
    aside = partial.with_name(f"{partial.name}.replaced")
    out.rename(aside)
    try:
        partial.rename(out)
    except BaseException:  # also an interruption: between the two renames there is nothing under the name
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    return aside if aside.exists() else None


def words_of_left(left: Path | None) -> tuple[str, ...]:
    """Return the notice about what `put_in_place` could not remove; nothing where there is nothing."""
    return () if left is None else (f"{left} is what is left of the earlier folder and could not be removed",)
