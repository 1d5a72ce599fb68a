"""Triton through pytriton: our int8 file in OpenVINO behind Triton's batcher, asked over gRPC on the loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.side_by_side.contestants.base import Batch, Contestant

CLIENTS = 2
MODEL = "cells"
OUTPUTS = ("cell_type", "findings", "embedding")


class TritonServer(Contestant):
    """The server runs beside this process; the network itself runs here, where pytriton calls it back."""

    batches = (8, 32)

    def open(self) -> None:
        """Compile the network and start the server with it."""
        import os
        import sys
        import sysconfig

        # Triton's stub loads libpython by name; the system's may be another release than this standard library.
        os.environ["LD_LIBRARY_PATH"] = str(sysconfig.get_config_var("LIBDIR"))
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # a benchmark sends nothing either
        import openvino
        from pytriton.client import ModelClient
        from pytriton.decorators import batch
        from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
        from pytriton.triton import Triton, TritonConfig

        properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(self.threads)}
        compiled = openvino.Core().compile_model(str(self.material.int8), "CPU", properties)
        widths = {output.any_name: output.partial_shape[1].get_length() for output in compiled.outputs}

        @batch  # type: ignore[untyped-decorator]  # pytriton is not installed where types are checked
        def infer(images: Any) -> dict[str, Any]:
            found = compiled({"images": images})
            return {name: np.array(found[name]) for name in OUTPUTS}

        http, grpc = _free_port(), _free_port()
        here = "127.0.0.1"
        config = TritonConfig(http_port=http, http_address=here, grpc_port=grpc, grpc_address=here, allow_metrics=False)
        self._triton = Triton(config=config)
        side = self.material.size_px
        self._triton.bind(
            model_name=MODEL,
            infer_func=infer,
            inputs=[Tensor(name="images", dtype=np.uint8, shape=(side, side, 3))],
            outputs=[Tensor(name=name, dtype=np.float32, shape=(widths[name],)) for name in OUTPUTS],
            config=ModelConfig(max_batch_size=32, batcher=DynamicBatcher(max_queue_delay_microseconds=1000)),
        )
        self._triton.run()
        self._clients = [ModelClient(f"grpc://{here}:{grpc}", MODEL) for _ in range(CLIENTS)]
        self._pool = ThreadPoolExecutor(CLIENTS)

    def run(self, batch: int, batches: Iterable[Batch]) -> int:
        """Let two clients take turns at the batches; a single batch goes through one."""
        waiting, done = iter(batches), 0
        if batch == 1:
            return sum(len(self._clients[0].infer_batch(images=images)["cell_type"]) for images in waiting)
        started: list[Any] = []
        for number, images in enumerate(waiting):
            if len(started) == CLIENTS:
                done += len(started.pop(0).result()["cell_type"])
            started.append(self._pool.submit(self._clients[number % CLIENTS].infer_batch, images=images))
        return done + sum(len(future.result()["cell_type"]) for future in started)

    def close(self) -> None:
        """Stop clients and server."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()
        self._triton.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
