"""Gives memory back to the system that the C library would keep: Keras, ONNX Runtime, OpenVINO take turns with it."""

from __future__ import annotations

import ctypes
import gc


def give_back_freed_memory() -> None:
    """Collect what nobody holds and return freed pages; where the C library is not glibc it does so by itself."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
