"""Result file names: safe on every file system whatever the ids hold, and the same for the same record."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.delivery.names import NAME_BYTES_MAX, final_name_from_record, safe_part_from_id
from edge.errors import EdgeError


def record(sample_id: object = "A0042", slide_key: object = "A0042_S1", **changes: object) -> dict[str, object]:
    return {
        "message_id": "9F3C21AA04B7.R1",
        "revision": 1,
        "analysed_at": "2026-11-23T18:00:00+09:00",
        "slide": {"sample_id": sample_id, "slide_key": slide_key},
    } | changes


def test_a_name_tells_sample_slide_revision_and_utc_time() -> None:
    name = final_name_from_record(record(), ".hl7")
    assert re.fullmatch(r"A0042_A0042_S1_r1_20261123T090000Z_[0-9a-f]{8}\.hl7", name)


def test_the_same_record_gives_the_same_name_whatever_the_order_of_its_keys() -> None:
    forward = record()
    backward = dict(reversed(forward.items()))
    assert final_name_from_record(forward, ".hl7") == final_name_from_record(backward, ".hl7")


def test_leading_zeros_stay() -> None:
    assert final_name_from_record(record("0000123"), ".hl7").startswith("0000123_")


@pytest.mark.parametrize(
    "change",
    [{"revision": 2}, {"message_id": "9F3C21AA04B7.R2"}, {"status": "W"}, {"analysed_at": "2026-11-23T18:00:01+09:00"}],
)
def test_any_difference_of_the_record_gives_another_name(change: dict[str, object]) -> None:
    assert final_name_from_record(record() | change, ".hl7") != final_name_from_record(record(), ".hl7")


def test_a_repeated_delivery_has_a_name_of_its_own() -> None:
    first, second = (final_name_from_record(record(), ".hl7", delivery=number) for number in (1, 2))
    assert second == first.replace(".hl7", "_d2.hl7")


@pytest.mark.case("S4")
@pytest.mark.parametrize(
    "hostile",
    ["../../etc/passwd", ".hidden", "-rf", "CON", "con.txt", "a\nb", "a/b", "ä", "x" * 300, "..", " ", "\ud800"],
)
def test_hostile_ids_become_safe_and_end_in_a_hash(hostile: str) -> None:
    part = safe_part_from_id(hostile)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,35}", part)
    assert re.search(r"-[0-9a-f]{6}$", part)


@pytest.mark.case("S4")
def test_two_hostile_ids_that_look_alike_afterwards_stay_apart() -> None:
    assert safe_part_from_id("A/1") != safe_part_from_id("A:1")
    assert safe_part_from_id("x" * 100) != safe_part_from_id("x" * 101)


@pytest.mark.case("S4")
@given(st.text(min_size=1), st.text(min_size=1), st.integers(1, 9999), st.integers(1, 999))
def test_any_ids_give_a_plain_short_name(sample: str, slide: str, revision: int, delivery: int) -> None:
    name = final_name_from_record(record(sample, slide, revision=revision), ".json", delivery=delivery)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.json", name)
    assert len(name.encode()) <= NAME_BYTES_MAX


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_ids_never_share_a_part(one: str, other: str) -> None:
    if one != other:
        assert safe_part_from_id(one) != safe_part_from_id(other)


@pytest.mark.parametrize(
    "broken",
    [
        record(sample_id=None),
        record(sample_id=""),
        record(slide_key=None),
        record(revision=0),
        record(revision="1"),
        record(analysed_at="yesterday"),
        record(analysed_at="2026-11-23T18:00:00"),
        {},
    ],
)
def test_a_record_without_its_identity_gets_no_name(broken: dict[str, object]) -> None:
    with pytest.raises(EdgeError) as failure:
        final_name_from_record(broken, ".hl7")
    assert failure.value.code == "MDSE-DELIVERY-011"


@pytest.mark.parametrize("extension", ["hl7", ".hl7/..", ".", "", ".HL 7"])
def test_what_is_not_an_extension_is_refused(extension: str) -> None:
    with pytest.raises(EdgeError):
        final_name_from_record(record(), extension)
