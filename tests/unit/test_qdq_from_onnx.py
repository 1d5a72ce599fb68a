"""int8 and float16 files: exact where they must be, near where they may be, and never in a form we did not promise."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest
from keras import Input, layers
from keras_models import cells, headed, tiny_network, with_lively_weights
from onnx import numpy_helper

from convert.calibration import activation_ranges
from convert.channel_groups import channel_groups
from convert.derived_files import derive_models
from convert.equalization import equalize
from convert.float_layers import layers_from_beginnings
from convert.fp16_from_onnx import fp16_from_onnx
from convert.half_storage import stored_in_half
from convert.layer_noise import noisiest_layers
from convert.onnx_check import check_onnx
from convert.onnx_from_keras import onnx_from_keras, origin_from_keras
from convert.onnx_graph import bytes_from_onnx, constants_of, replace_constants
from convert.onnx_session import reference_session
from convert.parity import outputs_of_onnx
from convert.pixel_steps import exact_pixels
from convert.progress import Progress
from convert.qdq_from_onnx import qdq_from_onnx, quantized_values
from convert.quantization import quantize, quantized_model
from edge.engines.openvino import open_openvino
from edge.errors import EdgeError
from tests.real.worsened_network import worsened_network

QUIET = Progress("", 1, None)
SIZE_PX = 32


@cache
def graph() -> onnx.ModelProto:
    return onnx_from_keras(origin_from_keras(tiny_network()))


def widths():
    return {value.name: value.type.tensor_type.shape.dim[1].dim_value for value in graph().graph.output}


def batches(count=24):
    images = cells(count, SIZE_PX, seed=5)
    return [images[start : start + 4] for start in range(0, count, 4)]


@cache
def ranges():
    return activation_ranges(graph(), quantized_values(graph()), batches())


def outputs(model, images=None):
    return outputs_of_onnx(model, cells(16, SIZE_PX, seed=6) if images is None else images, QUIET, threads=1)


def checked(model, precision):
    check_onnx(model, precision, size_px=SIZE_PX, widths=widths())


def relative_noise(found, original):
    """Noise of the features; probabilities of an untrained network are saturated and would hide it."""
    noise = np.square(found.embedding - original.embedding).mean() / np.square(original.embedding).mean()
    return float(np.sqrt(noise))


def test_every_derived_file_keeps_its_promises_and_stays_near_the_original():
    quantized, _ = quantize(graph(), np.concatenate(batches()), None, threads=1)
    models = derive_models(graph(), quantized, precision="int8", for_gpu=True, with_fp32=True)
    assert list(models) == ["int8", "fp32", "fp16", "int8-fp16"]
    original = outputs(graph())
    for precision, model in models.items():
        checked(model, precision)
        engine = open_openvino(bytes_from_onnx(model), precision=precision, size_px=SIZE_PX, cache_dir=None, threads=1)
        found = np.concatenate([part.cell_type for part in engine.infer([cells(16, SIZE_PX, seed=6)[:8]])])
        engine.close()
        limit = {"fp32": 1e-5, "fp16": 2e-3}.get(precision, 5e-2)  # an untrained network is noisy
        assert np.abs(found - original.cell_type[:8]).mean() < limit, precision


def test_zero_points_are_zero_weights_are_per_channel_and_bias_is_float():
    quantized = qdq_from_onnx(graph(), ranges())
    constants = constants_of(quantized)
    convolutions = [node for node in quantized.graph.node if node.op_type == "Conv"]
    makers = {node.output[0]: node for node in quantized.graph.node}
    assert len(convolutions) > 60
    for node in convolutions:
        weights = makers[node.input[1]]
        assert weights.op_type == "DequantizeLinear"
        assert constants[weights.input[0]].dtype == np.int8
        assert constants[weights.input[1]].shape == (constants[weights.input[0]].shape[0],)
        assert not constants[weights.input[2]].any()
        assert makers[makers[node.input[0]].input[0]].op_type == "QuantizeLinear"
        if len(node.input) > 2:
            assert constants[node.input[2]].dtype == np.float32
    for node in quantized.graph.node:
        if node.op_type == "Gemm":
            assert constants[node.input[1]].dtype == np.float32, "the heads stay in floating point"


def test_no_constant_of_the_network_is_overwritten_by_a_scale():
    kept = constants_of(qdq_from_onnx(graph(), ranges()))
    for name, values in constants_of(graph()).items():
        if name not in kept:
            continue
        if name.endswith("/bias") and not name.startswith(("cell_type", "findings")):
            np.testing.assert_allclose(kept[name], values, atol=1e-3 * np.abs(values).max(), err_msg=name)
        else:
            np.testing.assert_array_equal(kept[name], values, err_msg=name)


def test_ranges_are_those_of_the_activations_themselves():
    watched = quantized_values(graph())[5]
    seen = ranges()[watched]
    watching = onnx.ModelProto()
    watching.CopyFrom(graph())
    watching.graph.output.append(onnx.helper.make_tensor_value_info(watched, onnx.TensorProto.FLOAT, None))
    import onnxruntime

    session = onnxruntime.InferenceSession(bytes_from_onnx(watching), providers=["CPUExecutionProvider"])
    values = np.concatenate([session.run([watched], {"images": batch})[0] for batch in batches()])
    np.testing.assert_allclose(seen.lowest, values.min(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(seen.highest, values.max(axis=(0, 2, 3)), rtol=1e-6)


def test_calibration_without_cells_and_with_overflow_is_refused():
    with pytest.raises(EdgeError) as error:
        activation_ranges(graph(), quantized_values(graph())[:1], [])
    assert error.value.code == "MDSE-CONVERT-021"
    broken = onnx.ModelProto()
    broken.CopyFrom(graph())
    constants = constants_of(graph())
    constants["stem1_conv/kernel"] = np.full_like(constants["stem1_conv/kernel"], 3e38)
    replace_constants(broken, constants)
    with pytest.raises(EdgeError) as error:
        activation_ranges(broken, quantized_values(graph()), batches()[:1])
    assert error.value.code == "MDSE-CONVERT-022"


def test_a_value_without_a_range_is_never_quantized_by_guess():
    some = dict(list(ranges().items())[:-1])
    with pytest.raises(EdgeError) as error:
        qdq_from_onnx(graph(), some)
    assert error.value.code == "MDSE-CONVERT-023"


def test_equalization_changes_nothing_in_real_numbers():
    equal, after = equalize(graph(), ranges())
    found, original = outputs(equal), outputs(graph())
    np.testing.assert_allclose(found.cell_type, original.cell_type, atol=2e-5)
    np.testing.assert_allclose(found.embedding, original.embedding, atol=2e-4)
    measured = activation_ranges(equal, quantized_values(graph()), batches())
    for name, expected in after.items():
        np.testing.assert_allclose(measured[name].largest_magnitude.max(), expected.largest_magnitude.max(), rtol=1e-3)


def test_a_residual_stream_is_one_group_and_features_are_left_alone():
    groups = channel_groups(graph())
    stream = next(group for group in groups if "middle1_add" in group.values)
    assert {"entry3_sepconv2", "entry3_shortcut", "middle1_sepconv3", "middle8_sepconv3"} <= set(stream.makers)
    assert {"middle1_sepconv1/depthwise", "exit1_sepconv1/depthwise", "exit1_shortcut"} <= set(stream.readers)
    assert not any("exit3_relu" in group.values for group in groups), "the features are an output"
    assert not any("scaling" in group.values for group in groups), "the pixels come from outside"


def test_channels_of_unlike_ranges_ruin_int8_and_equalization_restores_it():
    harsh = worsened_network(graph())
    original = outputs(graph())
    np.testing.assert_allclose(outputs(harsh).cell_type, original.cell_type, atol=1e-4)
    calibration = np.concatenate(batches())
    unequal = qdq_from_onnx(harsh, activation_ranges(harsh, quantized_values(harsh), batches()))
    lost, restored = outputs(unequal), outputs(quantized_model(harsh, calibration, threads=1))
    assert relative_noise(lost, original) > 3 * relative_noise(restored, original)
    ordinary = outputs(quantized_model(graph(), calibration, threads=1))
    assert relative_noise(restored, original) < 1.5 * relative_noise(ordinary, original)
    assert noisiest_layers(graph(), unequal, cells(2, SIZE_PX))[0].endswith("dB)")


def test_two_runtimes_compute_the_same_bits_from_the_int8_file():
    quantized = stored_in_half(quantized_model(graph(), np.concatenate(batches()), threads=1))
    images = cells(64, SIZE_PX, seed=8)
    engine = open_openvino(bytes_from_onnx(quantized), precision="int8", size_px=SIZE_PX, cache_dir=None, threads=1)
    found = np.concatenate([part.embedding for part in engine.infer(images[i : i + 8] for i in range(0, 64, 8))])
    engine.close()
    expected = outputs(quantized, images).embedding
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_where_int8_products_would_overflow_the_reference_computes_as_the_file_is_written(monkeypatch):
    quantized, images = quantized_model(graph(), np.concatenate(batches()), threads=1), cells(8, SIZE_PX, seed=8)
    monkeypatch.setattr("convert.onnx_session.has_int8_dot_product", lambda: False)
    session = reference_session(quantized, threads=1)
    assert session.get_session_options().get_session_config_entry("session.disable_quant_qdq") == "1"
    written = reference_session(quantized, threads=1, as_written=True)
    found, expected = (one.run(["embedding"], {"images": images})[0] for one in (session, written))
    assert np.abs(found - expected).mean() <= 1e-3 * np.abs(expected).mean()


def test_every_step_leaves_exact_products():
    quantized = quantized_model(graph(), np.concatenate(batches()), threads=1)
    constants, makers = constants_of(quantized), {node.output[0]: node for node in quantized.graph.node}
    for node in quantized.graph.node:
        if node.op_type != "Conv":
            continue
        step, steps = (constants[makers[name].input[1]].astype(np.float64) for name in node.input[:2])
        assert np.frexp(step)[0] == 0.5, node.name
        eighths = np.unique(np.frexp(steps)[0] * 8)
        assert set(eighths) <= ({4.0} if "depthwise" in node.name else {4.0, 5.0, 6.0, 7.0}), node.name
        if len(node.input) > 2:
            units = constants[node.input[2]] / (step * steps)
            np.testing.assert_array_equal(units, np.rint(units), err_msg=node.name)


def test_pixels_are_carried_by_int8_without_rounding():
    quantized = quantized_model(graph(), np.concatenate(batches()), threads=1)
    constants = constants_of(quantized)
    pixels = np.arange(256, dtype=np.float32)
    scaled = pixels * constants["scaling/scale"].reshape(()) + constants["scaling/offset"].reshape(())
    np.testing.assert_array_equal(scaled / constants["scaling/int8_step"], pixels - 128)
    exact, _ = exact_pixels(graph(), ranges())
    np.testing.assert_allclose(outputs(exact).cell_type, outputs(graph()).cell_type, atol=1e-5)


def test_pixels_before_a_padding_convolution_are_rounded_because_the_border_would_change():
    padded = onnx.ModelProto()
    padded.CopyFrom(graph())
    first = next(node for node in padded.graph.node if node.op_type == "Conv")
    next(attribute for attribute in first.attribute if attribute.name == "pads").ints[:] = [1, 1, 1, 1]
    assert exact_pixels(padded, ranges())[0] is padded


def test_heads_are_stored_in_half_and_compute_in_float32():
    quantized = quantized_model(graph(), np.concatenate(batches()), threads=1)
    stored = stored_in_half(quantized)
    kept, whole = constants_of(stored), constants_of(quantized)
    assert kept["findings/value/kernel/float16"].dtype == np.float16
    assert kept["scaling/int8_step"].shape == (), "a scalar stays a scalar"
    np.testing.assert_allclose(
        kept["findings/value/kernel/float16"], whole["findings/value/kernel"], rtol=2**-11, atol=1e-7
    )
    assert len(bytes_from_onnx(stored)) < len(bytes_from_onnx(quantized))
    checked(stored, "int8")


def test_a_network_without_a_convolution_is_stored_in_half_where_it_can_be_and_computes_the_same():
    images = Input((SIZE_PX, SIZE_PX, 3), dtype="uint8")
    plain = headed(layers.AveragePooling2D(4)(layers.Rescaling(1 / 255)(images)), images)
    model = onnx_from_keras(origin_from_keras(with_lively_weights(plain)))
    np.testing.assert_allclose(outputs(fp16_from_onnx(model)).cell_type, outputs(model).cell_type, atol=1e-3)


def test_layers_that_are_named_stay_in_floating_point():
    named = layers_from_beginnings(graph(), ("stem", "exit"))
    quantized = quantized_model(graph(), np.concatenate(batches()), float_layers=("stem", "exit"), threads=1)
    makers = {node.output[0]: node for node in quantized.graph.node}
    for node in quantized.graph.node:
        if node.op_type == "Conv":
            floating = makers.get(node.input[1]) is None
            assert floating == node.name.startswith(("stem", "exit")), node.name
    check_onnx(quantized, "int8", size_px=SIZE_PX, widths=widths(), float_layers=named)
    with pytest.raises(EdgeError):
        checked(quantized, "int8")


def broken_by(change, precision="int8"):
    model = onnx.ModelProto()
    model.CopyFrom(qdq_from_onnx(graph(), ranges()) if precision == "int8" else graph())
    change(model)
    with pytest.raises(EdgeError) as error:
        checked(model, precision)
    assert error.value.code == "MDSE-CONVERT-025"
    return str(error.value)


def set_constant(model, name, values):
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(values, name))


def test_the_check_sees_every_way_of_being_wrong():
    assert "not the int8 zero" in broken_by(lambda m: set_constant(m, "scaling/int8_zero", np.array(3, np.int8)))
    assert "not the int8 zero" in broken_by(lambda m: set_constant(m, "scaling/int8_zero", np.array(0, np.uint8)))
    assert "positive float" in broken_by(lambda m: set_constant(m, "scaling/int8_step", np.array(0.0, np.float32)))
    assert "per channel" in broken_by(lambda m: set_constant(m, "scaling/int8_step", np.full(3, 0.1, np.float32)))

    def minus_128(model):
        name = "stem1_conv/kernel/int8"
        values = constants_of(model)[name]
        values.flat[0] = -128
        set_constant(model, name, values)

    assert "symmetric int8" in broken_by(minus_128)
    assert "has not the shape" in broken_by(
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 33), "fp32"
    )
    assert "no dynamic batch" in broken_by(
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 1), "fp32"
    )
    assert "is a Sin" in broken_by(lambda m: setattr(m.graph.node[5], "op_type", "Sin"), "fp32")
    assert "outside of the file" in broken_by(
        lambda m: setattr(m.graph.initializer[0], "data_location", onnx.TensorProto.EXTERNAL), "fp32"
    )
    assert "not finite" in broken_by(
        lambda m: set_constant(m, "scaling/scale", np.full((1, 1, 1, 1), np.nan, np.float32)), "fp32"
    )
    with pytest.raises(EdgeError):
        checked(graph(), "fp16")
    with pytest.raises(EdgeError):
        checked(graph(), "int8")
    with pytest.raises(EdgeError):
        checked(qdq_from_onnx(graph(), ranges()), "fp32")


def test_a_weight_too_large_for_half_precision_is_refused():
    large = onnx.ModelProto()
    large.CopyFrom(graph())
    constants = constants_of(graph())
    constants["stem1_conv/kernel"].flat[0] = 1e5
    replace_constants(large, constants)
    with pytest.raises(EdgeError) as error:
        fp16_from_onnx(large)
    assert error.value.code == "MDSE-CONVERT-024"


def test_half_precision_ends_before_the_pooling():
    half = fp16_from_onnx(graph())
    constants = constants_of(half)
    nodes = {node.op_type: node for node in half.graph.node}
    assert constants[nodes["Conv"].input[1]].dtype == np.float16
    assert constants[nodes["Gemm"].input[1]].dtype == np.float32
    pooled_from = next(n for n in half.graph.node if n.output[0] == nodes["GlobalAveragePool"].input[0])
    assert pooled_from.op_type == "Cast"
    assert len([n for n in half.graph.node if n.op_type == "Cast"]) == 3  # pixels, into the trunk, out of it
