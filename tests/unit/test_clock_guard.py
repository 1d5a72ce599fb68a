"""The wall clock: believed while it goes with the monotonic one, doubted when it jumped, lags or stands in the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from edge.daemon.books import utc_text
from edge.daemon.clock_guard import ClockGuard

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
BEFORE = utc_text(START - timedelta(minutes=5))
DAY_S = 86_400.0


def test_a_clock_that_goes_on_with_ours_is_believed() -> None:
    assert ClockGuard(START, 100.0, BEFORE).doubt(START + timedelta(days=40), 100.0 + 40 * DAY_S, BEFORE) == ""


@pytest.mark.case("E1")
@pytest.mark.parametrize("days", [3650, 1, -1, -300])
def test_a_clock_that_jumps_either_way_is_doubted_until_it_is_back(days: int) -> None:
    guard = ClockGuard(START, 100.0, BEFORE)
    assert guard.doubt(START + timedelta(days=days), 200.0, BEFORE)
    assert guard.doubt(START + timedelta(seconds=110), 210.0, BEFORE) == ""


@pytest.mark.case("E1")
def test_a_start_long_after_the_newest_row_is_doubted_until_a_person_accepts_it() -> None:
    ahead = START + timedelta(days=3650)
    guard = ClockGuard(ahead, 5.0, BEFORE)
    assert guard.doubt(ahead, 5.0, utc_text(ahead))
    guard.accept(ahead, 5.0)
    assert guard.doubt(ahead, 6.0, utc_text(ahead)) == ""


@pytest.mark.case("E2")
def test_a_start_in_1970_is_doubted_and_believed_once_the_clock_is_set() -> None:
    wrong = datetime(1970, 1, 2, tzinfo=UTC)
    guard = ClockGuard(wrong, 5.0, BEFORE)
    assert "1970" in guard.doubt(wrong, 5.0, BEFORE)
    assert guard.doubt(START, 65.0, utc_text(wrong)) == ""
    assert guard.doubt(START + timedelta(days=2), 66.0, utc_text(START))


@pytest.mark.case("E2")
def test_a_start_before_the_newest_row_is_doubted() -> None:
    guard = ClockGuard(START, 5.0, utc_text(START + timedelta(days=3)))
    assert "future" in guard.doubt(START, 6.0, utc_text(START + timedelta(days=3)))


def test_a_journal_that_was_begun_in_1970_does_not_make_the_right_clock_doubtful() -> None:
    guard = ClockGuard(START, 5.0, "1970-01-01T00:00:10.000Z")
    assert guard.doubt(START, 6.0, "1970-01-01T00:00:10.000Z") == ""
