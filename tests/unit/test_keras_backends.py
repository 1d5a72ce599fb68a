"""The network and its losses belong to no backend: they know Keras alone, and train on whatever backend is there."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("keras")

BACKENDS = {"tensorflow": "tensorflow", "torch": "torch", "jax": "jax"}
STEP = """
import sys
import numpy as np, keras
assert keras.backend.backend() == sys.argv[1]
from convert.network import build_network
from convert.training_loss import masked_findings_loss
keras.utils.set_random_seed(1)
network = build_network(size_px=32, width=0.1)
model = keras.Model(network.inputs[0], {name: network.output[name] for name in ("cell_type", "findings")})
model.compile(
    optimizer=keras.optimizers.AdamW(1e-3),
    loss={"cell_type": "categorical_crossentropy", "findings": masked_findings_loss(np.ones(97, np.float32))},
    jit_compile=False,
)
random = np.random.default_rng(0)
images = random.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
target = {"cell_type": np.eye(17, dtype=np.float32)[:8], "findings": np.zeros((8, 97), np.float32)}
before = [w.copy() for w in network.get_weights()]
losses = [float(np.asarray(model.train_on_batch(images, target)).ravel()[0]) for _ in range(6)]
assert all(np.isfinite(losses)) and losses[-1] < losses[0], losses
assert any(not np.array_equal(a, b) for a, b in zip(before, network.get_weights()))
outputs = network.predict_on_batch(images)
assert {name: np.asarray(value).shape for name, value in outputs.items()}["cell_type"] == (8, 17)
print("trained", "tensorflow" in sys.modules)
"""


@pytest.mark.parametrize("name", ["network", "training_loss"])
def test_network_and_losses_import_no_backend(repository, name):
    tree = ast.parse((repository / "convert" / f"{name}.py").read_text())
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        for alias in (node.names if isinstance(node, ast.Import) else [])
    } | {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert "keras" in imported
    assert imported <= {"__future__", "collections", "typing", "keras", "numpy", "convert"}


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_the_network_trains_on_every_backend_that_is_installed(repository, backend):
    if find_spec(BACKENDS[backend]) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [sys.executable, "-c", STEP, backend], env=environment, cwd=Path(repository), capture_output=True, text=True,
        timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("trained")
