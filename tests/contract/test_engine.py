"""Every engine keeps the same contract: outputs in order, owned by the receiver, checked, and pulled ahead."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from bundles import CATALOGUE, EMBEDDING, SIZE_PX, golden_images, painted_cell, painted_network, painted_outputs
from fake_gpu import FakeDriver, FakeGpu
from fake_tensorrt import FakeTensorRt, fake_plan

from edge.engines.base import EngineOutputs, EngineSpec, check_batch, checked_outputs
from edge.engines.cuda_device import CudaDevice
from edge.engines.openvino import open_openvino, require_equal_copies
from edge.engines.tensorrt import open_tensorrt
from edge.errors import EdgeError
from edge.golden import GoldenCells, prove_golden


class NumpyEngine:
    """The smallest engine there can be: it computes a batch behind, so that it too pulls the next one first."""

    def __init__(self):
        types, findings = len(CATALOGUE.cell_types), len(CATALOGUE.findings)
        self.spec = EngineSpec("numpy", "cpu", "fp32", SIZE_PX, 5, EMBEDDING, types, findings)
        self._open = True

    def infer(self, batches):
        if not self._open:
            raise ValueError("this engine was closed")
        waiting = None
        for batch in batches:
            check_batch(batch, self.spec)
            if waiting is not None:
                yield self._run(waiting)
            waiting = batch.copy()
        if waiting is not None:
            yield self._run(waiting)

    def _run(self, batch):
        return checked_outputs(EngineOutputs(**painted_outputs(batch)), len(batch), self.spec)

    def close(self):
        self._open = False


def open_painted(**changes):
    given = {"precision": "fp32", "size_px": SIZE_PX, "cache_dir": None, "threads": 2, **changes}
    return open_openvino(painted_network(), **given)


def open_fake_tensorrt():
    gpu = FakeGpu()
    given = {"name": "tensorrt", "precision": "fp16", "size_px": SIZE_PX}
    return open_tensorrt(FakeTensorRt(gpu), CudaDevice(FakeDriver(gpu)), fake_plan(), **given)


@pytest.fixture(params=[NumpyEngine, open_painted, open_fake_tensorrt], ids=["numpy", "openvino", "tensorrt"])
def engine(request):
    opened = request.param()
    yield opened
    opened.close()


def images_of(count, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def infer_all(engine, images, sizes):
    starts = np.cumsum([0, *sizes])
    outputs = list(engine.infer(images[a:b] for a, b in itertools.pairwise(starts)))
    assert [len(part.cell_type) for part in outputs] == list(sizes)
    return {
        name: np.concatenate([getattr(part, name) for part in outputs])
        for name in ("cell_type", "findings", "embedding")
    }


def test_outputs_are_those_of_the_network_in_the_order_of_the_images(engine):
    images = np.stack([painted_cell(code, size_px=SIZE_PX) for code in CATALOGUE.type_codes] + list(images_of(20)))
    sizes = [engine.spec.max_batch] * (len(images) // engine.spec.max_batch)
    sizes += [len(images) - sum(sizes)] if len(images) > sum(sizes) else []
    outputs = infer_all(engine, images, sizes)
    expected = painted_outputs(images)
    np.testing.assert_allclose(outputs["embedding"], expected["embedding"], atol=2e-5)
    np.testing.assert_allclose(outputs["findings"], expected["findings"], atol=1e-5)
    assert outputs["cell_type"].argmax(axis=1)[: len(CATALOGUE.type_codes)].tolist() == list(range(17))


def test_how_images_are_grouped_does_not_change_a_single_bit(engine):
    images = images_of(11)
    together = infer_all(engine, images, [4, 4, 3])
    alone = infer_all(engine, images, [1] * 11)
    for name in together:
        assert together[name].tobytes() == alone[name].tobytes()


def test_no_batches_give_no_outputs_and_the_engine_stays_usable(engine):
    assert list(engine.infer(iter(()))) == []
    assert len(infer_all(engine, images_of(2), [2])["findings"]) == 2


def test_the_caller_may_reuse_its_batch_and_keeps_its_outputs(engine):
    images = images_of(12)
    buffer = np.empty((3, SIZE_PX, SIZE_PX, 3), np.uint8)

    def reused():
        for start in range(0, 12, 3):
            buffer[...] = images[start : start + 3]
            yield buffer

    kept = list(engine.infer(reused()))
    buffer[...] = 0
    list(engine.infer([images_of(3, seed=9)]))
    found = np.concatenate([part.embedding for part in kept])
    np.testing.assert_allclose(found, painted_outputs(images)["embedding"], atol=2e-5)


def test_the_next_batch_is_pulled_before_the_earlier_result_is_handed_over(engine):
    pulled = []

    def batches():
        for number in range(6):
            pulled.append(number)
            yield images_of(1, seed=number)

    results = engine.infer(batches())
    next(results)
    assert len(pulled) >= 2
    results.close()


def test_a_consumer_that_stops_early_leaves_the_engine_usable(engine):
    results = engine.infer(images_of(1, seed=n) for n in range(5))
    next(results)
    results.close()
    images = images_of(2, seed=3)
    found = infer_all(engine, images, [2])["embedding"]
    np.testing.assert_allclose(found, painted_outputs(images)["embedding"], atol=2e-5)


def test_an_error_of_the_source_reaches_the_caller_and_leaves_the_engine_usable(engine):
    def broken():
        yield images_of(1)
        raise OSError("the share is away")

    with pytest.raises(OSError, match="the share is away"):
        list(engine.infer(broken()))
    assert len(infer_all(engine, images_of(1), [1])["findings"]) == 1


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((0, SIZE_PX, SIZE_PX, 3), np.uint8),
        np.zeros((99, SIZE_PX, SIZE_PX, 3), np.uint8),
        np.zeros((1, SIZE_PX + 1, SIZE_PX, 3), np.uint8),
        np.zeros((1, 3, SIZE_PX, SIZE_PX), np.uint8),
        np.zeros((1, SIZE_PX, SIZE_PX, 3), np.float32),
        np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8),
    ],
)
def test_a_batch_of_another_kind_is_refused(engine, batch):
    with pytest.raises(EdgeError, match="MDSE-ENGINE-003"):
        list(engine.infer([batch]))


def test_a_closed_engine_says_so_and_may_be_closed_again(engine):
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        next(iter(engine.infer([images_of(1)])))


def whole_outputs():
    return painted_outputs(images_of(2))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cell_type", lambda a: a[:, :-1]),
        ("cell_type", lambda a: a * 1.01),
        ("cell_type", lambda a: a.astype(np.float64)),
        ("cell_type", lambda a: np.where(a > 0.5, np.float32(np.nan), a)),
        ("cell_type", lambda a: a[:1]),
        ("findings", lambda a: a + 1.5),
        ("findings", lambda a: a * np.float32(np.inf)),
        ("embedding", lambda a: a * np.float32(np.nan)),
        ("embedding", lambda a: a[:, :2]),
    ],
)
def test_outputs_that_break_the_contract_are_refused(name, change):
    outputs = whole_outputs()
    with np.errstate(all="ignore"):
        outputs[name] = change(outputs[name])
    with pytest.raises(EdgeError, match="MDSE-ENGINE-004"):
        checked_outputs(EngineOutputs(**outputs), 2, NumpyEngine().spec)


def test_sound_outputs_pass():
    checked_outputs(EngineOutputs(**whole_outputs()), 2, NumpyEngine().spec)


# ---- what only the OpenVINO engine has


@pytest.mark.parametrize(
    ("onnx", "size_px"),
    [
        (b"no network", SIZE_PX),
        (b"", SIZE_PX),
        (painted_network(), SIZE_PX + 1),
        (painted_network(outputs=("cell_types", "findings", "embedding")), SIZE_PX),
    ],
)
def test_a_file_that_is_not_such_a_network_is_refused(onnx, size_px):
    with pytest.raises(EdgeError, match="MDSE-ENGINE-005"):
        open_openvino(onnx, precision="fp32", size_px=size_px, cache_dir=None, threads=1)


def test_what_the_device_computes_is_checked_before_it_is_handed_over():
    network = painted_network(type_weight=float("nan"))
    engine = open_openvino(network, precision="fp32", size_px=SIZE_PX, cache_dir=None, threads=1)
    with pytest.raises(EdgeError, match=r"MDSE-ENGINE-004 openvino: .* not a number"):
        list(engine.infer([images_of(2)]))


def test_two_inferences_at_a_time_are_an_error_of_the_caller():
    engine = open_painted()
    first = engine.infer(images_of(1, seed=n) for n in range(4))
    next(first)
    with pytest.raises(ValueError, match="one infer at a time"):
        next(engine.infer([images_of(1)]))
    assert len(list(first)) == 3


class SecondCopyLies(NumpyEngine):
    """Two copies that take batches in turn; the second one computes another network."""

    def __init__(self, copies=2):
        super().__init__()
        self.spec = dataclasses.replace(self.spec, copies=copies)
        self._turn = itertools.cycle(range(copies))

    def _run(self, batch):
        outputs = super()._run(batch)
        wrong = next(self._turn) == 1
        return dataclasses.replace(outputs, cell_type=np.roll(outputs.cell_type, 1, axis=1)) if wrong else outputs


@pytest.mark.parametrize("copies", [2, 3])
def test_one_copy_that_computes_another_network_is_found_by_the_golden_cells(copies):
    images = golden_images()
    cells = GoldenCells(images, EngineOutputs(**painted_outputs(images)))
    assert prove_golden(NumpyEngine(), cells).cells == len(images)
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-014"):
        prove_golden(SecondCopyLies(copies), cells)


def test_copies_that_differ_in_one_bit_are_refused_when_the_engine_opens():
    engine = SecondCopyLies()
    with pytest.raises(EdgeError, match=r"MDSE-ENGINE-004 openvino: .*two compilations"):
        require_equal_copies(engine)
    with pytest.raises(ValueError, match="closed"):
        next(engine.infer([images_of(1)]))
    require_equal_copies(NumpyEngine())


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_layout_gives_the_same_bits(threads, tmp_path):
    images = images_of(40, seed=3)
    plain, tuned = open_painted(threads=1), open_painted(threads=threads, cache_dir=tmp_path / "cache")
    assert tuned.spec.copies * tuned.spec.threads <= threads
    sizes = [8, 8, 8, 8, 8]
    for name, array in infer_all(plain, images, sizes).items():
        np.testing.assert_array_equal(infer_all(tuned, images, sizes)[name], array)


def test_compiled_networks_are_kept_only_in_a_private_folder(tmp_path):
    private = tmp_path / "state" / "cache"
    open_painted(cache_dir=private).close()
    assert list(private.rglob("*.blob"))
    assert private.stat().st_mode & 0o777 == 0o700
    images = images_of(3)
    again = open_painted(cache_dir=private)
    np.testing.assert_allclose(
        infer_all(again, images, [3])["embedding"], painted_outputs(images)["embedding"], atol=2e-5
    )
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    linked = tmp_path / "linked"
    linked.symlink_to(private)
    for folder in (shared, linked):
        with pytest.raises(EdgeError, match="MDSE-ENGINE-006"):
            open_painted(cache_dir=folder)


WITHOUT_A_WORD = """
import socket, subprocess, sys
def watch(event, arguments):
    if event.startswith("socket.") or event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
        print("FORBIDDEN", event, arguments)
sys.addaudithook(watch)
from edge.engines.openvino import openvino_version
print(openvino_version())
import openvino
assert not any(name.startswith("openvino_telemetry") and module for name, module in sys.modules.items())
print(openvino.Core().available_devices)
"""


@pytest.mark.case("M11")
def test_openvino_neither_calls_out_nor_writes_into_the_home_folder(tmp_path):
    # Its own switch-offs for continuous integration must not be what makes this pass.
    silencers = ("CI", "TF_BUILD", "JENKINS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in silencers}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_WORD],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CPU" in done.stdout
    assert "FORBIDDEN" not in done.stdout
    assert list(tmp_path.iterdir()) == []
