"""How int8 agrees with the original on the cells that judge it before the proof, held to the bars of the certificate.

These are validation cells, filled up by those that calibrate; test cells are left to the certificate. The loss is the
mean difference of probabilities, types and findings each as a share of its bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.half_storage import stored_in_half
from convert.onnx_graph import bytes_from_onnx
from convert.parity import outputs_of_engine, outputs_of_onnx, rows_of
from convert.parity_gates import MEAN_DIFFERENCE_BARS, SURE_BAR, TOP1_BAR, leads
from convert.progress import Progress
from edge.engines.base import EngineOutputs
from edge.engines.openvino import open_openvino

SENSITIVITY_CELLS = 96


@dataclass(frozen=True, slots=True)
class Agreement:
    """How int8 agrees with the original on `cells` cells; `sure_agreement` where the first type leads by 0.1."""

    cells: int
    top1_agreement: float
    sure_agreement: float
    mean_abs_dp_types: float
    mean_abs_dp_findings: float

    @property
    def loss(self) -> float:
        """Mean differences as shares of their bars, types and findings added: 2 is the worst that passes."""
        types, findings = MEAN_DIFFERENCE_BARS["int8"]
        return self.mean_abs_dp_types / types + self.mean_abs_dp_findings / findings

    @property
    def passes(self) -> bool:
        """Whether every bar is met."""
        types, findings = MEAN_DIFFERENCE_BARS["int8"]
        return (
            self.top1_agreement >= TOP1_BAR
            and self.sure_agreement >= SURE_BAR
            and self.mean_abs_dp_types <= types
            and self.mean_abs_dp_findings <= findings
        )


class Judge:
    """The original's answers for some cells, and the comparison of int8 with them on the CPU engine."""

    def __init__(
        self,
        graph: onnx.ModelProto,
        images: NDArray[np.uint8],
        threads: int | None,
        stream: TextIO | None,
        expected: EngineOutputs | None = None,
    ) -> None:
        self._graph, self._images, self._threads = graph, images, threads
        if expected is None:
            with Progress("original on validation cells", len(images), stream) as progress:
                expected = outputs_of_onnx(graph, images, progress, threads=threads or 0)
        self._expected = expected

    def on_few(self) -> Judge:
        """Return a judge over an even choice of at most SENSITIVITY_CELLS of the cells."""
        rows = np.linspace(0, len(self._images) - 1, min(SENSITIVITY_CELLS, len(self._images))).astype(int)
        return Judge(self._graph, self._images[rows], self._threads, None, rows_of(self._expected, rows))

    def agreement(self, model: onnx.ModelProto) -> Agreement:
        """Run the int8 model as it will be stored and compare."""
        data, size_px = bytes_from_onnx(stored_in_half(model)), self._images.shape[1]
        engine = open_openvino(data, precision="int8", size_px=size_px, cache_dir=None, threads=self._threads)
        try:
            found = outputs_of_engine(engine, self._images, Progress("", len(self._images), None))
        finally:
            engine.close()
        return agreement_of(self._expected, found)


def agreement_of(expected: EngineOutputs, found: EngineOutputs) -> Agreement:
    """Compare the outputs for the same cells. Where no cell is sure, `sure_agreement` is 1."""
    same = expected.cell_type.argmax(axis=1) == found.cell_type.argmax(axis=1)
    sure = leads(expected)
    return Agreement(
        cells=len(same),
        top1_agreement=float(same.mean()),
        sure_agreement=float(same[sure].mean()) if sure.any() else 1.0,
        mean_abs_dp_types=float(np.abs(expected.cell_type - found.cell_type).mean()),
        mean_abs_dp_findings=float(np.abs(expected.findings - found.findings).mean()),
    )
