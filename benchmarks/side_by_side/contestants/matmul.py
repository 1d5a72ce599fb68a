"""The machine's limit: one big matrix product in the same library, int8 and fp32, nothing but multiplications."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.side_by_side.contestants.base import Batch, Contestant

SIDE = 2048
GIGA_OPERATIONS = 2 * SIDE**3 / 1e9  # a multiplication and an addition each


@dataclass(frozen=True, slots=True)
class Form:
    """How the products run: signed or unsigned left operand, and so many independent products side by side."""

    signed: bool
    copies: int


class Int8MatrixProduct(Contestant):
    """8-bit operands and an 8-bit result, as inside a network, in whichever form is fastest here."""

    def open(self) -> None:
        """Import the library."""
        import sys

        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # a benchmark sends nothing either
        import openvino

        self._core = openvino.Core()
        self._requests: dict[int, list[Any]] = {}

    def chosen_batches(self) -> tuple[int, ...]:
        """Return the numbers of the forms to try; there are no images here."""
        return tuple(range(1, len(self.forms()) + 1))

    def forms(self) -> list[Form]:
        """Return the forms: one product on all threads, and one on each thread."""
        copies = sorted({1, self.threads})
        return [Form(signed, count) for count in copies for signed in (True, False)]

    def prepare(self, batch: int) -> None:
        """Compile form number `batch`. Raises RuntimeError where it does not run in the precision it is named after."""
        form = self.forms()[batch - 1]
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(max(1, self.threads // form.copies)),
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": "NO",
        }
        requests = []
        for _ in range(form.copies):
            compiled = self._core.compile_model(
                self._core.read_model(self.model(signed=form.signed)), "CPU", properties
            )
            _require_precision(compiled, self.element(signed=form.signed))
            request = compiled.create_infer_request()
            left = np.random.default_rng(1).integers(0, 120, (SIDE, SIDE))
            request.set_input_tensor(_tensor(left.astype(self.element(signed=form.signed))))
            requests.append(request)
        self._requests[batch] = requests

    def run(self, batch: int, batches: Iterable[Batch]) -> int:
        """Multiply once in every copy for every batch that is asked for; return the products."""
        requests, done = self._requests[batch], 0
        for _ in batches:
            for request in requests:
                request.start_async()
            for request in requests:
                request.wait()
            done += len(requests)
        return done

    def facts(self) -> dict[str, Any]:
        """Return the forms that were tried, in the order of their numbers."""
        return {"forms": [f"{'signed' if form.signed else 'unsigned'}, {form.copies} at once" for form in self.forms()]}

    def element(self, *, signed: bool) -> Any:
        """Return the type of the left operand."""
        return np.int8 if signed else np.uint8

    def model(self, *, signed: bool) -> bytes:
        """Return the product as ONNX: 8-bit operand, 8-bit weights per column, 8-bit result."""
        from onnx import TensorProto, helper, numpy_helper

        kind = TensorProto.INT8 if signed else TensorProto.UINT8
        zero = np.zeros((), self.element(signed=signed))
        right = np.random.default_rng(2).integers(-120, 120, (SIDE, SIDE)).astype(np.int8)
        constants = {
            "scale": np.float32(0.02),
            "zero": zero,
            "right": right,
            "scales": np.full(SIDE, 0.01, np.float32),
            "zeros": np.zeros(SIDE, np.int8),
            "result_scale": np.float32(400.0),
        }
        nodes = [
            helper.make_node("DequantizeLinear", ["left", "scale", "zero"], ["left_real"]),
            helper.make_node("DequantizeLinear", ["right", "scales", "zeros"], ["right_real"], axis=1),
            helper.make_node("MatMul", ["left_real", "right_real"], ["product"]),
            helper.make_node("QuantizeLinear", ["product", "result_scale", "zero"], ["result"]),
        ]
        graph = helper.make_graph(
            nodes,
            "product",
            [helper.make_tensor_value_info("left", kind, [SIDE, SIDE])],
            [helper.make_tensor_value_info("result", kind, [SIDE, SIDE])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        made.ir_version = 8
        return bytes(made.SerializeToString())


class Fp32MatrixProduct(Int8MatrixProduct):
    """The same in single precision."""

    def forms(self) -> list[Form]:
        """Return the forms."""
        return [Form(True, copies) for copies in sorted({1, self.threads})]

    def element(self, *, signed: bool) -> Any:  # noqa: ARG002 - a floating-point number has its sign
        """Return the type of the left operand."""
        return np.float32

    def model(self, *, signed: bool) -> bytes:  # noqa: ARG002 - as above
        """Return the product as ONNX."""
        from onnx import TensorProto, helper, numpy_helper

        right = np.random.default_rng(2).normal(size=(SIDE, SIDE)).astype(np.float32)
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["left", "right"], ["result"])],
            "product",
            [helper.make_tensor_value_info("left", TensorProto.FLOAT, [SIDE, SIDE])],
            [helper.make_tensor_value_info("result", TensorProto.FLOAT, [SIDE, SIDE])],
            [numpy_helper.from_array(right, "right")],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        made.ir_version = 8
        return bytes(made.SerializeToString())


def _require_precision(compiled: Any, element: Any) -> None:
    """Refuse a product that the library runs in another precision: its rate would be another limit."""
    wanted = {"f32"} if element is np.float32 else {"i8", "u8"}
    for layer in compiled.get_runtime_model().get_ops():
        facts = layer.get_rt_info()
        if facts["layerType"].astype(str) in ("FullyConnected", "MatMul"):
            found = facts["runtimePrecision"].astype(str).lower()
            if found not in wanted:
                raise RuntimeError(f"the matrix product runs in {found}")
            return
    raise RuntimeError("there is no matrix product in what was compiled")


def _tensor(values: Any) -> Any:
    import openvino

    return openvino.Tensor(values, shared_memory=True)
