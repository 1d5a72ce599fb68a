"""Only plain arrays of the expected kind come out of a bundle's .npz files."""

from __future__ import annotations

import contextlib
import io
import random
import zipfile

import numpy as np
import pytest

from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.errors import EdgeError

EXPECTED = {"profile": ArraySpec("float32", 2), "margin": ArraySpec("float64", 1)}
GOOD = {"profile": np.array([[1, np.nan], [3, 4]], np.float32), "margin": np.array([0.25, -1.5])}


def npz(compressed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_plain_arrays_come_back_bit_for_bit(compressed):
    arrays = arrays_from_npz(npz(compressed, **GOOD), EXPECTED, where="golden/profiles.npz")
    for name, array in GOOD.items():
        assert arrays[name].tobytes() == array.tobytes()
        assert arrays[name].dtype == array.dtype


def test_another_byte_order_and_column_order_are_understood():
    odd = {"profile": np.asfortranarray(GOOD["profile"]), "margin": GOOD["margin"].astype(">f8")}
    arrays = arrays_from_npz(npz(**odd), EXPECTED, where="x")
    np.testing.assert_array_equal(arrays["profile"], GOOD["profile"])
    np.testing.assert_array_equal(arrays["margin"], GOOD["margin"])


@pytest.mark.case("H6")
@pytest.mark.parametrize(
    "arrays",
    [
        {**GOOD, "profile": np.array([[object()]], dtype=object)},
        {**GOOD, "profile": GOOD["profile"].astype(np.float64)},
        {**GOOD, "profile": GOOD["profile"][0]},
        {**GOOD, "more": GOOD["margin"]},
        {"profile": GOOD["profile"]},
    ],
)
def test_anything_but_the_expected_arrays_is_refused(arrays):
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-011 golden"):
        arrays_from_npz(npz(**arrays), EXPECTED, where="golden/profiles.npz")


def test_a_member_whose_length_differs_from_its_header_is_refused():
    whole = io.BytesIO()
    np.save(whole, GOOD["profile"])
    margin = io.BytesIO()
    np.save(margin, GOOD["margin"])
    for content in (whole.getvalue()[:-1], whole.getvalue() + b"x", b"", b"\x93NUMPY\x09\x00"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("profile.npy", content)
            archive.writestr("margin.npy", margin.getvalue())
        with pytest.raises(EdgeError, match="MDSE-BUNDLE-011"):
            arrays_from_npz(stream.getvalue(), EXPECTED, where="x")


@pytest.mark.case("H13")
def test_a_header_that_announces_a_terabyte_allocates_nothing():
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 18)})
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("profile.npy", header.getvalue())
        archive.writestr("margin.npy", b"")
    with pytest.raises(EdgeError, match="announces more data than it has"):
        arrays_from_npz(stream.getvalue(), EXPECTED, where="x")


def test_bytes_that_are_no_archive_are_refused():
    for data in (b"", b"PK", npz(**GOOD)[:-10]):
        with pytest.raises(EdgeError, match="MDSE-BUNDLE-011"):
            arrays_from_npz(data, EXPECTED, where="x")


def member(header, version):
    text = header.encode("latin-1")
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + bytes(4)


@pytest.mark.case("H6")
@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), " + "(" * 300 + "\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), " + "-" * 1500 + "1: 1}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), '''\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }\n   x\n  y\n",
        "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1, 1)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, " + "9" * 40 + ")}\n",
        "{'descr': [('x', '<f4'), ('x', '<f4')], 'fortran_order': False, 'shape': (1, 1)}\n",
        "{'descr': [], 'fortran_order': False, 'shape': (1, 1)}\n",
        "{'descr': {1: 2}, 'fortran_order': False, 'shape': (1, 1)}\n",
        "{[]: 1}\n",
        "{'descr': (), 'fortran_order': False, 'shape': (1,)}\n",
        "{'descr': ('<f4',), 'fortran_order': False, 'shape': (1,)}\n",
        "\x00\n",
    ],
)
def test_a_header_that_no_parser_takes_is_refused_as_the_file_that_it_is_in(header, version):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("profile.npy", member(header, version))
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-011 golden"):
        arrays_from_npz(stream.getvalue(), {"profile": EXPECTED["profile"]}, where="golden/profiles.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damaged", [False, True])
def test_an_array_that_is_neither_stored_nor_deflated_is_refused_unread(method, damaged):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("profile.npy", bytes(1000))
    data = bytearray(stream.getvalue())
    if damaged:
        data[50:60] = b"\xff" * 10
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-011 x: .*profile is neither stored nor deflated"):
        arrays_from_npz(bytes(data), {"profile": EXPECTED["profile"]}, where="x")


@pytest.mark.case("H1")
def test_an_archive_with_damaged_bytes_is_read_or_refused_and_never_an_error_of_another_kind():
    whole, draw = npz(**GOOD), random.Random(1)
    for _ in range(6000):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.choice([0, 255, draw.randrange(256)])
        with contextlib.suppress(EdgeError):
            arrays_from_npz(bytes(damaged), EXPECTED, where="x")


def test_an_optional_array_may_be_missing_and_is_checked_when_it_is_there():
    expected = {**EXPECTED, "extra": ArraySpec("uint8", 1, optional=True)}
    assert sorted(arrays_from_npz(npz(**GOOD), expected, where="x")) == ["margin", "profile"]
    extra = np.arange(3, dtype=np.uint8)
    assert arrays_from_npz(npz(**GOOD, extra=extra), expected, where="x")["extra"].tobytes() == extra.tobytes()
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-011"):
        arrays_from_npz(npz(**GOOD, extra=extra.astype(np.float32)), expected, where="x")


def test_a_reader_may_lower_the_size_that_an_array_may_have():
    with pytest.raises(EdgeError, match="profile announces"):
        arrays_from_npz(npz(True, **GOOD), EXPECTED, where="x", array_bytes_max=100)
