"""Damage to images: bytes flipped, lost and moved, and the parts of each format changed with its checksums put right.

mutated(seed, others, chance) -> bytes     one of the mutators below, or several in a row
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence

from tests.fault.image_seeds import Seed

EXTREMES = (0, 1, 2, 15, 16, 17, 127, 128, 255, 256, 4096, 4097, 32767, 32768, 65535)
JPEG_MARKERS = (0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE, 0x01)
Mutator = Callable[[bytearray, random.Random], bytearray]


def flip_bits(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def set_bytes(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 2, 8))):
        data[chance.randrange(len(data))] = chance.choice((0, 0xFF, 0x7F, 0x80, chance.randrange(256)))
    return data


def cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data))]


def lose_middle(data: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 2, 7, 64, 512))]
    return data


def double_part(data: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    part = data[start : start + chance.choice((1, 2, 16, 128))]
    data[start:start] = part
    return data


def insert_noise(data: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data) + 1)
    data[start:start] = chance.randbytes(chance.choice((1, 2, 8, 64)))
    return data


def blank_part(data: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 8, 64, 4096)))
    data[start:end] = bytes(end - start)
    return data


def append_something(data: bytearray, chance: random.Random) -> bytearray:
    return data + chance.choice((b"\x00", bytes(64), b"<html>", b"PK\x03\x04", bytes(data[:40]), chance.randbytes(9)))


BYTE_MUTATORS: tuple[Mutator, ...] = (
    flip_bits, flip_bits, set_bytes, cut, lose_middle, double_part, insert_noise, blank_part, append_something,
)  # fmt: skip


# ---- JPEG: a list of (marker, content), the entropy-coded data behind its scan header


def jpeg_parts(data: bytes) -> list[bytes]:
    """Cut a sound JPEG before every marker that is neither stuffing nor a restart."""
    places = [0]
    position = 2
    while position + 4 <= len(data):
        if data[position] == 0xFF and data[position + 1] not in (0, 0xFF, *range(0xD0, 0xD8)):
            places.append(position)
            sized = data[position + 1] not in (0xD9, 0xD8, 0x01)
            position += 2 + (int.from_bytes(data[position + 2 : position + 4], "big") if sized else 0)
        else:
            position += 1
    return [bytes(data[a:b]) for a, b in zip(places, [*places[1:], len(data)], strict=True)]


def change_jpeg(data: bytearray, chance: random.Random) -> bytearray:
    parts = jpeg_parts(bytes(data))
    place = chance.randrange(1, len(parts)) if len(parts) > 1 else 0
    part = bytearray(parts[place])
    kind = chance.randrange(8)
    if kind == 0:
        del parts[place]
    elif kind == 1:
        parts.insert(chance.randrange(len(parts)), bytes(part))
    elif kind == 2:
        other = chance.randrange(len(parts))
        parts[place], parts[other] = parts[other], parts[place]
    elif kind == 3 and len(part) > 3:
        struct.pack_into(">H", part, 2, chance.choice((*EXTREMES, len(part) - 3, len(part))) & 0xFFFF)
        parts[place] = bytes(part)
    elif kind == 4 and len(part) > 1:
        part[1] = chance.choice(JPEG_MARKERS)
        parts[place] = bytes(part)
    elif kind == 5:
        parts.insert(place, b"\xff" + bytes([chance.choice(JPEG_MARKERS)]) + b"\x00\x04\x00\x01")
    elif kind == 6:
        return bytearray(change_frame(parts, chance))
    elif len(part) > 4:
        part[chance.randrange(4, len(part))] = chance.randrange(256)
        parts[place] = bytes(part)
    return bytearray(b"".join(parts))


def change_frame(parts: list[bytes], chance: random.Random) -> bytes:
    """Change height, width, precision, components or sampling of the frame header."""
    for place, part in enumerate(parts):
        if len(part) > 10 and part[1] in (0xC0, 0xC1, 0xC2):
            frame = bytearray(part)
            what = chance.randrange(4)
            if what < 2:
                struct.pack_into(">H", frame, 5 + 2 * what, chance.choice((*EXTREMES, chance.randrange(16, 64))))
            else:
                frame[chance.randrange(4, len(frame))] = chance.choice((0, 1, 2, 3, 4, 8, 12, 0x11, 0x22, 0x41, 0xFF))
            parts[place] = bytes(frame)
            break
    return b"".join(parts)


# ---- PNG: chunks, with the checksums of ours


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def png_from_chunks(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    made = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        body = kind + content
        made.append(struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(made)


def change_png(data: bytearray, chance: random.Random) -> bytearray:
    chunks = png_chunks(bytes(data))
    place = chance.randrange(len(chunks)) if chunks else 0
    kind = chance.randrange(9)
    if not chunks:
        return flip_bits(data, chance)
    if kind == 0:
        del chunks[place]
    elif kind == 1:
        chunks.insert(place, chunks[chance.randrange(len(chunks))])
    elif kind == 2:
        chance.shuffle(chunks)
    elif kind == 3:
        name = chance.choice((b"tRNS", b"acTL", b"fdAT", b"gAMA", b"iCCP", b"eXIf", b"zTXt", b"PLTE", b"QQQQ", b"qqQq"))
        chunks.insert(place, (name, chance.randbytes(chance.choice((0, 1, 4, 26, 300)))))
    elif kind == 4:
        content = bytearray(chunks[place][1])
        if content:
            content[chance.randrange(len(content))] = chance.randrange(256)
        chunks[place] = (chunks[place][0], bytes(content))
    elif kind == 5:
        return bytearray(png_from_chunks(change_rows(chunks, chance)))
    elif kind == 6:
        return bytearray(png_from_chunks(split_pixels(chunks, chance)))
    else:
        chunks = change_png_header(chunks, chance)
    return bytearray(png_from_chunks(chunks))


def change_rows(chunks: list[tuple[bytes, bytes]], chance: random.Random) -> list[tuple[bytes, bytes]]:
    """Unpack the pixels, change, cut or lengthen them, and pack them again: only the picture's own rules are left."""
    try:
        rows = bytearray(zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT")))
    except zlib.error:
        return chunks
    what = chance.randrange(4)
    if what == 0 and rows:
        rows[chance.randrange(len(rows))] = chance.randrange(256)
    elif what == 1:
        del rows[chance.randrange(len(rows) + 1) :]
    elif what == 2:
        rows += chance.randbytes(chance.choice((1, 40, 5000)))
    packed = zlib.compress(bytes(rows), chance.randrange(10))
    if what == 3:
        packed = packed[: chance.randrange(len(packed))] + b"\x00" * chance.randrange(9)
    others = [chunk for chunk in chunks if chunk[0] not in (b"IDAT", b"IEND")]
    return [*others, (b"IDAT", packed), (b"IEND", b"")]


def split_pixels(chunks: list[tuple[bytes, bytes]], chance: random.Random) -> list[tuple[bytes, bytes]]:
    made: list[tuple[bytes, bytes]] = []
    for kind, content in chunks:
        if kind == b"IDAT" and len(content) > 2:
            middle = chance.randrange(1, len(content))
            made += [(kind, content[:middle]), (kind, b""), (kind, content[middle:])]
        else:
            made.append((kind, content))
    return made


def change_png_header(chunks: list[tuple[bytes, bytes]], chance: random.Random) -> list[tuple[bytes, bytes]]:
    kind, content = chunks[0]
    if len(content) != 13:
        return chunks
    header = bytearray(content)
    what = chance.randrange(3)
    if what < 2:
        sizes = (*EXTREMES, 20_000, 1 << 31, (1 << 32) - 1, chance.randrange(16, 64))
        struct.pack_into(">I", header, 4 * what, chance.choice(sizes))
    else:
        header[chance.randrange(8, 13)] = chance.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return [(kind, bytes(header)), *chunks[1:]]


# ---- BMP: the fields of its headers

BMP_FIELDS = ((2, "<I"), (10, "<I"), (14, "<I"), (18, "<i"), (22, "<i"), (26, "<H"), (28, "<H"), (30, "<I"), (34, "<I"))
BMP_VALUES = (-(1 << 31), -4097, -48, -1, 0, 1, 8, 16, 24, 32, 40, 47, 48, 49, 54, 108, 124, 4096, 4097, (1 << 31) - 1)


def change_bmp(data: bytearray, chance: random.Random) -> bytearray:
    if len(data) < 54:
        return flip_bits(data, chance)
    for _ in range(chance.choice((1, 1, 2))):
        offset, form = chance.choice(BMP_FIELDS)
        value = chance.choice(BMP_VALUES)
        if form != "<i":
            value &= 0xFFFF if form == "<H" else 0xFFFF_FFFF
        struct.pack_into(form, data, offset, value)
    return data


FORMAT_MUTATORS: dict[str, Mutator] = {"jpeg": change_jpeg, "png": change_png, "bmp": change_bmp}


def mutated(seed: Seed, others: Sequence[Seed], chance: random.Random) -> bytes:
    """Return a damaged form of the seed; now and then with the beginning or the end of another image."""
    data = bytearray(seed.data)
    what = chance.random()
    if what < 0.45:
        data = FORMAT_MUTATORS[seed.format](data, chance)
    elif what < 0.95:
        data = chance.choice(BYTE_MUTATORS)(data, chance)
    else:
        other = chance.choice(others).data
        data = data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]
    while data and chance.random() < 0.15:
        data = chance.choice(BYTE_MUTATORS)(data, chance)
    return bytes(data)
