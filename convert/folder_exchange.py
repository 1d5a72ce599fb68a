"""A finished folder takes the place of an earlier one: moved aside first, removed last, so that one is always there."""

from __future__ import annotations

import shutil
from pathlib import Path


def put_in_place(partial: Path, out: Path) -> None:
    """Put `partial` in the place of `out`, beside which it lies.

    Raises OSError where that fails; the earlier folder then has its name again, also after an interruption.
    """
    if not out.exists():
        partial.rename(out)
        return
    aside = partial.with_name(f"{partial.name}.replaced")
    out.rename(aside)
    try:
        partial.rename(out)
    except BaseException:  # also an interruption: between the two renames there is nothing under the name
        aside.rename(out)
        raise
    shutil.rmtree(aside)
