"""Pixels of labelled cells, decoded and resized by the runtime's own functions, kept in a cache folder.

Training must see what the runtime will see, so there is no second decoder: `edge.images.decode_image` and
`edge.tensors.tensors_from_cells` do the work. Decoding thousands of images takes longer than an epoch of a small
network; therefore the result is kept as one `.npy` file, named by a digest of every file's name, size and time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.dataset import LabelledCell
from convert.label_faults import Faults
from convert.training_place import written
from edge.errors import EdgeError
from edge.images import CellImage, decode_image
from edge.tensors import tensors_from_cells

_CHUNK = 256


def pixels_from_cells(
    cells: Sequence[LabelledCell], size_px: int, cache_folder: Path | None = None
) -> NDArray[np.uint8]:
    """Return the cells' pixels, uint8 [N, size_px, size_px, 3] RGB, in the order of `cells`.

    With a cache folder the array is a read-only memory map. Raises EdgeError MDSE-TRAIN-021 naming the file that cannot
    be used, -004 one that cannot be read, -003 where two files with the same content carry different types; several
    together as -017. A cache file that is damaged is MDSE-TRAIN-007, one that cannot be written -024.
    """
    if cache_folder is None:
        return _decoded(cells, size_px)
    cache_folder.mkdir(parents=True, exist_ok=True)
    cached = cache_folder / f"cells-{size_px}px-{_digest(cells, size_px)}.npy"
    if not cached.exists():
        pixels = _decoded(cells, size_px)
        with written(cached):
            _write_whole(cached, pixels)
    try:
        cached_pixels: NDArray[np.uint8] = np.load(cached, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise EdgeError("MDSE-TRAIN-007", where=str(cached)) from error
    if cached_pixels.shape != (len(cells), size_px, size_px, 3) or cached_pixels.dtype != np.uint8:
        raise EdgeError("MDSE-TRAIN-007", where=str(cached))
    return cached_pixels


def _write_whole(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write the array and rename it when it is on the disk: neither an interrupted run nor a power cut leaves half."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.save(stream, pixels, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _digest(cells: Sequence[LabelledCell], size_px: int) -> str:
    digest = hashlib.sha256(f"strict-v1 area-v1 {size_px}\n".encode())
    for cell in cells:
        try:
            status = cell.path.stat()
        except OSError:
            continue  # decoding, which follows under this new name, says which file went away
        line = f"{cell.path}\0{status.st_size}\0{status.st_mtime_ns}\0{cell.cell_type}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


def _decoded(cells: Sequence[LabelledCell], size_px: int) -> NDArray[np.uint8]:
    pixels = np.empty((len(cells), size_px, size_px, 3), np.uint8)
    type_by_content: dict[bytes, LabelledCell] = {}
    faults = Faults()
    for start in range(0, len(cells), _CHUNK):
        images = []
        for cell in cells[start : start + _CHUNK]:
            try:
                data = read_labelled(cell)
                refuse_second_label(cell, hashlib.sha256(data).digest(), type_by_content)
                images.append(CellImage(cell.cell_id, decode_labelled(data, cell)))
            except EdgeError as fault:
                faults.add(fault)
        if images and not faults.found:
            pixels[start : start + len(images)] = tensors_from_cells(images, size_px)
    faults.require_none("images")
    return pixels


def decode_labelled(data: bytes, cell: LabelledCell) -> NDArray[np.uint8]:
    """Return the pixels of a labelled cell, uint8 [H, W, 3] RGB.

    Raises EdgeError MDSE-TRAIN-021 with the image's fault: it is a mistake of the labels' folder and has its status,
    not that of a slide to be refused.
    """
    try:
        return decode_image(data, where=str(cell.path))
    except EdgeError as error:
        raise EdgeError("MDSE-TRAIN-021", where=str(cell.path), reason=f"{error.code}: {error.text}") from error


def read_labelled(cell: LabelledCell) -> bytes:
    """Return the bytes of a labelled cell's file. Raises EdgeError MDSE-TRAIN-004 where it cannot be read."""
    try:
        return cell.path.read_bytes()
    except OSError as error:
        raise EdgeError("MDSE-TRAIN-004", where=error.strerror or "unreadable", file=str(cell.path)) from error


def refuse_second_label(cell: LabelledCell, content: bytes, seen: dict[bytes, LabelledCell]) -> None:
    """Raise EdgeError MDSE-TRAIN-003 where `seen` holds a cell of the same `content` (a digest) and another type."""
    first = seen.setdefault(content, cell)
    if first.cell_type != cell.cell_type:
        raise EdgeError(
            "MDSE-TRAIN-003", where=str(first.path), file=str(cell.path), first=first.cell_type, second=cell.cell_type
        )
