"""TensorFlow without Keras' loop: the network as one tf.function of a fixed shape."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.side_by_side.contestants.base import Batch, Contestant
from benchmarks.side_by_side.contestants.keras_plain import quiet_tensorflow


class TensorFlowFunction(Contestant):
    """A traced function per batch size. Not compiled by XLA, which is several times slower for this network."""

    batches = (8, 32)

    def open(self) -> None:
        """Load the Keras model."""
        self._tensorflow = quiet_tensorflow(self.threads)
        import keras

        self._model = keras.models.load_model(self.material.keras_model, compile=False)
        self._functions: dict[int, object] = {}

    def prepare(self, batch: int) -> None:
        """Trace for this batch."""
        side = self.material.size_px
        shape = self._tensorflow.TensorSpec((batch, side, side, 3), self._tensorflow.uint8)
        traced = self._tensorflow.function(lambda images: self._model(images, training=False), input_signature=[shape])
        self._functions[batch] = traced.get_concrete_function()

    def run(self, batch: int, batches: Iterable[Batch]) -> int:
        """Call the traced function and fetch its outputs."""
        function, done = self._functions[batch], 0
        for images in batches:
            outputs = function(self._tensorflow.constant(images))  # type: ignore[operator]  # TensorFlow has no types
            for output in outputs.values():
                output.numpy()
            done += len(images)
        return done
