"""A dear count is taken anew only when the books have changed, and for a hundredth of the time."""

from __future__ import annotations

from pathlib import Path

import pytest
from decided_slides import Laboratory

from edge.daemon import rationed
from edge.daemon.rationed import RationedCount


class Counted:
    """A count that says how often it was taken, and how long that is said to take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, takes_s: float) -> None:
        self.taken, self._now_s, self._takes_s = 0, 0.0, takes_s
        monkeypatch.setattr(rationed.time, "perf_counter", lambda: self._now_s)

    def __call__(self, _journal: object) -> int:
        self.taken += 1
        self._now_s += self._takes_s
        return self.taken


def test_a_cheap_count_is_of_now_and_not_taken_where_nothing_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory, counted = Laboratory(tmp_path), Counted(monkeypatch, 0.001)
    count, journal = RationedCount(counted), laboratory.books.journal
    assert [count.value(journal, 5.0), count.value(journal, 5.0)] == [1, 1]
    laboratory.arrive()
    assert count.value(journal, 5.0) == 2
    journal.close()


def test_a_dear_count_is_taken_for_a_hundredth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory, counted = Laboratory(tmp_path), Counted(monkeypatch, 0.5)
    count, journal = RationedCount(counted), laboratory.books.journal
    assert count.value(journal, 5.0) == 1
    laboratory.arrive()
    assert [count.value(journal, 54.9), count.value(journal, 55.0)] == [1, 2]
    journal.close()
