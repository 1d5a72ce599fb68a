"""What a process need not hold after a network was compiled: freed heap, and pages of files that were read once."""

from __future__ import annotations

import ctypes
from pathlib import Path

_DONT_NEED = 4  # MADV_DONTNEED
_MAPS = Path("/proc/self/maps")


def give_back_freed_memory() -> None:
    """Let the C library return what compiling freed: it would keep 70 MB of a paper-size network for ever."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others return memory by themselves
    if trim is not None:
        trim(0)


def give_back_mapped_files(folder: Path, maps: Path = _MAPS) -> int:
    """Let the kernel take back the pages of files below `folder` that are mapped for reading; return their bytes.

    OpenVINO maps a compiled network's file and leaves it mapped, although its weights were copied in the order of the
    processor's instructions: 22 MB a copy. Nothing is lost: a page that is read again comes from the file. Mappings
    that can be written are left alone, since what was written there is in no file.
    """
    given_back = 0
    for start, length in _readable_mappings(folder.resolve(), maps):
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        # Advice: where the kernel does not take it, the pages stay.
        given_back += length if advise(start, length, _DONT_NEED) == 0 else 0
    return given_back


def _readable_mappings(folder: Path, maps: Path) -> list[tuple[int, int]]:
    found = []
    for line in maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[1].startswith("r--") and Path(parts[5]).is_relative_to(folder):
            start, end = (int(edge, 16) for edge in parts[0].split("-"))
            found.append((start, end - start))
    return found
