"""Which inference libraries this machine can use: what is installed, and what its GPU allows. Nothing is imported."""

from __future__ import annotations

from importlib.util import find_spec

from edge.engines.choose import usable_libraries
from edge.engines.cuda_driver import LIBCUDA, first_compute_capability, probe_cuda
from edge.engines.tensorrt_binding import installed_libraries
from edge.errors import EdgeError


def libraries_of_machine() -> frozenset[str]:
    """Return the usable ones of "openvino", "tensorrt" and "rtx". The CUDA driver is asked only where it matters."""
    for_gpu = installed_libraries()
    installed = {*for_gpu, *(("openvino",) if find_spec("openvino") is not None else ())}
    return usable_libraries(installed, compute_capability=first_compute_capability() if for_gpu else None)


def require_gpu(requested: str) -> None:
    """Raise EdgeError MDSE-GPU-001 when a GPU is asked for, its library is installed, and the driver does not answer.

    So a driver that was changed or a GPU that was lost is told from a bundle or an installation without such an engine.
    """
    if requested.partition("-")[0] in ("gpu", "tensorrt", "rtx") and installed_libraries():
        reason = probe_cuda()
        if reason:
            raise EdgeError("MDSE-GPU-001", where=LIBCUDA, reason=reason)
