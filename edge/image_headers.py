"""What an image file says about itself, read by our own code before any native decoder sees a byte of it.

Each format's reader walks the whole file: it finds the size in pixels, refuses variants that the cell network was
never meant to see, and proves that the file ends where its format says it ends. A file cut at any byte is refused here.

Sources: JPEG ITU-T T.81 annex B, PNG (third edition) sections 5 and 11, BMP as in Windows GDI's BITMAPINFOHEADER.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from edge.errors import EdgeError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The formats that are recognised only to name them when they are refused.
NAMED_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP or another RIFF file"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"%PDF", "PDF"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"<", "HTML or XML text"),
)
# A crafted progressive JPEG repeats scans to burn time; encoders in use write 1 to 12.
JPEG_SCANS_MAX = 64
PNG_CHUNKS_MAX = 65_536

_JPEG_FRAMES_REFUSED = {0xC3: "lossless"}
_JPEG_FRAMES_REFUSED |= dict.fromkeys((0xC5, 0xC6, 0xC7), "hierarchical")
_JPEG_FRAMES_REFUSED |= dict.fromkeys((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF), "arithmetic-coded")
# In entropy-coded data FF is followed by 00 (stuffing), D0-D7 (restart) or FF (fill); anything else is the next marker.
_JPEG_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Format (`JPEG`, `PNG`, `BMP`), size in pixels, channels stored per pixel, and the offset where the image ends."""

    format: str
    width_px: int
    height_px: int
    channels: int
    end: int


def read_header(data: bytes, *, where: str) -> ImageHeader:
    """Return the header of a JPEG, PNG or BMP, told by content and never by name.

    Raises EdgeError MDSE-IMAGE-001 (another format), -004 (cut short), -005 (a variant that is refused) or
    -006 (damaged). The whole structure is walked, but no pixel is decoded.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_header(data, where)
    if data.startswith(PNG_SIGNATURE):
        return _png_header(data, where)
    if data.startswith(b"BM"):
        return _bmp_header(data, where)
    for prefix in (b"\xff\xd8\xff", PNG_SIGNATURE, b"BM"):
        if data and prefix.startswith(data):
            raise _cut(where)
    raise EdgeError("MDSE-IMAGE-001", where=where, format=_named_format(data))


def png_of_pixels_only(data: bytes) -> bytes:
    """Return the PNG with nothing but its header, pixel data and end.

    Text, profiles, gamma and EXIF never reach the native decoder: the pixels stay what the analyzer stored, and code
    for chunks that carry no pixel is not run. `data` must have passed `read_header`.
    """
    kept = [PNG_SIGNATURE]
    for kind, start, length in _png_chunks(data, ""):
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            kept.append(data[start - 8 : start + length + 4])
    return b"".join(kept)


def _named_format(data: bytes) -> str:
    for prefix, name in NAMED_FORMATS:
        if data.startswith(prefix):
            return name
    if not data:
        return "an empty file"
    return "nothing but zero bytes" if not data.strip(b"\x00") else "no image format"


def _cut(where: str) -> EdgeError:
    return EdgeError("MDSE-IMAGE-004", where=where)


def _damaged(where: str, reason: str) -> EdgeError:
    return EdgeError("MDSE-IMAGE-006", where=where, reason=reason)


def _refused(where: str, variant: str) -> EdgeError:
    return EdgeError("MDSE-IMAGE-005", where=where, variant=variant)


# ---- JPEG


def _jpeg_header(data: bytes, where: str) -> ImageHeader:
    position, scans = 2, 0
    frame: tuple[int, int, int] | None = None
    while True:
        marker, position = _jpeg_marker(data, position, where)
        if marker == 0xD9:
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            raise _damaged(where, f"marker FF{marker:02X} stands where none may")
        segment, position = _jpeg_segment(data, position, where)
        if marker in _JPEG_FRAMES_REFUSED:
            raise _refused(where, f"{_JPEG_FRAMES_REFUSED[marker]} JPEG")
        if marker in (0xC0, 0xC1, 0xC2):
            if frame is not None:
                raise _refused(where, "JPEG with more than one frame")
            frame = _jpeg_frame(segment, where)
        elif marker == 0xDA:
            scans += 1
            if frame is None or scans > JPEG_SCANS_MAX:
                raise _damaged(
                    where, "a scan before the frame" if frame is None else f"more than {JPEG_SCANS_MAX} scans"
                )
            found = _JPEG_NEXT_MARKER.search(data, position)
            if found is None:
                raise _cut(where)
            position = found.start()
    if frame is None or not scans:
        raise _damaged(where, "the file ends before any pixel")
    return ImageHeader("JPEG", frame[1], frame[0], frame[2], position)


def _jpeg_marker(data: bytes, position: int, where: str) -> tuple[int, int]:
    """Return the marker at `position` and the offset behind it; fill bytes (FF) before a marker are allowed."""
    if position >= len(data):
        raise _cut(where)
    if data[position] != 0xFF:
        raise _damaged(where, f"no marker at byte {position}")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise _cut(where)
    return data[position], position + 1


def _jpeg_segment(data: bytes, position: int, where: str) -> tuple[bytes, int]:
    if position + 2 > len(data):
        raise _cut(where)
    length = data[position] << 8 | data[position + 1]
    if length < 2:
        raise _damaged(where, f"a segment of length {length}")
    end = position + length
    if end > len(data):
        raise _cut(where)
    return data[position + 2 : end], end


def _jpeg_frame(segment: bytes, where: str) -> tuple[int, int, int]:
    """Return height, width and number of components of a frame header (T.81 B.2.2)."""
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        raise _damaged(where, "a frame header of wrong length")
    precision, height, width, components = struct.unpack(">BHHB", segment[:6])
    if precision != 8:
        raise _refused(where, f"JPEG with {precision} bits a sample")
    if components not in (1, 3):
        raise _refused(where, f"JPEG with {components} components (CMYK or unknown)")
    return height, width, components


# ---- PNG


def _png_chunks(data: bytes, where: str) -> list[tuple[bytes, int, int]]:
    """Return (kind, offset of the content, length) of every chunk up to IEND, each with its checksum proved."""
    chunks: list[tuple[bytes, int, int]] = []
    position = len(PNG_SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        if len(chunks) >= PNG_CHUNKS_MAX:
            raise _damaged(where, f"more than {PNG_CHUNKS_MAX} chunks")
        if position + 12 > len(data):
            raise _cut(where)
        length, kind = struct.unpack_from(">I4s", data, position)
        if not kind.isalpha() or length > 0x7FFF_FFFF:
            raise _damaged(where, f"a chunk at byte {position} has no valid name or length")
        end = position + 12 + length
        if end > len(data):
            raise _cut(where)
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise _damaged(where, f"the checksum of chunk {kind.decode('ascii')} is wrong")
        chunks.append((kind, position + 8, length))
        position = end
    return chunks


def _png_header(data: bytes, where: str) -> ImageHeader:
    """Check every chunk, and that the compressed stream holds exactly the rows that the header promises."""
    if len(data) >= 16 and data[8:16] != b"\x00\x00\x00\rIHDR":
        raise _damaged(where, "the header chunk is not first")
    if len(data) < 33:
        raise _cut(where)
    width, height, depth, colour, compression, row_filter, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    channels = {0: 1, 2: 3, 6: 4}.get(colour)
    if depth != 8 or channels is None:
        kind = {3: "palette", 4: "grey and alpha"}.get(colour, f"colour type {colour}")
        raise _refused(where, f"PNG with {kind}, {depth} bits a sample")
    if interlace or compression or row_filter:
        raise _refused(where, "interlaced PNG" if interlace else "PNG of unknown compression")
    return ImageHeader("PNG", width, height, channels, _png_end(data, where))


def _png_end(data: bytes, where: str) -> int:
    """Check the chunks and return the offset behind IEND."""
    chunks = _png_chunks(data, where)
    kinds = [kind for kind, _, _ in chunks]
    if b"acTL" in kinds or b"fcTL" in kinds or b"fdAT" in kinds:
        raise _refused(where, "animated PNG")
    if b"tRNS" in kinds:
        raise _refused(where, "PNG with a transparent colour")
    unknown = [kind for kind in kinds if kind[:1].isupper() and kind not in (b"IHDR", b"PLTE", b"IDAT", b"IEND")]
    if kinds.count(b"IHDR") != 1 or b"IDAT" not in kinds or unknown or chunks[-1][2]:
        raise _damaged(where, "a chunk is missing, doubled or unknown")
    _, start, length = chunks[-1]
    return start + length + 4


def check_png_rows(data: bytes, header: ImageHeader, *, where: str) -> None:
    """Raise MDSE-IMAGE-006 unless the compressed stream holds exactly the rows that the header promises.

    A native decoder may leave missing rows unwritten; a stream that is longer hides something. Memory is bounded by
    the header's size, so `header` must have passed the size limits first.
    """
    stream = zlib.decompressobj()
    expected = header.height_px * (1 + header.width_px * header.channels)
    produced = 0
    try:
        for kind, start, length in _png_chunks(data, where):
            if kind == b"IDAT":
                produced += len(stream.decompress(data[start : start + length], expected - produced + 1))
                if produced > expected or stream.unconsumed_tail:
                    break
    except zlib.error as error:
        raise _damaged(where, f"the compressed pixels are damaged ({error})") from error
    if produced != expected or not stream.eof or stream.unused_data:
        raise _damaged(where, "the compressed pixels do not fill the image exactly")


# ---- BMP


def _bmp_header(data: bytes, where: str) -> ImageHeader:
    """Return the header of an uncompressed 24- or 32-bit bitmap; the fourth byte of 32 is reserved, not alpha."""
    if len(data) < 54:
        raise _cut(where)
    offset, header_size, width, height, planes, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    if header_size not in (40, 108, 124):
        raise _refused(where, f"BMP with a header of {header_size} bytes")
    if bits not in (24, 32) or compression != 0 or planes != 1:
        raise _refused(where, f"BMP with {bits} bits a pixel, compression {compression}")
    if width < 0 or offset < 14 + header_size:
        raise _damaged(where, "a negative width or pixels inside the header")
    row_bytes = (width * bits // 8 + 3) // 4 * 4
    end = offset + row_bytes * abs(height)
    if end > len(data):
        raise _cut(where)
    # BMP has neither checksum nor end mark. A share that reserves space first leaves zeros, and black rows are no cell.
    if row_bytes and not any(data[end - row_bytes : end]):
        raise _cut(where)
    return ImageHeader("BMP", width, abs(height), bits // 8, end)
