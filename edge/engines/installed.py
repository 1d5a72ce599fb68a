"""Which inference libraries this machine can use: what is installed, and what its GPU allows. Nothing is imported."""

from __future__ import annotations

from importlib.util import find_spec

from edge.engines.choose import usable_libraries
from edge.engines.cuda_driver import first_compute_capability
from edge.engines.tensorrt_binding import installed_libraries


def libraries_of_machine() -> frozenset[str]:
    """Return the usable ones of "openvino", "tensorrt" and "rtx". The CUDA driver is asked only where it matters."""
    for_gpu = installed_libraries()
    installed = {*for_gpu, *(("openvino",) if find_spec("openvino") is not None else ())}
    return usable_libraries(installed, compute_capability=first_compute_capability() if for_gpu else None)
