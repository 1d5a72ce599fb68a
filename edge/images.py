"""The one decoder of training, calibration and run time: strict, by content, never a partial picture.

    decode_image   bytes -> H x W x 3 uint8 RGB, or an EdgeError that says why not
    load_cells     the cell images of a slide, each good or refused with its reason, in order

What is accepted and how it becomes RGB ("strict-v1")
    JPEG   8 bits: grey (repeated to three channels), YCbCr or RGB as marked
           refused: CMYK, lossless, arithmetic-coded, hierarchical, 12 bits
    PNG    8 bits: RGB, grey (repeated), RGB with alpha when every pixel is opaque
           refused: palette, 16 bits, interlaced, animated, transparent
    BMP    24 or 32 bits, uncompressed (the fourth byte is reserved, not alpha); refused: palette, compressed
    EXIF orientation, colour profiles, gamma and embedded thumbnails are ignored. Behind the image only zero bytes may
    follow. TIFF, GIF, WebP and all others are refused. Sizes are checked in the header, before any pixel is decoded.

A flipped bit inside a JPEG's scan can decode to other pixels without any error: JPEG carries no checksum. The SHA-256
of every image is recorded for that reason; see docs/slide-folder.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.image_headers import ImageHeader, check_png_rows, png_of_pixels_only, read_header
from edge.slide import Slide
from edge.slide_cells import CellFile
from edge.slide_files import open_folder, read_file_below

DECODER_VERSION = "strict-v1"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Bounds of one image (pixels a side, bytes of the file) and of one slide (decoded bytes held at once)."""

    side_px_min: int = 16
    side_px_max: int = 4096
    bytes_max: int = 20 * 1024 * 1024
    slide_decoded_bytes_max: int = 2 * 1024 * 1024 * 1024


DEFAULT_LIMITS = ImageLimits()


class DecodeMemory:
    """Memory that one thread decodes one image after the other into: fresh pages cost a third of the decoding."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def of(self, header: ImageHeader) -> NDArray[np.uint8]:
        """Return memory that holds an image of this size in RGB; what lay there before is void."""
        needed = header.height_px * header.width_px * 3
        if len(self._bytes) < needed:
            self._bytes = np.empty(needed, np.uint8)
        return self._bytes


@dataclass(frozen=True, slots=True, eq=False)
class CellImage:
    """One cell: its id and its pixels, H x W x 3 uint8 RGB, C-contiguous."""

    cell_id: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RefusedCell:
    """One cell image that could not be used: its id, the error's code and what to tell a person."""

    cell_id: str
    code: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class LoadedCells:
    """The cells of a slide in the slide's order, and those that were refused."""

    cells: tuple[CellImage, ...]
    refused: tuple[RefusedCell, ...]


def decode_image(
    data: bytes, *, where: str, limits: ImageLimits = DEFAULT_LIMITS, memory: DecodeMemory | None = None
) -> NDArray[np.uint8]:
    """Decode one JPEG, PNG or BMP to H x W x 3 uint8 RGB, C-contiguous, at its stored size and orientation.

    `where` names the image in errors. With `memory` the pixels may lie there and hold until it is used again. Raises
    EdgeError MDSE-IMAGE-001 to -007 and never returns a partial image.
    """
    if len(data) > limits.bytes_max:
        raise EdgeError("MDSE-IMAGE-003", where=where, bytes=len(data), limit_bytes=limits.bytes_max)
    header = read_header(data, where=where)
    shortest, longest = sorted((header.width_px, header.height_px))
    if shortest < limits.side_px_min or longest > limits.side_px_max:
        raise EdgeError(
            "MDSE-IMAGE-002",
            where=where,
            width_px=header.width_px,
            height_px=header.height_px,
            least_px=limits.side_px_min,
            limit_px=limits.side_px_max,
        )
    if data[header.end :].strip(b"\x00"):
        raise EdgeError("MDSE-IMAGE-007", where=where, format=header.format, count=len(data) - header.end)
    if header.format == "JPEG":
        pixels = _rgb_from_jpeg(data, where, memory.of(header) if memory else None)
    else:
        pixels = _rgb_from_lossless(data, header, where)
    if pixels.shape != (header.height_px, header.width_px, 3) or pixels.dtype != np.uint8:
        raise EdgeError("MDSE-IMAGE-006", where=where, reason="the decoder returned another size than the header")
    return np.ascontiguousarray(pixels)


def load_cells(slide: Slide, *, limits: ImageLimits = DEFAULT_LIMITS) -> LoadedCells:
    """Read and decode every cell of a slide, in the slide's order.

    A cell that cannot be used is listed in `refused` and the others go on; whoever calls decides how many may fail.
    Raises EdgeError MDSE-SLIDE-010 when the folder itself is away and MDSE-SLIDE-011 when the decoded cells would
    need more memory than `limits.slide_decoded_bytes_max`.
    """
    cells: list[CellImage] = []
    refused: list[RefusedCell] = []
    decoded_bytes = 0
    for outcome in read_cells(slide, limits=limits):
        if isinstance(outcome, RefusedCell):
            refused.append(outcome)
            continue
        cells.append(outcome)
        decoded_bytes += outcome.pixels.nbytes
        if decoded_bytes > limits.slide_decoded_bytes_max:
            raise EdgeError("MDSE-SLIDE-011", where=slide.slide_key, limit_bytes=limits.slide_decoded_bytes_max)
    return LoadedCells(tuple(cells), tuple(refused))


def read_cells(slide: Slide, *, limits: ImageLimits = DEFAULT_LIMITS) -> Iterator[CellImage | RefusedCell]:
    """Yield every cell of a slide in order, decoded or refused, holding one at a time.

    Raises EdgeError MDSE-SLIDE-010 when the slide's folder cannot be opened.
    """
    with ExitStack() as stack:
        try:
            folder_fd = stack.enter_context(open_folder(slide.folder))
        except OSError as error:
            raise EdgeError("MDSE-SLIDE-010", where=slide.slide_key, reason=_reason(error)) from error
        for cell_file in slide.cell_files:
            yield read_cell(folder_fd, cell_file, limits)


def read_cell(
    folder_fd: int, cell_file: CellFile, limits: ImageLimits, memory: DecodeMemory | None = None
) -> CellImage | RefusedCell:
    """Read one cell of the open slide folder, compare its digest and decode it (`memory`: see `decode_image`)."""
    try:
        try:
            data = read_file_below(folder_fd, cell_file.path, bytes_max=limits.bytes_max)
        except (OSError, ValueError) as error:
            raise EdgeError("MDSE-IMAGE-008", where=cell_file.path, reason=_reason(error)) from error
        if cell_file.sha256 is not None and hashlib.sha256(data).hexdigest() != cell_file.sha256:
            raise EdgeError("MDSE-IMAGE-009", where=cell_file.path)
        if cell_file.unread is not None:
            raise EdgeError("MDSE-IMAGE-008", where=cell_file.path, reason=cell_file.unread)
        return CellImage(cell_file.cell_id, decode_image(data, where=cell_file.path, limits=limits, memory=memory))
    except EdgeError as error:
        return RefusedCell(cell_file.cell_id, error.code, str(error))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _rgb_from_jpeg(data: bytes, where: str, memory: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Decode with every decoder warning taken as an error; the exact slow DCT, so that all machines agree."""
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True, buffer=memory)
    except ValueError as error:
        raise EdgeError("MDSE-IMAGE-006", where=where, reason=str(error)) from error
    return pixels


def _rgb_from_lossless(data: bytes, header: ImageHeader, where: str) -> NDArray[np.uint8]:
    """Decode PNG or BMP from memory. `cv2.imread` is never used: it returns partial pictures without an error."""
    if header.format == "PNG":
        check_png_rows(data, header, where=where)
        data = png_of_pixels_only(data)
    has_alpha = header.format == "PNG" and header.channels == 4
    flags = cv2.IMREAD_UNCHANGED if has_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise EdgeError("MDSE-IMAGE-006", where=where, reason=f"the decoder failed ({error.code})") from error
    if bgr is None:
        raise EdgeError("MDSE-IMAGE-006", where=where, reason="the decoder refused it")
    if has_alpha:
        if bgr.ndim != 3 or bgr.shape[2] != 4 or (bgr[:, :, 3] != 255).any():
            raise EdgeError("MDSE-IMAGE-005", where=where, variant="PNG with transparent pixels")
        bgr = bgr[:, :, :3]
    rgb: NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb
