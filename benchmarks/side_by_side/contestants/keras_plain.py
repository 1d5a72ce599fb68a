"""The plain way of a researcher: Keras, XGBoost and shap as their first pages show them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side.contestants.base import Batch, Contestant

BATCH = 32
SLIDE_CELLS = 200
"""Each call of predict sets up a loop of its own, so the network alone is asked for as many cells as a slide has."""
TYPES = 17


def quiet_tensorflow(threads: int) -> Any:
    """Import TensorFlow with this many threads and without its greetings."""
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    return tensorflow


class KerasPredict(Contestant):
    """keras.Model.predict in batches of 32; load_img, Booster.predict and shap.TreeExplainer around it."""

    batches = (BATCH,)

    def open(self) -> None:
        """Import everything and load network, trees and explainer."""
        quiet_tensorflow(self.threads)
        import keras
        import shap
        import xgboost

        self._load_img, self._to_array = keras.utils.load_img, keras.utils.img_to_array
        self._model = keras.models.load_model(self.material.keras_model, compile=False)
        self._booster = xgboost.Booster({"nthread": self.threads})
        self._booster.load_model(self.material.trees)
        self._matrix = xgboost.DMatrix
        self._explainer = shap.TreeExplainer(self._booster)

    def run(self, batch: int, batches: Iterable[Batch]) -> int:  # noqa: ARG002 - it takes any batch
        """Call predict once for the batches of each slide, as `slide` does; Keras divides them again."""
        waiting, done = iter(batches), 0
        while gathered := list(itertools.islice(waiting, SLIDE_CELLS // BATCH)):
            images = np.concatenate(gathered)
            self._model.predict(images, batch_size=BATCH, verbose=0)
            done += len(images)
        return done

    def slide(self, folder: Path) -> float:
        """Read every image, predict, average, score, explain, and write the result as JSON."""
        side = (self.material.size_px, self.material.size_px)
        files = sorted(folder.glob("wbc/*.jpg"))
        images = np.stack([self._to_array(self._load_img(file, target_size=side)) for file in files])
        outputs = self._model.predict(images.astype(np.uint8), batch_size=BATCH, verbose=0)
        types, findings = outputs["cell_type"], outputs["findings"]
        shares = np.bincount(types.argmax(axis=1), minlength=TYPES) / len(files)
        row = np.concatenate([shares, findings.mean(axis=0)]).astype(np.float32)[np.newaxis]
        matrix = self._matrix(row, feature_names=self._booster.feature_names)
        score = float(self._booster.predict(matrix)[0])
        contributions = self._explainer.shap_values(row)[0]
        result = {"score": score, "profile": row[0].tolist(), "contributions": np.asarray(contributions).tolist()}
        self.material.results.mkdir(parents=True, exist_ok=True)
        (self.material.results / "plain.json").write_text(json.dumps(result), encoding="ascii")
        return score
