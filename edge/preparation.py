"""Cells of a slide made ready for the network on threads of their own, while the network works on earlier ones.

Each thread reads one cell's file, decodes it, brings it to the network's size and makes its thumbnail; OpenCV and the
JPEG decoder let go of the interpreter meanwhile. Cells come out in the slide's order however long each takes. At most
`ahead` cells are in hand at a time, whatever the slide's size, and the memory of pixels is used again and again: each
thread decodes into its own, and a cell's pixels at the network's size are copied into the batch that carries them.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.images import DecodeMemory, ImageLimits, RefusedCell, read_cell
from edge.slide import CellFile, Slide
from edge.slide_files import open_folder
from edge.tensors import resize_into
from edge.thumbnails import thumbnail_from_pixels

MOST_THREADS = 8


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCell:
    """One cell: its pixels at the network's size (uint8 [S, S, 3] RGB), its thumbnail, and the seconds it took.

    `pixels` hold until the next cell is asked for.
    """

    cell_id: str
    pixels: NDArray[np.uint8]
    thumbnail: bytes
    decode_s: float
    resize_s: float


class _Workshop:
    """What the threads share: the open folder, the network's size, and rows of pixels that are free."""

    def __init__(
        self, folder_fd: int, limits: ImageLimits, size_px: int, rows: int, clock: Callable[[], float]
    ) -> None:
        self._folder_fd, self._limits, self._clock = folder_fd, limits, clock
        self._own = threading.local()
        self._free: queue.SimpleQueue[NDArray[np.uint8]] = queue.SimpleQueue()
        for _ in range(rows):
            self._free.put(np.empty((size_px, size_px, 3), np.uint8))

    def prepare(self, cell_file: CellFile) -> PreparedCell | RefusedCell:
        """Read, decode, resize and picture one cell; runs on any thread."""
        memory: DecodeMemory = self._own.__dict__.setdefault("memory", DecodeMemory())
        start_s = self._clock()
        cell = read_cell(self._folder_fd, cell_file, self._limits, memory)
        if isinstance(cell, RefusedCell):
            return cell
        decoded_s = self._clock()
        pixels = self._free.get()
        resize_into(pixels, cell.pixels)
        thumbnail = thumbnail_from_pixels(cell.pixels)
        return PreparedCell(cell.cell_id, pixels, thumbnail, decoded_s - start_s, self._clock() - decoded_s)

    def take_back(self, cell: PreparedCell) -> None:
        """Let the memory of a cell that was handed over be used for a later one."""
        self._free.put(cell.pixels)


def prepared_cells(
    slide: Slide,
    *,
    limits: ImageLimits,
    size_px: int,
    ahead: int,
    clock: Callable[[], float],
    threads: int | None = None,
) -> Generator[PreparedCell | RefusedCell]:
    """Yield every cell of the slide in order, prepared or refused, with up to `ahead` cells in hand.

    `threads`: None for as many as this process may use cores. Closing the iterator ends the threads and waits for
    them. Raises EdgeError MDSE-SLIDE-010 when the slide's folder cannot be opened.
    """
    with ExitStack() as stack:
        try:
            folder_fd = stack.enter_context(open_folder(slide.folder))
        except OSError as error:
            raise EdgeError("MDSE-SLIDE-010", where=slide.slide_key, reason=error.strerror or str(error)) from error
        workshop = _Workshop(folder_fd, limits, size_px, ahead + 1, clock)
        stack.enter_context(_single_threaded_opencv())
        pool = stack.enter_context(_pool(threads or preparing_threads()))
        coming: deque[Future[PreparedCell | RefusedCell]] = deque()
        for cell_file in slide.cell_files:
            coming.append(pool.submit(workshop.prepare, cell_file))
            if len(coming) >= ahead:
                yield from _handed_over(coming.popleft(), workshop)
        while coming:
            yield from _handed_over(coming.popleft(), workshop)


def preparing_threads() -> int:
    """Return how many threads prepare cells: the cores of this process, at most eight."""
    return min(len(os.sched_getaffinity(0)), MOST_THREADS)


def _handed_over(
    outcome: Future[PreparedCell | RefusedCell], workshop: _Workshop
) -> Iterator[PreparedCell | RefusedCell]:
    cell = outcome.result()
    yield cell
    if isinstance(cell, PreparedCell):
        workshop.take_back(cell)


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that end with the block; what was not begun then is dropped: an error is not kept waiting."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV from splitting each small picture among threads: the cells are what is shared out here."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
