"""What a process need not hold: freed heap, pages of files read once, and gaps between blocks of unequal size."""

from __future__ import annotations

import ctypes
from pathlib import Path

_DONT_NEED = 4  # MADV_DONTNEED
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of mallopt
_LARGE_BYTES = 32 * 1024
_MAPS = Path("/proc/self/maps")


def give_back_freed_memory() -> None:
    """Let the C library return what compiling freed: it would keep 70 MB of a paper-size network for ever."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others return memory by themselves
    if trim is not None:
        trim(0)


def keep_large_blocks_apart() -> None:
    """Let the C library take blocks of 32 KiB and more from the kernel one by one, and return each when it is freed.

    By itself it puts them on the heap among the small ones. In a process that runs for months the gaps that they leave
    add up, although no more is in use: 0.45 MB for every 1,000 slides in the supervisor (glibc 2.36). For a process
    that computes with large arrays this would be slow.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others keep large blocks apart by themselves
    if option is not None:
        option(_MMAP_THRESHOLD, _LARGE_BYTES)


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
