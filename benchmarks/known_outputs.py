"""Outputs that were computed once are not computed again: the same file gives the same answers for the same cells.

Thirty damaged conversions of one network share most of their files; only what a damage changes is run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

from convert import cell_honesty, conversion, engine_proof, int8_agreement, weight_check
from convert.onnx_graph import bytes_from_onnx
from edge.engines.base import EngineOutputs

_known: dict[tuple[str, ...], EngineOutputs] = {}
_network_of: dict[int, str] = {}


def outputs_kept(stack: ExitStack) -> None:
    """Let the steps of a conversion look outputs up, by the digests of network and cells, while `stack` is open."""
    for module in (cell_honesty, conversion, engine_proof, int8_agreement, weight_check):
        stack.enter_context(mock.patch.object(module, "outputs_of_onnx", _of_onnx(module.outputs_of_onnx)))
    for module in (engine_proof, int8_agreement):
        stack.enter_context(mock.patch.object(module, "open_openvino", _opening(module.open_openvino)))
        stack.enter_context(mock.patch.object(module, "outputs_of_engine", _of_engine(module.outputs_of_engine)))


def _of_onnx(right: Callable[..., Any]) -> Callable[..., Any]:
    def outputs(model: Any, images: Any, progress: Any, **options: Any) -> EngineOutputs:
        key = ("onnx", _digest(bytes_from_onnx(model)), _digest(images), repr(sorted(options.items())))
        if key not in _known:
            _known[key] = right(model, images, progress, **options)
        return _known[key]

    return outputs


def _opening(right: Callable[..., Any]) -> Callable[..., Any]:
    def opened(data: bytes, **options: Any) -> Any:
        engine = right(data, **options)
        _network_of[id(engine)] = _digest(data)
        return engine

    return opened


def _of_engine(right: Callable[..., Any]) -> Callable[..., Any]:
    def outputs(engine: Any, images: Any, progress: Any, **options: Any) -> EngineOutputs:
        key = ("engine", _network_of[id(engine)], _digest(images))
        if key not in _known:
            _known[key] = right(engine, images, progress, **options)
        return _known[key]

    return outputs


def _digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()
