"""int8 is held to its bars on validation cells: what it decides by itself, and what it says of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest
from keras import Input, Model, layers
from keras.utils import set_random_seed
from keras_models import cells, headed, with_lively_weights

from convert import float_layers, int8_agreement, int8_trial
from convert.float_layers import layers_of
from convert.head_correction import features_of, heads_corrected
from convert.int8_agreement import Judge, agreement_of
from convert.int8_trial import Int8Trial
from convert.onnx_from_keras import onnx_from_keras, origin_from_keras
from convert.onnx_graph import constants_of
from convert.parity import outputs_of_onnx
from convert.progress import Progress
from convert.quantization import quantize
from edge.errors import EdgeError

SIZE_PX = 32


@cache
def graph() -> onnx.ModelProto:
    """Four convolutions; the concatenation keeps the second one's channels from being equalized."""
    set_random_seed(5)
    images = Input((SIZE_PX, SIZE_PX, 3), dtype="uint8")
    first = layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(layers.Rescaling(1 / 255)(images))
    second = layers.Conv2D(8, 3, padding="same", activation="relu", name="second")(first)
    third = layers.SeparableConv2D(16, 3, padding="same", activation="relu", name="third")(second)
    fourth = layers.Conv2D(16, 1, activation="relu", name="fourth")(third)
    return onnx_from_keras(origin_from_keras(with_lively_weights(headed(fourth, images))))


@cache
def trial() -> Int8Trial:
    return Int8Trial(graph(), cells(24, SIZE_PX, seed=5), threads=1, stream=None)


@cache
def judge() -> Judge:
    return Judge(graph(), cells(48, SIZE_PX, seed=6), 1, None)


def bars(monkeypatch, types):
    monkeypatch.setattr(int8_agreement, "TOP1_BAR", 0.0)
    monkeypatch.setattr(int8_agreement, "SURE_BAR", 0.0)
    monkeypatch.setitem(int8_agreement.MEAN_DIFFERENCE_BARS, "int8", (types, 1.0))


def quantized(judged=48, **options):
    return with_search(judged, **options)[0]


def with_search(judged=48, **options):
    return quantize(graph(), cells(24, SIZE_PX, seed=5), cells(judged, SIZE_PX, seed=6), threads=1, **options)


def types_difference(float_layers, corrected):
    return judge().agreement(trial().model(float_layers, corrected=corrected)).mean_abs_dp_types


def quantized_losses(made):
    return float_layers.layer_losses(trial(), judge(), (), corrected=made.corrected, stream=None)


def judge_loss(made, names):
    return judge().agreement(trial().model(tuple(names), corrected=made.corrected)).loss


def test_where_the_bars_are_met_every_layer_is_int8(monkeypatch):
    bars(monkeypatch, types=0.5)
    made = quantized()
    assert made.float_layers == ()
    assert made.layer_losses == {}
    assert made.agreement.passes
    assert made.notices() == ()


def test_where_a_bar_is_missed_the_fewest_layers_that_meet_it_stay_in_floating_point_and_are_named(monkeypatch):
    bars(monkeypatch, types=0.5)
    corrected = quantized().corrected
    alone = {name: types_difference((name,), corrected) for name in layers_of(graph())}
    best = min(alone, key=alone.get)
    everything = types_difference((), corrected)
    assert alone[best] < 0.95 * everything
    bars(monkeypatch, types=(alone[best] + everything) / 2)
    made = quantized()
    assert len(made.float_layers) == 1
    assert types_difference(made.float_layers, corrected) <= (alone[best] + everything) / 2
    assert set(made.layer_losses) == {"first", "second", "third", "fourth"}
    assert list(made.layer_losses.values()) == sorted(made.layer_losses.values(), reverse=True)
    assert made.float_layers[0] in made.notices()[0]
    assert made.document()["float_layers"] == list(made.float_layers)


def test_bars_that_nothing_meets_are_said_and_not_hidden(monkeypatch):
    bars(monkeypatch, types=1e-9)
    monkeypatch.setattr(float_layers, "layer_losses", lambda *_, **__: pytest.fail("a search that cannot succeed"))
    made = quantized(judged=8)
    assert not made.agreement.passes
    assert any("misses a bar on 8" in notice for notice in made.notices())
    assert made.document()["validation"]["passes"] is False


def test_layers_that_a_person_names_stay_out_of_int8_even_where_the_bars_are_met(monkeypatch):
    bars(monkeypatch, types=0.5)
    made = quantized(float_layers=("second",))
    assert made.float_layers == ("second",)
    kinds = {name: values.dtype for name, values in constants_of(made.model).items()}
    assert kinds["second/kernel"] == np.float32
    assert kinds["first/kernel/int8"] == np.int8


def convolutions_in_int8(model):
    kinds = {name: values.dtype for name, values in constants_of(model).items()}
    return {node.name for node in model.graph.node if node.op_type == "Conv" and f"{node.name}/kernel" not in kinds}


def test_a_layer_left_out_of_int8_takes_none_along_whose_name_begins_alike():
    every = convolutions_in_int8(trial().model())
    assert convolutions_in_int8(trial().model(("f", "thir", "second"))) == every - {"second"}
    assert convolutions_in_int8(trial().model(("third",))) == every - {"third", "third/depthwise"}


def test_a_layer_of_another_model_that_is_called_like_a_part_is_a_layer_of_its_own():
    images = Input((SIZE_PX, SIZE_PX, 3), dtype="uint8")
    inside = Input((16, 16, 8))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(inside)
    body = Model(inside, layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x), name="body")
    first = layers.Conv2D(8, 3, strides=2, padding="same", name="first")(layers.Rescaling(1 / 255)(images))
    model = with_lively_weights(headed(layers.ReLU()(body(first)), images))
    nested = onnx_from_keras(origin_from_keras(model))
    assert layers_of(nested) == ["first", "body/conv", "body/depthwise"]
    assert layers_of(nested, ("body/depthwise",)) == ["first", "body/conv"]


def test_biases_are_corrected_on_cells_of_every_type(monkeypatch):
    seen = []
    monkeypatch.setattr(int8_trial, "bias_corrected", lambda _, made, batches, **__: (seen.extend(batches), made)[1])
    monkeypatch.setattr(int8_trial, "heads_corrected", lambda made, *_, **__: made)
    types = 12
    calibration = np.stack([np.full((SIZE_PX, SIZE_PX, 3), 20 * (place % types), np.uint8) for place in range(512)])
    Int8Trial(graph(), calibration, threads=1, stream=None).model(corrected=True)
    brightness, cells_of = np.unique(np.concatenate(seen)[:, 0, 0, 0], return_counts=True)
    assert len(brightness) == types
    assert cells_of.min() >= len(np.concatenate(seen)) // types


def test_a_person_may_name_layers_by_how_they_begin_and_is_told_where_none_begins_so(monkeypatch):
    bars(monkeypatch, types=0.5)
    assert quantized(float_layers=("f", "thi")).float_layers == ("first", "third", "fourth")
    with pytest.raises(EdgeError, match=r"MDSE-CONVERT-044.*no layer whose name begins with secnd.*second"):
        quantized(float_layers=("first", "secnd"))
    with pytest.raises(EdgeError, match=r"MDSE-CONVERT-044"):
        quantized(float_layers=("rescaling",))  # an addition of a constant, which int8 does not change


def test_biases_take_out_what_int8_adds_on_average():
    images = cells(64, SIZE_PX, seed=7)
    quiet = Progress("", 1, None)
    original = outputs_of_onnx(graph(), images, quiet, threads=1).embedding
    shifts = []
    for corrected in (False, True):
        found = outputs_of_onnx(trial().model(corrected=corrected), images, quiet, threads=1).embedding
        shifts.append(np.abs((found - original).mean(axis=0)).mean())
    assert shifts[1] < 0.8 * shifts[0]


def test_the_heads_take_back_what_int8_adds_to_the_features_on_average():
    images, quiet = cells(24, SIZE_PX, seed=5), Progress("", 1, None)
    features = features_of(graph(), images, threads=1)
    plain = trial().model()
    corrected = heads_corrected(plain, images, features, threads=1)
    original, before, after = (outputs_of_onnx(m, images, quiet, threads=1) for m in (graph(), plain, corrected))

    def shift(found):
        inner = (np.abs(original.findings - 0.5) < 0.45).all(axis=0)  # elsewhere float32 knows the logit badly
        assert inner.sum() > 5
        logits = [np.log(f / (1 - f)) for f in (o.findings[:, inner].astype(np.float64) for o in (found, original))]
        return np.abs((logits[0] - logits[1]).mean(axis=0)).max()

    assert shift(after) < 0.01 * shift(before)
    np.testing.assert_array_equal(before.embedding, after.embedding)


def test_a_correction_that_does_not_help_is_not_kept(monkeypatch):
    def worse(model, quantized, batches, *, threads=0):
        spoilt = onnx.ModelProto()
        spoilt.CopyFrom(quantized)
        for tensor in spoilt.graph.initializer:
            if tensor.name == "fourth/bias":
                tensor.CopyFrom(onnx.numpy_helper.from_array(constants_of(quantized)["fourth/bias"] + 1, tensor.name))
        return spoilt

    bars(monkeypatch, types=0.5)
    monkeypatch.setattr(int8_trial, "bias_corrected", worse)
    assert not quantized().corrected


@pytest.mark.parametrize("cell_type", [[[0.6, 0.4], [0.5, 0.5]], [[0.2, 0.8], [0.9, 0.1]]])
def test_agreement_counts_what_changed(cell_type):
    from edge.engines.base import EngineOutputs

    expected = EngineOutputs(np.array([[0.6, 0.4], [0.9, 0.1]], np.float32), np.zeros((2, 1), np.float32), None)
    found = EngineOutputs(np.array(cell_type, np.float32), np.full((2, 1), 0.5, np.float32), None)
    agreement = agreement_of(expected, found)
    same = [row.index(max(row)) == 0 for row in cell_type]
    assert agreement.top1_agreement == sum(same) / 2
    assert agreement.sure_agreement == sum(same) / 2
    assert agreement.mean_abs_dp_findings == 0.5


def test_without_a_search_a_missed_bar_is_said_and_every_layer_stays_in_int8(monkeypatch):
    bars(monkeypatch, types=0.5)
    found = quantized().agreement.mean_abs_dp_types
    bars(monkeypatch, types=0.7 * found)
    monkeypatch.setattr(float_layers, "layer_losses", lambda *_, **__: pytest.fail("nobody asked for a search"))
    made = quantized(search=False)
    assert made.float_layers == ()
    assert any("misses a bar" in notice for notice in made.notices())


def test_finer_int8_leaves_out_the_layers_that_cost_most_and_never_more_than_a_quarter_of_them(monkeypatch):
    bars(monkeypatch, types=0.5)
    made, search = with_search(float_layers=("first",))
    assert made.passes()
    finer = search.finer(made)
    costs = finer.layer_losses
    assert finer.float_layers == ("first", max(costs, key=costs.get))
    assert set(costs) == {"second", "third", "fourth"}
    assert finer.agreement.loss < made.agreement.loss
    assert search.finer(finer) is None


def test_finer_int8_takes_the_fewest_layers_that_gain_nearly_all(monkeypatch):
    bars(monkeypatch, types=0.5)
    monkeypatch.setattr(float_layers, "MOST_FLOAT_SHARE", 1.0)
    made, search = with_search()
    by_cost = [name for name, cost in quantized_losses(made).items() if cost > 0]
    losses = [judge_loss(made, by_cost[:count]) for count in range(len(by_cost) + 1)]
    finer = search.finer(made)
    gained = losses[0] - min(losses)
    assert losses[len(finer.float_layers)] <= losses[0] - 0.9 * gained
    assert all(loss > losses[0] - 0.9 * gained for loss in losses[: len(finer.float_layers)])
    assert list(finer.float_layers) == by_cost[: len(finer.float_layers)]


def test_what_loses_too_much_for_a_few_layers_to_mend_is_not_searched(monkeypatch):
    bars(monkeypatch, types=0.5)
    made, search = with_search(judged=8)
    monkeypatch.setattr(float_layers, "MOST_LOSS_WORTH_MENDING", made.agreement.loss / 2)
    monkeypatch.setattr(float_layers, "layer_losses", lambda *_, **__: pytest.fail("a search that cannot succeed"))
    assert search.finer(made) is None
