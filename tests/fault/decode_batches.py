"""The worker's real process and its real pipe with nothing behind it but the decoder: many images an order.

An order names a file of images (`pack`), each with its length before it. The answer's first blob holds 9 bytes an
image: 0 and 8 zero bytes where it was refused, 1 and a digest of size and pixels where it was decoded. With `cuts`
every image stands for all of its beginnings: cut at byte 0, 1, 2, ... The answer then holds one such row per beginning.

Wrong decoders for the controls, which a bench must catch:

    leaky      what cannot be decoded shows the picture decoded before it
    partial    cv2.imread, which returns what it could read
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.images import decode_image

LENGTH = struct.Struct("<I")
ROW_BYTES = 9
REFUSED = bytes(ROW_BYTES)
Decoder = Callable[[bytes], NDArray[np.uint8]]


def pack(images: Sequence[bytes]) -> bytes:
    """Return the images as one file."""
    return b"".join(part for image in images for part in (LENGTH.pack(len(image)), image))


def unpack(data: bytes) -> Iterator[bytes]:
    """Yield the images of a packed file."""
    position = 0
    while position < len(data):
        (length,) = LENGTH.unpack_from(data, position)
        position += LENGTH.size
        yield data[position : position + length]
        position += length


def digest_of(pixels: NDArray[np.uint8]) -> bytes:
    """Return 8 bytes over size and pixels."""
    return hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=8).digest()


def rows_of(answer: bytes) -> list[bytes]:
    """Return the answer's rows: REFUSED, or 1 and the digest."""
    return [answer[place : place + ROW_BYTES] for place in range(0, len(answer), ROW_BYTES)]


def strict(data: bytes) -> NDArray[np.uint8]:
    return decode_image(data, where="image")


class Leaky:
    """Shows the earlier picture where there is none."""

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None

    def __call__(self, data: bytes) -> NDArray[np.uint8]:
        try:
            self._before = strict(data)
        except EdgeError:
            if self._before is None:
                raise
        return self._before


def partial(data: bytes) -> NDArray[np.uint8]:
    """Read as `cv2.imread` does, from a file."""
    with tempfile.NamedTemporaryFile(suffix=".img", dir="/dev/shm") as file:
        file.write(data)
        file.flush()
        pixels = cv2.imread(file.name)
    if pixels is None:
        raise EdgeError("MDSE-IMAGE-006", where="image", reason="the decoder refused it")
    return pixels


class BatchDecoder:
    """What the worker serves: decode every image of the order's file."""

    def __init__(self, decode: Decoder) -> None:
        self.facts: Mapping[str, object] = {"bundle": "none", "version": "1", "digest": "0" * 64}
        self._decode = decode
        # The libraries write a line for every fault that they find: millions of them here.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def analyze(self, order: Mapping[str, Any]) -> tuple[bytes, bytes]:
        rows = []
        for image in unpack(Path(order["pack"]).read_bytes()):
            for length in range(len(image)) if order["cuts"] else (len(image),):
                try:
                    rows.append(b"\x01" + digest_of(self._decode(image[:length])))
                except EdgeError:
                    rows.append(REFUSED)
        return b"".join(rows), b""


def open_strict(settings: Mapping[str, Any]) -> BatchDecoder:
    return BatchDecoder(strict)


def open_leaky(settings: Mapping[str, Any]) -> BatchDecoder:
    return BatchDecoder(Leaky())


def open_partial(settings: Mapping[str, Any]) -> BatchDecoder:
    return BatchDecoder(partial)
