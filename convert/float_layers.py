"""Which layers int8 does without: those whose rounding costs most, one after the other, the fewest that it takes.

layers_from_beginnings  which layers a person named
layer_losses            what each layer costs: the loss that goes away when it alone stays in floating point
FloatLayerSearch        adds the layer that costs most, until the bars are met or nothing more is gained

All of it is measured on the cells that judge int8 before the proof, never on test cells. Signal to noise would not do:
the worst layer by that measure mostly carries on what the layers before it lost, and in floating point changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TextIO

import onnx

from convert.int8_agreement import Judge
from convert.int8_trial import Int8Trial, Quantized
from convert.progress import Progress
from convert.qdq_from_onnx import is_float_layer, nodes_with_pairs
from edge.errors import EdgeError

# More than this in floating point, and int8 is the wrong precision for the network; the certificate then decides.
MOST_FLOAT_LAYERS, MOST_FLOAT_SHARE = 8, 0.25
# Five times what passes: noise of all layers, or a fault; no few layers in floating point mend either.
MOST_LOSS_WORTH_MENDING = 10.0
# Of what layers in floating point can gain: the last tenth is not worth the layers that it takes.
GAIN_SHARE = 0.9


def layer_losses(
    trial: Int8Trial, judge: Judge, float_layers: tuple[str, ...], *, corrected: bool, stream: TextIO | None
) -> dict[str, float]:
    """Return, largest first, how much of the loss goes away when one layer more stays in floating point."""
    layers = layers_of(trial.model(float_layers), float_layers)
    few = judge.on_few()
    whole = few.agreement(trial.model(float_layers, corrected=corrected)).loss
    losses = {}
    with Progress("which layers hurt", len(layers), stream) as progress:
        for layer in layers:
            model = trial.model((*float_layers, layer), corrected=corrected)
            losses[layer] = whole - few.agreement(model).loss
            progress.advance()
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def layers_of(model: onnx.ModelProto, float_layers: tuple[str, ...] = ()) -> list[str]:
    """Return the layers whose convolutions are in int8, in graph order."""
    names = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return _layers_of_nodes(model, (name for name in names if not is_float_layer(name, float_layers)))


def layers_from_beginnings(model: onnx.ModelProto, beginnings: tuple[str, ...]) -> tuple[str, ...]:
    """Return the layers that int8 would change and whose name begins with one of `beginnings`, in graph order.

    Raises EdgeError MDSE-CONVERT-044 for a beginning that no such layer has.
    """
    layers = _layers_of_nodes(model, nodes_with_pairs(model))
    for beginning in beginnings:
        if not any(layer.startswith(beginning) for layer in layers):
            near = get_close_matches(beginning, layers, n=5, cutoff=0) or ["none"]
            raise EdgeError("MDSE-CONVERT-044", where="--float-layers", name=beginning, near=", ".join(near))
    return tuple(layer for layer in layers if layer.startswith(beginnings))


def _layers_of_nodes(model: onnx.ModelProto, nodes: Iterable[str]) -> list[str]:
    """Return whose parts the nodes are: a separable convolution writes `layer/depthwise`, an activation `layer/linear`.

    The layer's last node bears its name. Where none does, the part is a layer of that name inside of another model.
    """
    every = {node.name for node in model.graph.node}
    layers: dict[str, None] = {}
    for name in nodes:
        whole, _, part = name.rpartition("/")
        layers[whole if part in ("depthwise", "linear") and whole in every else name] = None
    return list(layers)


class FloatLayerSearch:
    """Takes further layers out of int8, beside the `named` ones; what each costs is measured when first needed."""

    def __init__(self, trial: Int8Trial, judge: Judge, named: tuple[str, ...], stream: TextIO | None) -> None:
        self._trial, self._judge, self._named, self._stream = trial, judge, named, stream
        self._losses: dict[str, float] = {}

    def until_bars_are_met(self, made: Quantized) -> Quantized:
        """Add layers until `made` meets the bars of its cells, then take back those that turn out not to be needed."""
        found = made
        while not found.passes():
            more = self._one_more(found)
            if more is None:
                return found
            found = more
        for layer in found.float_layers[len(made.float_layers) : -1]:
            fewer = self._tried(found, tuple(name for name in found.float_layers if name != layer))
            if fewer.passes():
                found = fewer
        return found

    def finer(self, made: Quantized) -> Quantized | None:
        """Return int8 with the fewest more layers in floating point that gain nearly all that such layers can.

        Bars play no part. None where nothing is gained, layers run out, or `made` is past mending.
        """
        tried = [made]
        while (more := self._one_more(tried[-1])) is not None:
            tried.append(more)
        losses = [one.agreement.loss for one in tried if one.agreement is not None]
        if len(losses) < 2 or min(losses) >= losses[0]:
            return None
        enough = losses[0] - GAIN_SHARE * (losses[0] - min(losses))
        return next(one for one, loss in zip(tried, losses, strict=True) if loss <= enough)

    def _one_more(self, made: Quantized) -> Quantized | None:
        """Return int8 with one layer more in floating point; None where that is past mending, or layers run out."""
        if made.agreement is None or made.agreement.loss > MOST_LOSS_WORTH_MENDING:
            return None
        if not self._losses:
            self._losses = layer_losses(
                self._trial, self._judge, self._named, corrected=made.corrected, stream=self._stream
            )
        most = min(MOST_FLOAT_LAYERS, math.ceil(MOST_FLOAT_SHARE * len(self._losses)))
        left = [name for name, loss in self._losses.items() if loss > 0 and name not in made.float_layers]
        if not left or len(made.float_layers) - len(self._named) >= most:
            return None
        return self._tried(made, (*made.float_layers, left[0]))

    def _tried(self, made: Quantized, layers: tuple[str, ...]) -> Quantized:
        model = self._trial.model(layers, corrected=made.corrected)
        return Quantized(model, made.source, layers, made.corrected, self._judge.agreement(model), self._losses)
