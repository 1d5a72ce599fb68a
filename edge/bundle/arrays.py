"""Arrays out of an .npz that is given as verified bytes: plain numbers only, sizes checked before anything is unpacked.

NumPy's own loader would accept any member name, any size and (when asked) pickles. Here the caller states which arrays
it expects, with dtype and number of dimensions, and everything else is refused.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from edge.errors import EdgeError

_MAX_HEADER_BYTES = 2048
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What the libraries raise for damaged bytes: zipfile does not turn every wrong offset, name or length into its own
# error, nor NumPy every header that is no literal.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, OSError, OverflowError,
    ValueError,
)  # fmt: skip
_NO_HEADER = (ValueError, TypeError, LookupError, SyntaxError, tokenize.TokenError)
ARRAY_BYTES_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """What an array must be: NumPy dtype string without byte order, such as `float32`, and number of dimensions.

    An `optional` array may be missing.
    """

    dtype: str
    dimensions: int
    optional: bool = False


def arrays_from_npz(
    data: bytes, expected: Mapping[str, ArraySpec], *, where: str, array_bytes_max: int = ARRAY_BYTES_MAX
) -> dict[str, NDArray[Any]]:
    """Return the expected arrays by name. Raises EdgeError MDSE-BUNDLE-011 for anything else in the file.

    Never unpickles. Refuses unknown, doubled or missing members, members larger than `array_bytes_max`, other dtypes
    or dimensions, and members whose length differs from what their header announces.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info.filename for info in archive.infolist()]
            present = {name: spec for name, spec in expected.items() if not spec.optional or f"{name}.npy" in names}
            if sorted(names) != sorted(f"{name}.npy" for name in present):
                raise _refusal(where, f"it holds {sorted(names)} instead of {sorted(expected)}")
            return {name: _read_member(archive, name, spec, where, array_bytes_max) for name, spec in present.items()}
    except _DAMAGED as error:
        raise _refusal(where, str(error)) from error


def _read_member(
    archive: zipfile.ZipFile, name: str, spec: ArraySpec, where: str, array_bytes_max: int
) -> NDArray[Any]:
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > array_bytes_max:
        raise _refusal(where, f"{name} announces {info.file_size} bytes")
    if info.compress_type not in _METHODS:
        raise _refusal(where, f"{name} is neither stored nor deflated")
    with archive.open(info) as stream:
        shape, dtype, fortran_order = _read_header(stream, name, where)
        if dtype.hasobject or dtype.name != spec.dtype or len(shape) != spec.dimensions:
            raise _refusal(
                where, f"{name} is {dtype.name}{list(shape)}, not {spec.dtype} in {spec.dimensions} dimensions"
            )
        size_bytes = math.prod(shape) * dtype.itemsize
        if size_bytes > info.file_size:
            raise _refusal(where, f"{name} announces more data than it has")
        content = stream.read(size_bytes + 1)
    if len(content) != size_bytes:
        raise _refusal(where, f"{name} has {len(content)} bytes of data where its header says {size_bytes}")
    array = np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran_order else "C")
    return np.ascontiguousarray(array.astype(dtype.newbyteorder("="), copy=False))


def _read_header(stream: Any, name: str, where: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    try:
        version = npy_format.read_magic(stream)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran_order, dtype = read(stream, max_header_size=_MAX_HEADER_BYTES)
    except _NO_HEADER as error:
        raise _refusal(where, f"{name} has no usable header ({error})") from error
    if any(side < 0 for side in shape):
        raise _refusal(where, f"{name} has a negative side")
    return shape, dtype, fortran_order


def _refusal(where: str, reason: str) -> EdgeError:
    return EdgeError("MDSE-BUNDLE-011", where=where, reason=reason)
