"""A trained network of convert/network.py at another width, and with its folded normalizations restored.

restore_normalization   mean and variance of what the kernels give on real cells go back into the layers
at_width                narrower: of channels that are added up together, those of the least normalization scale go
                        (Liu et al., arXiv 1708.06519). Wider: some are doubled, with noise, and their readers halved
                        (Chen et al., arXiv 1511.05641)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

DOUBLING_NOISE = 0.1
_BATCH = 32


def restore_normalization(model: keras.Model, pixels: NDArray[np.uint8]) -> None:
    """Give every normalization the mean and variance of its input, and the scale and shift that undo them.

    `pixels` u8 [N, S, S, 3]. The model computes what it computed before; now its layers can learn again.
    """
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    reads = keras.Model(model.inputs, [layer.input for layer in layers])
    sums = [np.zeros((2, layer.gamma.shape[0])) for layer in layers]
    counts = [0] * len(layers)
    for at in range(0, len(pixels), _BATCH):
        for place, value in enumerate(reads.predict_on_batch(np.array(pixels[at : at + _BATCH]))):
            rows = np.asarray(value, np.float64).reshape(-1, value.shape[-1])
            sums[place] += (rows.sum(axis=0), (rows**2).sum(axis=0))
            counts[place] += len(rows)
    for layer, (total, squares), count in zip(layers, sums, counts, strict=True):
        scale, shift, before, variance_before = layer.get_weights()
        factor = scale / np.sqrt(variance_before + layer.epsilon)
        mean = total / count
        variance = squares / count - mean**2
        weights = [factor * np.sqrt(variance + layer.epsilon), shift + factor * (mean - before), mean, variance]
        layer.set_weights([value.astype(np.float32) for value in weights])


def at_width(source: keras.Model, target: keras.Model, random: np.random.Generator) -> keras.Model:
    """Fill `target`, the same network at another width, from the channels of `source` and return it.

    Raises ValueError for more than twice the channels.
    """
    groups = _channel_groups(source)
    kept: dict[int, NDArray[np.intp]] = {}
    for layer in target.layers:
        if groups[layer.name] not in kept:
            kept[groups[layer.name]] = _kept_channels(source, groups, layer, random)
    for layer in target.layers:
        if layer.weights:
            before = groups[_before(source.get_layer(layer.name))]
            weights = source.get_layer(layer.name).get_weights()
            layer.set_weights(_of_channels(layer, weights, kept[before], kept[groups[layer.name]], random))
    return target


def _before(layer: Any) -> str:
    return str(layer.input._keras_history.operation.name)


def _channel_groups(model: keras.Model) -> Mapping[str, int]:
    """Number the layers by their channels: results that are added up share them, a convolution has its own."""
    group: dict[str, int] = {}
    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Add):
            first, second = (group[tensor._keras_history.operation.name] for tensor in layer.input)
            group = {name: first if found == second else found for name, found in group.items()}
            group[layer.name] = first
        elif isinstance(layer, (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.Dense)):
            group[layer.name] = number
        else:
            group[layer.name] = group[_before(layer)] if number else number
    return group


def _kept_channels(
    source: keras.Model, groups: Mapping[str, int], layer: Any, random: np.random.Generator
) -> NDArray[np.intp]:
    """Return the channels of `source` that stand in the target: the strongest, or all and some of them twice."""
    own, wanted = source.get_layer(layer.name).output.shape[-1], layer.output.shape[-1]
    if wanted > 2 * own:
        raise ValueError(f"{layer.name}: {wanted} channels are more than twice the {own} that there are")
    if wanted >= own:
        return np.concatenate([np.arange(own), random.permutation(own)[: wanted - own]])
    strength = np.zeros(own)
    for other in source.layers:
        if isinstance(other, keras.layers.BatchNormalization) and groups[other.name] == groups[layer.name]:
            strength += np.abs(other.get_weights()[0])
    return np.sort(np.argsort(-strength)[:wanted])


def _of_channels(
    layer: Any,
    weights: list[NDArray[np.float32]],
    read: NDArray[np.intp],
    made: NDArray[np.intp],
    random: np.random.Generator,
) -> list[NDArray[np.float32]]:
    """Return the weights of a layer for the channels that it reads and makes; of doubled ones each gives its half."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return [value[made] for value in weights]
    share = 1 / np.bincount(read)[read]
    kernel: NDArray[Any] = (weights[-1] if weights[-1].ndim > 1 else weights[0]).take(read, axis=-2) * share[:, None]
    if isinstance(layer, keras.layers.Dense):
        return [kernel, weights[1]]
    kernel = kernel.take(made, axis=-1)
    doubled = np.bincount(made)[made] > 1
    kernel = kernel * (1 + DOUBLING_NOISE * doubled * random.standard_normal(kernel.shape))
    depthwise = [weights[0].take(read, axis=2)] if len(weights) == 2 else []
    return [*depthwise, kernel]
