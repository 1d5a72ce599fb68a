"""A worker that gets stuck, even deaf to signals, is replaced within its budget and 5 s."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.bench.stuck import run_stuck
from tests.fault.side_by_side import side_by_side


@pytest.mark.case("C5")
@pytest.mark.case("C8")
def test_a_worker_stuck_in_native_code_is_replaced_in_time(tmp_path: Path) -> None:
    runs = [
        lambda work: run_stuck(1, work, stuck=3),
        lambda work: run_stuck(1, work, "budgets_are_not_kept", stuck=1),
        lambda work: run_stuck(1, work, "children_are_joined_without_limit", stuck=1),
    ]
    product, unwatched, joined = side_by_side(tmp_path, runs)
    assert (product.points, product.faults) == (3, 0), product
    # The bench sees budgets that nobody keeps, and a supervisor that waits for a deaf child without a limit.
    assert unwatched.lost
    assert joined.lost
