"""LiteRT (TensorFlow Lite): the Keras model as its converter quantizes it, run with XNNPACK."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.side_by_side.contestants.base import Batch, Contestant
from benchmarks.side_by_side.contestants.keras_plain import quiet_tensorflow


class LiteRtInt8(Contestant):
    """The interpreter that comes with TensorFlow; the file is made once, see material_files.py."""

    def open(self) -> None:
        """Import the interpreter."""
        self._lite = quiet_tensorflow(self.threads).lite
        self._interpreters: dict[int, Any] = {}

    def prepare(self, batch: int) -> None:
        """Load the file for this batch."""
        interpreter = self._lite.Interpreter(str(self.material.litert), num_threads=self.threads)
        side = self.material.size_px
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], (batch, side, side, 3))
        interpreter.allocate_tensors()
        self._interpreters[batch] = interpreter

    def run(self, batch: int, batches: Iterable[Batch]) -> int:
        """Set the input, invoke, fetch the outputs."""
        interpreter, done = self._interpreters[batch], 0
        given, outputs = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()
        for images in batches:
            interpreter.set_tensor(given, images)
            interpreter.invoke()
            for output in outputs:
                interpreter.get_tensor(output["index"])
            done += len(images)
        return done
