"""Gives memory back to the system that nobody holds any more: Keras, ONNX Runtime, OpenVINO take turns with it."""

from __future__ import annotations

import gc

from edge.engines.process_memory import give_back_freed_memory


def give_back_unused_memory() -> None:
    """Collect what nobody holds, and return its pages: the C library would keep them."""
    gc.collect()
    give_back_freed_memory()
