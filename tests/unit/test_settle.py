"""When a folder counts as complete: on our own clock, over at least three looks, with marker and promises kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.daemon.settle import LOOKS_MIN, FolderLook, SettleRule, SettleWatch

RULE = SettleRule(quiet_s=30.0, max_wait_s=600.0, marker_required=False)


def look(signature: str = "a", files: int = 5, marker: bool = False) -> FolderLook:
    return FolderLook(signature, files, marker)


def nothing_missing() -> str:
    return ""


def watch_after(looks: list[tuple[float, FolderLook]], rule: SettleRule = RULE, missing=nothing_missing):
    (start, first), *later = looks
    watch = SettleWatch(rule, first, start)
    verdict = None
    for now, seen in later:
        verdict = watch.observe(seen, now, missing)
    return verdict


def test_a_still_folder_settles_after_the_quiet_time() -> None:
    assert watch_after([(0, look()), (10, look()), (29, look())]).kind == "wait"
    assert watch_after([(0, look()), (10, look()), (20, look()), (30, look())]).kind == "settled"


def test_two_looks_are_not_enough_however_far_apart() -> None:
    assert watch_after([(0, look()), (10_000, look())], SettleRule(30, 1e9, False)).kind == "wait"


def test_a_change_starts_the_quiet_time_anew() -> None:
    looks = [(0, look("a")), (20, look("a")), (25, look("b")), (40, look("b")), (50, look("b"))]
    assert watch_after(looks).kind == "wait"


def test_a_folder_that_grew_in_gaps_must_be_quiet_for_longer() -> None:
    # One image every 20 s: 30 s of quiet say little, 100 s say more.
    grown = [(0, look("a")), (20, look("b")), (40, look("c"))]
    assert watch_after([*grown, (60, look("c")), (75, look("c"))]).kind == "wait"
    assert watch_after([*grown, (60, look("c")), (75, look("c")), (141, look("c"))]).kind == "settled"


def test_a_marker_shortens_the_wait_but_not_the_looks() -> None:
    assert watch_after([(0, look(marker=True)), (6, look(marker=True))]).kind == "wait"
    assert watch_after([(0, look(marker=True)), (3, look(marker=True)), (6, look(marker=True))]).kind == "settled"


def test_without_the_required_marker_a_folder_never_settles() -> None:
    rule = SettleRule(30, 600, marker_required=True)
    verdict = watch_after([(0, look()), (50, look()), (500, look())], rule)
    assert (verdict.kind, verdict.reason) == ("wait", "the marker that says 'complete' is missing")
    assert watch_after([(0, look()), (50, look()), (601, look())], rule).kind == "overdue"


def test_a_folder_that_promises_more_waits_and_becomes_overdue_with_the_reason() -> None:
    verdict = watch_after([(0, look()), (50, look()), (100, look())], missing=lambda: "93 of 100")
    assert verdict.kind == "wait"
    verdict = watch_after([(0, look()), (50, look()), (700, look())], missing=lambda: "93 of 100")
    assert (verdict.kind, verdict.reason) == ("overdue", "93 of 100")


def test_an_empty_folder_becomes_overdue_and_never_settles() -> None:
    verdict = watch_after([(0, look(files=0)), (100, look(files=0)), (700, look(files=0))])
    assert (verdict.kind, verdict.reason) == ("overdue", "the folder holds no images")


def test_a_folder_that_never_comes_to_rest_becomes_overdue() -> None:
    looks = [(float(second), look(str(second))) for second in range(0, 700, 10)]
    verdict = watch_after(looks)
    assert (verdict.kind, verdict.reason) == ("overdue", "the folder is still changing")


def test_a_released_folder_passes_although_it_is_incomplete() -> None:
    watch = SettleWatch(SettleRule(30, 600, marker_required=True), look(), 0)
    watch.observe(look(), 20, lambda: "93 of 100", released=True)
    assert watch.observe(look(), 40, lambda: "93 of 100", released=True).kind == "settled"


def test_the_metadata_are_read_only_when_the_folder_is_quiet() -> None:
    asked = []

    def missing() -> str:
        asked.append(1)
        return ""

    watch_after([(0, look("a")), (10, look("b")), (20, look("c"))], missing=missing)
    assert not asked


@given(st.lists(st.tuples(st.floats(0.01, 60), st.sampled_from("abc"), st.booleans()), min_size=1, max_size=40))
def test_settled_means_unchanged_for_the_quiet_time_over_three_looks(steps) -> None:
    """Whatever arrives in whatever rhythm: never early, and never on fewer looks than three."""
    now, watch, same_since, looks, last = 0.0, None, 0.0, 0, ""
    for pause, signature, marker in steps:
        now += pause
        seen = look(signature, marker=marker)
        if signature != last:
            same_since, looks, last = now, 0, signature
        looks += 1
        if watch is None:
            watch = SettleWatch(RULE, seen, now)
            continue
        if watch.observe(seen, now, nothing_missing).kind == "settled":
            assert looks >= LOOKS_MIN
            assert now - same_since >= (5.0 if marker else RULE.quiet_s)


@pytest.mark.parametrize("jump_s", [3.15e8, -3.15e8])
def test_the_rule_knows_no_wall_clock(jump_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(time, "time", lambda: 1e9 + jump_s)
    assert watch_after([(0, look()), (10, look()), (20, look())]).kind == "wait"
