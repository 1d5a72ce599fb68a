"""Files that lie in wait in an export: cut short, disguised, beyond all measure."""

from __future__ import annotations

import struct
import zlib

HUGE_SIDE_PX = 20_000


def cut_short(image: bytes) -> bytes:
    """Return the first 60 % of an image, as an interrupted copy leaves it."""
    return image[: len(image) * 6 // 10]


def text_file() -> bytes:
    return b"Dear colleague, these are the results of the slide you asked for.\n" * 40


def huge_png(side_px: int = HUGE_SIDE_PX) -> bytes:
    """Return a valid PNG, black RGB of `side_px` a side: 1.2 GB when decoded, about 1.2 MB as a file.

    A run of equal rows is compressed once and repeated: after a full flush, deflate refers to nothing before it.
    """
    rows = 100
    block = bytes((1 + 3 * side_px) * rows)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(side_px // rows):
        checksum = zlib.adler32(block, checksum)
    stream = b"\x78\xda" + packed * (side_px // rows) + packer.flush(zlib.Z_FINISH) + struct.pack(">I", checksum)
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
