"""A training in bfloat16 is judged, and its card is fitted, in the arithmetic in which its network will run."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("keras")

from small_trainings import arguments_for, write_coloured_cells

from convert import trained_model
from convert.cell_training import CellTraining, network_for
from convert.commands.train import main
from convert.keras_learner import KerasLearner, predict_cells
from convert.keras_model import load_keras_model, read_architecture
from edge.catalogue import load_catalogue

CATALOGUE = load_catalogue()


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_an_epoch_of_a_training_in_bfloat16_is_judged_in_float32():
    training = CellTraining(size_px=32, width=0.1, epochs=1, mixed_precision=True)
    learner = KerasLearner(training, CATALOGUE, np.ones(len(CATALOGUE.findings), np.float32), 32)
    assert "bfloat16" in {layer.compute_dtype for layer in learner._compiled.layers}, "what learns"
    exact = network_for(training, CATALOGUE, 32)
    exact.set_weights(learner.get_weights())
    assert {layer.compute_dtype for layer in exact.layers} <= {"float32", "uint8"}
    found, expected = learner.predict(images(8)), predict_cells(exact, images(8))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6, err_msg=name)


def test_the_card_of_a_training_in_bfloat16_is_fitted_on_what_the_saved_network_says(tmp_path, monkeypatch):
    (tmp_path / "cells").mkdir()
    write_coloured_cells(tmp_path / "cells")
    fitted = []

    def watched(model, pixels):
        fitted.append((pixels, predict_cells(model, pixels)))
        return fitted[-1][1]

    monkeypatch.setattr(trained_model, "predict_cells", watched)
    options = ("--allow-missing-types", "--mixed-precision")
    assert main(arguments_for(tmp_path / "cells", tmp_path / "m.keras", *options)) == 0
    assert "bfloat16" not in json.dumps(read_architecture(tmp_path / "m.keras"))
    origin = load_keras_model(tmp_path / "m.keras")
    assert len(fitted) == 2  # the validation cells and the test cells
    for pixels, said in fitted:
        for name, values in predict_cells(origin, pixels).items():
            np.testing.assert_allclose(said[name], values, atol=1e-6, err_msg=name)
