"""When is a slide's folder complete? A pure rule over looks, on a clock that only goes forward.

A folder is settled when its signature (names, sizes, times of its files) has stayed the same for `quiet_s` since *we*
first saw it so, over at least three looks. File times are compared with each other only, never with our clock: copy
tools keep old times while they still copy, and the clock of a share is not ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LOOKS_MIN = 3
MARKED_QUIET_S = 5.0
"""With a marker ("written after the copy") this much quiet is enough: it covers a share's attribute cache."""
GAP_FACTOR = 5.0
GAP_QUIET_MAX = 4.0
"""A folder that grows in gaps must be quiet for five of its longest gaps, at most for four times `quiet_s`."""


@dataclass(frozen=True, slots=True)
class SettleRule:
    """The site's rule for one source. Times in seconds."""

    quiet_s: float
    max_wait_s: float
    marker_required: bool


@dataclass(frozen=True, slots=True)
class FolderLook:
    """What one look at a folder found: the digest of its files' names, sizes and times, their number, the marker."""

    signature: str
    file_count: int
    has_marker: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """`wait`, `settled` or `overdue` (waited longer than `max_wait_s`); for the last two a reason in words."""

    kind: str
    reason: str = ""


class SettleWatch:
    """Follows one folder from its first look. `now_s` are monotonic seconds."""

    def __init__(self, rule: SettleRule, first: FolderLook, now_s: float) -> None:
        self._rule = rule
        self._first_seen_s = now_s
        self._unchanged_since_s = now_s
        self._longest_gap_s = 0.0
        self._looks = 1
        self.signature = first.signature

    def observe(self, look: FolderLook, now_s: float, missing: Callable[[], str], *, released: bool = False) -> Verdict:
        """Take one more look and judge.

        `missing()` tells, for a folder that is otherwise quiet, what its own metadata still promises ("" = nothing);
        it is called only then, because it reads a file. `released`: a person lets the folder pass as it is.
        """
        if look.signature != self.signature:
            self._longest_gap_s = max(self._longest_gap_s, now_s - self._unchanged_since_s)
            self.signature, self._unchanged_since_s, self._looks = look.signature, now_s, 1
        else:
            self._looks += 1
        reason = self._reason_to_wait(look, now_s, missing, released)
        if not reason:
            return Verdict("settled")
        if now_s - self._first_seen_s > self._rule.max_wait_s:
            return Verdict("overdue", reason)
        return Verdict("wait", reason)

    def _reason_to_wait(self, look: FolderLook, now_s: float, missing: Callable[[], str], released: bool) -> str:
        quiet_s = now_s - self._unchanged_since_s
        if self._looks < LOOKS_MIN or quiet_s < self._needed_quiet_s(look):
            return "the folder is still changing"
        if look.file_count == 0:
            return "the folder holds no images"
        if released:
            return ""
        if self._rule.marker_required and not look.has_marker:
            return "the marker that says 'complete' is missing"
        return missing()

    def _needed_quiet_s(self, look: FolderLook) -> float:
        quiet_s = self._rule.quiet_s
        if look.has_marker:
            return min(quiet_s, MARKED_QUIET_S)
        return max(quiet_s, min(GAP_FACTOR * self._longest_gap_s, GAP_QUIET_MAX * quiet_s))
