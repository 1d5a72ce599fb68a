"""Pages that are only read are given back, what was written into memory never is; large blocks lie beside the heap."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from edge.engines.process_memory import give_back_mapped_files

PAGES = 64


def resident_pages(file: Path) -> int:
    """Return the pages of a mapped file that this process holds, from the kernel's own list."""
    held, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            ours = words[-1] == str(file)
        elif ours and words[0] == "Rss:":
            held += int(words[1]) * 1024 // mmap.PAGESIZE
    return held


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cache" / "compiled.blob"
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * (PAGES * mmap.PAGESIZE // 256))
    return path.resolve()


def test_pages_of_a_file_that_is_mapped_for_reading_are_given_back_and_still_readable(file):
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        before = bytes(mapped)
        assert resident_pages(file) == PAGES
        assert give_back_mapped_files(file.parent) == PAGES * mmap.PAGESIZE
        assert resident_pages(file) == 0
        assert bytes(mapped) == before


def test_what_was_written_into_a_mapping_and_files_of_other_folders_stay(file, tmp_path):
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[:4] = b"mine"
        assert give_back_mapped_files(file.parent) == 0
        assert mapped[:4] == b"mine"
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[0] == 0
        assert give_back_mapped_files(tmp_path / "other") == 0


BLOCKS_APART = '''
import ctypes
from edge.engines.process_memory import keep_large_blocks_apart

class Facts(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Facts
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def apart(size, count=100):
    """Of so many blocks, how many lie beside the heap; a few fit into gaps that it has already."""
    before = libc.mallinfo2().hblks
    blocks = [libc.malloc(size) for _ in range(count)]
    after = libc.mallinfo2().hblks
    for block in blocks:
        libc.free(block)
    return after - before

print(apart(40_000, count=10), end=" ")  # few: they may leave gaps, into which later ones fit
keep_large_blocks_apart()
libc.free(libc.malloc(4_000_000))  # by itself glibc would put all blocks up to this size on the heap from now on
print(apart(40_000), apart(20_000))
'''


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="tells of glibc's heap alone")
def test_large_blocks_are_kept_apart_from_the_heap_and_small_ones_are_not():
    done = subprocess.run([sys.executable, "-c", BLOCKS_APART], capture_output=True, text=True, check=True)
    before, large, small = map(int, done.stdout.split())
    assert (before, small) == (0, 0)
    assert large > 50
