"""Errors of the operating system: the place's pass and are tried again, unknown ones are the slide's after an hour."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edge.daemon.backoff import Backoff
from edge.daemon.trouble import DOUBT_S, Doubts, error_number_of, longest_pause_s
from edge.delivery.durable import explained
from edge.errors import EdgeError


@pytest.mark.case("A26")
@pytest.mark.parametrize("number", [errno.EACCES, errno.EBUSY, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE])
def test_trouble_of_the_place_is_never_taken_for_the_slides(number: int) -> None:
    doubts = Doubts()
    assert not doubts.is_of_the_slide(1, number, 0.0)
    assert not doubts.is_of_the_slide(1, number, 1e9)


@pytest.mark.case("D7")
def test_an_error_that_nobody_knows_is_the_slides_after_an_hour_of_it_alone() -> None:
    doubts = Doubts()
    assert not doubts.is_of_the_slide(1, errno.EIO, 100.0)
    assert not doubts.is_of_the_slide(1, errno.EIO, 99.0 + DOUBT_S)
    assert doubts.is_of_the_slide(1, errno.EIO, 100.0 + DOUBT_S)
    assert not doubts.is_of_the_slide(2, errno.EIO, 100.0 + DOUBT_S)
    doubts.forget(1)
    assert not doubts.is_of_the_slide(1, errno.EIO, 200.0 + DOUBT_S)
    assert not doubts.is_of_the_slide(1, errno.ENOSPC, 201.0 + DOUBT_S)  # another trouble between begins the hour anew
    assert not doubts.is_of_the_slide(1, errno.EIO, 200.0 + 2 * DOUBT_S)


@pytest.mark.case("D2")
@pytest.mark.parametrize(
    ("number", "longest_s"),
    [(errno.ENOSPC, 2.0), (errno.EDQUOT, 2.0), (errno.EROFS, 2.0), (errno.EIO, None), (0, None)],
)
def test_a_full_disk_is_tried_again_within_one_scan_however_long_it_was_full(
    number: int, longest_s: float | None
) -> None:
    assert longest_pause_s(number, 2.0) == longest_s
    pause = Backoff()
    waits = [pause.failed(0.0, at_most_s=longest_pause_s(number, 2.0)) for _ in range(12)]
    assert max(waits) == (longest_s or 600.0)


def test_no_pause_after_a_full_disk_is_longer_than_five_seconds() -> None:
    assert longest_pause_s(errno.ENOSPC, 300.0) == 5.0


def test_the_number_is_found_behind_our_own_error() -> None:
    with pytest.raises(EdgeError) as caught, explained(Path("/drop")):
        raise OSError(errno.EDQUOT, "quota")
    assert error_number_of(caught.value) == errno.EDQUOT
    assert error_number_of(OSError(errno.EIO, "x")) == errno.EIO
    assert error_number_of(ValueError("x")) == 0
