"""Writes .npz files whose bytes depend on the arrays alone: no time stamps, a fixed order, one compression level.

NumPy's own writer stamps the current time into the archive, which would give every bundle another digest.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can hold


def npz_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the archive with one `<name>.npy` per array, names sorted. Raises ValueError for arrays of objects."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", _STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, member.getvalue())
    return stream.getvalue()
