"""Pages that are only read are given back; what was written into memory never is."""

from __future__ import annotations

import mmap
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
