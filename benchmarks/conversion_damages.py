"""Mistakes that a conversion could make, each put in where it would really happen: hooks on the steps of edge-convert.

A Damage patches one step while a conversion runs. `words` are what a true answer must name: the refusal has to hold one
of them. `kind` says how its cost is measured: on the written fp32 graph, on the int8 or float16 file, on the pixels, or
not at all, because it is a contradiction between files that only structure can show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import keras
import numpy as np
import onnxruntime
import treelite
import xgboost

from convert import (
    conversion,
    derived_files,
    int8_trial,
    onnx_from_keras,
    onnx_layers,
    opened_model,
)
from convert.calibration import ChannelRange
from convert.onnx_graph import INPUT_NAME, bytes_from_onnx, constants_of, replace_constants
from edge import images, tensors
from edge.engines.base import EngineOutputs

Made = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Damage:
    """One mistake. `apply(stack, folder)` patches steps, or changes the copied model, card or trees in `folder`."""

    name: str
    kind: str
    words: tuple[str, ...]
    apply: Callable[[ExitStack, Path], None]


@contextmanager
def applied(damage: Damage, folder: Path) -> Iterator[None]:
    """Run the body with the damage in place."""
    with ExitStack() as stack:
        damage.apply(stack, folder)
        yield


def _patched(stack: ExitStack, owner: object, name: str, made: Callable[[Made], Made]) -> None:
    stack.enter_context(mock.patch.object(owner, name, made(getattr(owner, name))))


def _in_graph(name: str, change: Made) -> Callable[[ExitStack, Path], None]:
    """Change one constant of the graph as the writer leaves it."""

    def apply(stack: ExitStack, _: Path) -> None:
        _patched(
            stack, opened_model, "onnx_from_keras", lambda right: lambda origin: _changed(right(origin), name, change)
        )

    return apply


def _changed(graph: Any, name: str, change: Made) -> Any:
    constants = constants_of(graph)
    constants[name] = np.array(change(constants[name]), constants[name].dtype, order="C")
    replace_constants(graph, constants)
    return graph


def _noisy(weights: Any) -> Any:
    return weights * (1 + np.random.default_rng(1).normal(0, 0.5, weights.shape))


def _without_scaling(stack: ExitStack, _: Path) -> None:
    def wrong(right: Made) -> Made:
        return lambda origin: _changed(
            _changed(right(origin), "scaling/scale", lambda scale: scale * 0 + 1 / 255), "scaling/offset", np.zeros_like
        )

    _patched(stack, opened_model, "onnx_from_keras", wrong)


def _swapped_rows(values: Any) -> Any:
    swapped = values.copy()
    swapped[[0, 6]] = values[[6, 0]]
    return swapped


def _wrong_epsilon(stack: ExitStack, _: Path) -> None:
    class Seen:
        def __init__(self, layer: Any) -> None:
            self._layer = layer

        epsilon = 0.5

        def __getattr__(self, name: str) -> Any:
            return getattr(self._layer, name)

    _patched(stack, onnx_from_keras, "affine_from_batch_normalization", lambda right: lambda layer: right(Seen(layer)))


def _padding_on_the_other_side(stack: ExitStack, _: Path) -> None:
    _patched(stack, onnx_layers, "same_padding", lambda right: lambda *given: right(*given)[::-1])


def _in_int8(choose: Callable[[str], bool], change: Made) -> Callable[[ExitStack, Path], None]:
    """Change those constants of the int8 file that `choose` picks by name."""

    def wrong(right: Made) -> Made:
        def quantized(*given: Any, **options: Any) -> Any:
            model = right(*given, **options)
            for name in [name for name in constants_of(model) if choose(name)]:
                model = _changed(model, name, change)
            return model

        return quantized

    return lambda stack, _: _patched(stack, int8_trial, "qdq_from_onnx", wrong)


def _ranges(change: Made) -> Callable[[ExitStack, Path], None]:
    return lambda stack, _: _patched(
        stack, int8_trial, "activation_ranges",
        lambda right: lambda *given, **options: change(right(*given, **options), *given),
    )  # fmt: skip


def _percentile(ranges: Any, *_: Any) -> Any:
    """What the percentile 99.9 sets: an activation is cut off at 3.3 times its root mean square."""
    cut = {}
    for name, seen in ranges.items():
        limit = np.float32(3.3 * np.sqrt(seen.mean_square.mean()))
        cut[name] = ChannelRange(np.maximum(seen.lowest, -limit), np.minimum(seen.highest, limit), seen.mean_square)
    return cut


def _one_sided(stack: ExitStack, _: Path) -> None:
    """The depthwise halves are scaled, the pointwise ones behind them are left as they were."""

    def wrong(right: Made) -> Made:
        def equalized(model: Any, ranges: Any) -> Any:
            equal, after = right(model, ranges)
            for name, kept in constants_of(model).items():
                if name.endswith("/kernel") and kept.ndim == 4 and kept.shape[2:] == (1, 1):
                    equal = _changed(equal, name, lambda _, kept=kept: kept)
            return equal, after

        return equalized

    _patched(stack, int8_trial, "equalize", wrong)


def _one_layer_off(stack: ExitStack, _: Path) -> None:
    """The factors of one layer are taken back by a tenth too little."""

    def wrong(right: Made) -> Made:
        def equalized(model: Any, ranges: Any) -> Any:
            equal, after = right(model, ranges)
            return _changed(equal, "entry2_sepconv2/kernel", lambda kernel: kernel * 1.1), after

        return equalized

    _patched(stack, int8_trial, "equalize", wrong)


def _half_of_another_network(stack: ExitStack, _: Path) -> None:
    def wrong(right: Made) -> Made:
        def halved(model: Any) -> Any:
            other = type(model)()
            other.CopyFrom(model)
            return right(_changed(other, "exit2_sepconv/kernel", _noisy))

        return halved

    _patched(stack, derived_files, "fp16_from_onnx", wrong)


def _overflow(_: ExitStack, folder: Path) -> None:
    """Neutral in fp32: a batch normalization blows a channel up, the next convolution takes it back."""
    model = keras.models.load_model(folder / "model.keras", compile=False)
    layer = model.get_layer("exit2_sepconv")
    depthwise, pointwise = layer.get_weights()
    layer.set_weights([depthwise * 1e7, pointwise / 1e7])
    model.save(folder / "model.keras")


def _pixels(owner: object, name: str, wrong: Made) -> Callable[[ExitStack, Path], None]:
    return lambda stack, _: _patched(stack, owner, name, lambda right: lambda *given, **o: wrong(right, *given, **o))


def _nearest(_: Made, target: Any, pixels: Any) -> None:
    target[...] = cv2.resize(pixels, target.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _reduced(right: Made, data: bytes, where: str, *more: Any) -> Any:
    small = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_8))[:, :, ::-1]
    height, width = right(data, where, *more).shape[:2]
    return np.ascontiguousarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


def _card(change: Callable[[dict[str, Any]], None]) -> Callable[[ExitStack, Path], None]:
    def apply(_: ExitStack, folder: Path) -> None:
        path = folder / "model.card.json"
        card = json.loads(path.read_text())
        change(card)
        path.write_text(json.dumps(card))

    return apply


def _swap_findings(card: dict[str, Any]) -> None:
    from edge.catalogue import load_catalogue

    findings = list(load_catalogue().finding_codes)
    findings[6], findings[7] = findings[7], findings[6]
    card["outputs"] = {"types": list(load_catalogue().type_codes), "findings": findings}


def _another_size(card: dict[str, Any]) -> None:
    card["image"]["size"] += 16


def _trees(change: Callable[[dict[str, Any]], None]) -> Callable[[ExitStack, Path], None]:
    def apply(_: ExitStack, folder: Path) -> None:
        booster = xgboost.Booster(model_file=folder / "trees.json")
        spec = json.loads(booster.attr("mds_edge"))
        change(spec)
        booster.set_attr(mds_edge=json.dumps(spec))
        booster.save_model(folder / "trees.json")

    return apply


def _stale(spec: dict[str, Any]) -> None:
    spec["network"] = "0" * 64


def _permuted(spec: dict[str, Any]) -> None:
    names = spec["parameters"]
    spec["parameters"] = [names[1], names[0], *names[2:]]


def _stale_checkpoint(stack: ExitStack, _: Path) -> None:
    """The checkpoint is that of an earlier training: one with fewer trees."""

    def wrong(right: Made) -> Made:
        def earlier(text: str, *given: Any, **options: Any) -> Any:
            booster = xgboost.Booster()
            booster.load_model(bytearray(text.encode()))
            return right(
                bytes(booster[: booster.num_boosted_rounds() // 2].save_raw("json")).decode(), *given, **options
            )

        return earlier

    _patched(stack, treelite.frontend, "from_xgboost_json", wrong)


def _golden_of_another(stack: ExitStack, _: Path) -> None:
    def wrong(right: Made) -> Made:
        def first(outputs: EngineOutputs, count: int) -> EngineOutputs:
            own = right(outputs, count)
            return EngineOutputs(np.roll(own.cell_type, 2, axis=0), own.findings, own.embedding)

        return first

    _patched(stack, conversion, "_first_rows", wrong)


def _types_of_another_order(_: ExitStack, folder: Path) -> None:
    """The network was trained with two types in each other's place, and no card says so."""
    model = keras.models.load_model(folder / "model.keras", compile=False)
    head = model.get_layer("cell_type")
    kernel, bias = head.get_weights()
    order = list(range(kernel.shape[1]))
    order[0], order[6] = 6, 0
    head.set_weights([kernel[:, order], bias[order]])
    model.save(folder / "model.keras")
    (folder / "model.card.json").unlink()


DAMAGES = (
    Damage("weights of a layer perturbed", "graph", ("stem2_conv",), _in_graph("stem2_conv/kernel", _noisy)),
    Damage("channels BGR in the graph", "graph", ("stem1_conv",), _in_graph("stem1_conv/kernel", lambda w: w[:, ::-1])),
    Damage("mean off", "graph", ("scaling",), _in_graph("scaling/offset", lambda offset: offset + 0.5)),
    Damage("scaling 0..1 for -1..1", "graph", ("scaling",), _without_scaling),
    Damage("bias dropped", "graph", ("exit3_sepconv",), _in_graph("exit3_sepconv/bias", np.zeros_like)),
    Damage("batch normalization folded wrongly", "graph", ("stem1_conv",), _wrong_epsilon),
    Damage("padding on the other side", "graph", ("entry", "pool"), _padding_on_the_other_side),
    Damage("classes swapped in the graph", "graph", ("SNE", "LY"), _in_graph("cell_type/value/kernel", _swapped_rows)),
    Damage("one activation scale wrong", "int8", (), _in_int8(lambda n: n == "stem2_relu/int8_step", lambda s: s / 8)),
    Damage(
        "zero point not zero", "structure", ("zero point",),
        _in_int8(lambda name: name.endswith("zero"), lambda zero: zero + 3),
    ),
    Damage("percentile calibration", "int8", (), _ranges(_percentile)),
    Damage(
        "calibrated on dark pixels", "int8", (),
        _ranges(lambda ranges, *_: {name: seen.scaled(np.float32(0.4)) for name, seen in ranges.items()}),
    ),
    Damage("equalization on one side only", "int8", ("rescaled",), _one_sided),
    Damage("equalization a tenth off in one layer", "int8", ("rescaled",), _one_layer_off),
    Damage(
        "biases of one layer dropped in int8", "int8", ("middle4_sepconv2",),
        _in_int8(lambda name: name == "middle4_sepconv2/bias", np.zeros_like),
    ),
    Damage(
        "weights of four bits", "int8", ("weights",),
        _in_int8(lambda name: name.endswith("/int8"), lambda w: np.clip(np.round(w / 32.0) * 32, -127, 127)),
    ),
    Damage(
        "weights of six bits", "int8", ("weights",),
        _in_int8(lambda name: name.endswith("/int8"), lambda w: np.clip(np.round(w / 4.0) * 4, -127, 127)),
    ),
    Damage(
        "calibrated on somewhat dark pixels", "int8", (),
        _ranges(lambda ranges, *_: {name: seen.scaled(np.float32(0.75)) for name, seen in ranges.items()}),
    ),
    Damage(
        "weights of one layer a tenth too large", "int8", ("entry2_sepconv2",),
        _in_int8(lambda name: name == "entry2_sepconv2/kernel/int8_step", lambda scale: scale * 1.1),
    ),
    Damage("float16 of another network", "fp16", ("exit2_sepconv",), _half_of_another_network),
    Damage("float16 overflow", "structure", ("exit2_sepconv",), _overflow),
    Damage("resizing by the nearest pixel", "pixels", ("grey levels",), _pixels(tensors, "resize_into", _nearest)),
    Damage("reduced decoding", "pixels", ("grey levels",), _pixels(images, "_rgb_from_jpeg", _reduced)),
    Damage(
        "decoder gives BGR", "pixels", ("grey levels",),
        _pixels(images, "_rgb_from_jpeg", lambda right, *given: np.ascontiguousarray(right(*given)[:, :, ::-1])),
    ),
    Damage("types in another order than trained", "structure", ("SNE", "LY"), _types_of_another_order),
    Damage("findings in another order than trained", "structure", ("findings",), _card(_swap_findings)),
    Damage("card of another image size", "structure", ("px",), _card(_another_size)),
    Damage("trees of another network", "structure", ("another network",), _trees(_stale)),
    Damage("trees on permuted parameters", "structure", ("number 1 is",), _trees(_permuted)),
    Damage("checkpoint of earlier trees", "structure", ("margins",), _stale_checkpoint),
    Damage("golden answers of another network", "structure", ("golden",), _golden_of_another),
)  # fmt: skip


def outputs_of(model: Any, pixels: Any) -> EngineOutputs:
    """Run a model on u8 [N,S,S,3] with ONNX Runtime."""
    session = onnxruntime.InferenceSession(bytes_from_onnx(model), providers=["CPUExecutionProvider"])
    parts = [
        session.run(["cell_type", "findings", "embedding"], {INPUT_NAME: pixels[start : start + 32]})
        for start in range(0, len(pixels), 32)
    ]
    return EngineOutputs(*(np.concatenate([part[place] for part in parts]) for place in range(3)))
