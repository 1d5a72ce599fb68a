"""A Keras model as a plain list of layer calls, nested models unrolled, in the order of computation.

LayerCall          one layer applied once: its name, the values it reads, the value it makes
calls_from_model   the list, with the numbers of the input and output values
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from edge.errors import EdgeError


@dataclass(frozen=True, slots=True, eq=False)
class LayerCall:
    """One call of a layer. `shape` is the Keras shape of its result without the batch; values are numbered."""

    layer: Any
    name: str
    inputs: tuple[int, ...]
    output: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class UnrolledModel:
    """All calls of a model; `outputs` are (name, value) in the model's order.

    `tensors` are the Keras tensors of the outermost model by value: what a nested model keeps inside has none.
    """

    calls: tuple[LayerCall, ...]
    input: int
    input_shape: tuple[int | None, ...]
    outputs: tuple[tuple[str, int], ...]
    tensors: Mapping[int, Any]

    def maker_of(self, value: int) -> LayerCall | None:
        """Return the call that makes `value`, or None for the model's input."""
        return next((call for call in self.calls if call.output == value), None)

    def readers_of(self, value: int) -> list[LayerCall]:
        """Return the calls that read `value`."""
        return [call for call in self.calls if value in call.inputs]


def calls_from_model(model: keras.Model) -> UnrolledModel:
    """Unroll `model`. Raises EdgeError MDSE-CONVERT-005 where it does not take exactly one image."""
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or model.inputs[0].shape[-1] != 3:
        found = ", ".join(str(tuple(tensor.shape)) for tensor in model.inputs)
        raise EdgeError("MDSE-CONVERT-005", where=model.name, found=found or "none")
    calls: list[LayerCall] = []
    tensors: dict[int, Any] = {}
    values = _unroll(model, [0], "", calls, tensors)
    # A dict of outputs is flattened in the order of its sorted keys, so names are joined by identity, not by place.
    keys = {id(tensor): key for key, tensor in model.output.items()} if isinstance(model.output, dict) else {}
    names = [keys.get(id(tensor), _history(tensor).name) for tensor in model.outputs]
    return UnrolledModel(
        tuple(calls), 0, tuple(model.inputs[0].shape[1:]), tuple(zip(names, values, strict=True)), tensors
    )


def _unroll(model: Any, inputs: list[int], prefix: str, calls: list[LayerCall], tensors: dict[int, Any]) -> list[int]:
    values = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}
    seen: dict[str, int] = {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            layer = node.operation
            reads = [values[id(tensor)] for tensor in node.input_tensors]
            seen[layer.name] = seen.get(layer.name, 0) + 1
            name = prefix + layer.name + (f"#{seen[layer.name]}" if seen[layer.name] > 1 else "")
            nested = getattr(layer, "_functional", layer)
            if hasattr(nested, "_nodes_by_depth"):
                made = _unroll(nested, reads, f"{name}/", calls, {})
            else:
                made = [len(calls) + 1]
                shape = tuple(node.output_tensors[0].shape[1:])
                calls.append(LayerCall(layer, name, tuple(reads), made[0], shape))
            values |= {id(tensor): value for tensor, value in zip(node.output_tensors, made, strict=True)}
            tensors |= dict(zip(made, node.output_tensors, strict=True))
    return [values[id(tensor)] for tensor in model.outputs]


def _history(tensor: Any) -> Any:
    return tensor._keras_history.operation
