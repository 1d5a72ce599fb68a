"""Build real TensorRT-for-RTX plans on a machine without a GPU, and write seconds and sizes to benchmarks/plans.json.

    .ci/gpu-libraries DIR && PYTHONPATH=DIR/rtx python benchmarks/plans.py

Networks: the paper's at full width and 299 px (random weights: a plan's size and build time do not depend on them), and
those of the demo bundle. Nothing is run: running a plan needs a GPU.
"""

from __future__ import annotations

import argparse
import json
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.bench.report import machine_facts
from edge.bundle.reader import open_bundle
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.engines.tensorrt_binding import load_binding
from edge.engines.tensorrt_plan import BATCH_SIZES, PlanRequest, build_plan
from edge.errors import EdgeError

TARGETS = (("SM80",), ("SM86",), ("SM89",), ("SM120",), ("SM80", "SM86", "SM89", "SM120"))


def paper_network() -> bytes:
    """Return the fp16 ONNX of the full-width network for 299 px, with random weights."""
    import keras

    from convert.fp16_from_onnx import fp16_from_onnx
    from convert.network import build_network
    from convert.onnx_from_keras import onnx_from_keras, origin_from_keras
    from convert.onnx_graph import bytes_from_onnx

    keras.utils.set_random_seed(1)
    return bytes_from_onnx(fp16_from_onnx(onnx_from_keras(origin_from_keras(build_network(size_px=299)))))


def built(trt: Any, name: str, onnx: bytes, size_px: int, targets: tuple[str, ...]) -> dict[str, Any]:
    """Return what building one plan cost, or the library's words why it refused."""
    row: dict[str, Any] = {"network": name, "size_px": size_px, "targets": list(targets), "onnx_mb": megabytes(onnx)}
    try:
        plan = build_plan(trt, onnx, PlanRequest(size_px, compute_capabilities=targets), where=name)
    except EdgeError as error:
        return row | {"refused": error.text}
    row |= {"build_s": round(plan.build_s, 2), "plan_mb": megabytes(plan.plan)}
    return row | {"quantized_layers": len(plan.quantized_layers)}


def megabytes(data: bytes) -> float:
    """Return a size in MB of 10^6 bytes, to two decimals."""
    return round(len(data) / 1e6, 2)


def main() -> int:
    """Build every network for every target and write the outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("plans.json"))
    out = parser.parse_args().out
    trt = load_binding("rtx")
    bundle = open_bundle(DEMO_BUNDLE, public_key=DEMO_PUBLIC_KEY.read_bytes())
    side = bundle.manifest.image.size
    networks = [("paper, full width, fp16", paper_network(), 299)]
    networks += [(f"demo bundle, {name}", bundle.read(name), side) for name in sorted(bundle.contents) if is_gpu(name)]
    rows = []
    for name, onnx, size_px in networks:
        for targets in TARGETS:
            rows.append(built(trt, name, onnx, size_px, targets))
            print(rows[-1], flush=True)
    document = {
        "what": "plans built by TensorRT for RTX on a machine without a GPU; none was run",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine_facts() | {"gpu": None},
        "library": f"tensorrt_rtx {trt.__version__}",
        "batch_sizes": list(BATCH_SIZES),
        "peak_rss_mb_with_keras": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "plans": rows,
    }
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
    return 0


def is_gpu(name: str) -> bool:
    """Tell whether this file of the bundle is a network that a GPU may run."""
    return name in ("cells.fp16.onnx", "cells.int8.fp16.onnx")


if __name__ == "__main__":
    raise SystemExit(main())
