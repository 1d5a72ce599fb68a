"""The rates of the tenths of a drained queue, from the first slide that was sent to the last."""

from __future__ import annotations

import pytest

from benchmarks.daemon_latency import rates_of_tenths


def test_the_tenths_reach_from_the_first_slide_to_the_last():
    """A thousand slides, one a second; the last hundred one in two seconds: only the last tenth is slow."""
    at = [float(number) for number in range(901)]
    at += [900 + 2.0 * number for number in range(1, 100)]
    rates = rates_of_tenths(at)
    assert len(rates) == 10
    assert rates[:9] == pytest.approx([1.0] * 9, rel=0.02)
    assert rates[-1] == pytest.approx(0.5, rel=0.02)


def test_every_slide_between_the_first_and_the_last_counts_once():
    """As many seconds as the whole took, whatever the number of slides."""
    for count in (2, 5, 11, 23, 1000):
        rates = rates_of_tenths([0.5 * number for number in range(count)])
        assert len(rates) == min(10, count - 1)
        assert rates == pytest.approx([2.0] * len(rates))
