"""An image is decoded whole and in the right colours, or refused with its reason; never partial, never borrowed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pickle
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import slide_cells
from edge.errors import EdgeError
from edge.image_headers import png_of_pixels_only
from edge.images import CellImage, ImageLimits, RefusedCell, decode_image, load_cells
from edge.slide import Analyzer, CellFile, Slide, read_slide

RED, GREEN, BLUE = (200, 30, 40), (30, 180, 60), (40, 50, 210)


def picture(height: int = 24, width: int = 20) -> np.ndarray:
    """Three flat bands of unlike colours (RGB): a swap of channels or rows shows."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for band, colour in enumerate((RED, GREEN, BLUE)):
        pixels[band * height // 3 : (band + 1) * height // 3] = colour
    return pixels


def noise(seed: int, height: int = 24, width: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def jpeg(pixels: np.ndarray, **options) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=95, colorspace="RGB", **options)


def progressive_jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def restart_jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()


def grey_jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))[1].tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(pixels: np.ndarray, *, colour=2, depth=8, interlace=0, extra=(), rows=None, size=None) -> bytes:
    """A PNG written by hand, so that every header and every fault can be made."""
    height, width = size or pixels.shape[:2]
    raw = b"".join(b"\x00" + row.tobytes() for row in pixels) if rows is None else rows
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def bmp(pixels: np.ndarray, *, bits=24, top_down=False, header_size=40, compression=0, alpha=0) -> bytes:
    height, width = pixels.shape[:2]
    bgr = pixels[:, :, ::-1]
    if bits == 32:
        bgr = np.dstack([bgr, np.full((height, width), alpha, np.uint8)])
    padding = b"\x00" * (-(width * bits // 8) % 4)
    rows = [row.tobytes() + padding for row in (bgr if top_down else bgr[::-1])]
    body = b"".join(rows)
    offset = 14 + header_size
    info = struct.pack(
        "<IiiHHIIiiII", header_size, width, -height if top_down else height, 1, bits, compression, 0, 0, 0, 0, 0
    )
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + info.ljust(header_size, b"\x00") + body


def refusal(data: bytes, **options) -> str:
    with pytest.raises(EdgeError) as caught:
        decode_image(data, where="wbc/0001.jpg", **options)
    assert "wbc/0001.jpg" in str(caught.value)
    return caught.value.code


WHOLE = {
    "baseline JPEG": jpeg(picture()),
    "noisy JPEG": jpeg(noise(3)),
    "progressive JPEG": progressive_jpeg(noise(4)),
    "JPEG with restarts": restart_jpeg(noise(5, 40, 40)),
    "grey JPEG": grey_jpeg(picture()),
    "PNG": png(noise(6)),
    "PNG of OpenCV": cv2.imencode(".png", noise(7))[1].tobytes(),
    "BMP": bmp(noise(8)),
    "BMP top down": bmp(noise(9, 17, 19), top_down=True),
    "BMP 32 bits": bmp(noise(10), bits=32),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_image_is_decoded_to_contiguous_rgb_bytes(name):
    pixels = decode_image(WHOLE[name], where="a")
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    assert pixels.flags.c_contiguous
    assert pixels.flags.owndata or pixels.base is not None


@pytest.mark.case("B1")
@pytest.mark.parametrize("name", WHOLE)
def test_an_image_cut_at_any_byte_is_refused(name):
    whole = WHOLE[name]
    decode_image(whole, where="a")
    for length in range(len(whole)):
        assert refusal(whole[:length]) in {"MDSE-IMAGE-001", "MDSE-IMAGE-004", "MDSE-IMAGE-006"}, length


@pytest.mark.case("B1")
@pytest.mark.parametrize("name", [name for name in WHOLE if not name.startswith("BMP")])
@pytest.mark.case("A13")
def test_an_image_whose_rest_was_reserved_but_not_written_is_refused(name):
    whole = WHOLE[name]
    for length in range(0, len(whole) - 2, 7):
        refusal(whole[:length].ljust(len(whole), b"\x00"))


def test_a_bitmap_whose_last_row_was_reserved_but_not_written_is_refused():
    whole = bmp(noise(8))
    assert refusal(whole[:-60] + b"\x00" * 60) == "MDSE-IMAGE-004"


@pytest.mark.case("B2")
def test_a_cut_image_after_a_good_one_shows_no_pixel_of_the_good_one():
    good, other = jpeg(noise(1, 360, 363)), jpeg(noise(2, 360, 363))
    decode_image(good, where="A")
    for share in (0.3, 0.5, 0.9, 0.999):
        assert refusal(other[: int(len(other) * share)]) == "MDSE-IMAGE-004"
    np.testing.assert_array_equal(decode_image(good, where="A"), simplejpeg.decode_jpeg(good))


@pytest.mark.case("B4")
def test_a_png_with_any_flipped_bit_is_refused_or_decodes_to_the_same_pixels():
    whole = png(noise(11, 16, 16))
    expected = decode_image(whole, where="a")
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        try:
            pixels = decode_image(bytes(damaged), where="a")
        except EdgeError:
            continue
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.case("B3")
def test_a_jpeg_whose_scan_lost_bytes_but_kept_its_end_is_refused():
    whole = jpeg(noise(12, 64, 64))
    scan = whole.index(b"\xff\xda") + 14
    for start in range(scan + 100, len(whole) - 400, 97):
        assert refusal(whole[:start] + whole[-2:]) == "MDSE-IMAGE-006"


@pytest.mark.case("B3")
def test_a_jpeg_with_a_flipped_bit_is_refused_with_a_code_or_keeps_its_size():
    whole = jpeg(noise(12))
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        with contextlib.suppress(EdgeError):
            assert min(decode_image(bytes(damaged), where="a").shape[:2]) >= 16


@pytest.mark.case("B5")
@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"only text, though its name says jpg", "no image format"),
        (b"", "an empty file"),
        (b"\x00" * 4096, "nothing but zero bytes"),
        (b"II*\x00" + b"\x00" * 64, "TIFF"),
        (b"MM\x00*" + b"\x00" * 64, "TIFF"),
        (b"GIF89a" + b"\x00" * 64, "GIF"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "WebP"),
        (b"\x76\x2f\x31\x01" + b"\x00" * 64, "OpenEXR"),
        (b"MZ\x90\x00", "a program"),
        (b"<html>", "HTML"),
    ],
)
def test_only_three_formats_reach_a_decoder_and_the_others_are_named(data, named):
    with pytest.raises(EdgeError, match=named) as caught:
        decode_image(data, where="wbc/0001.jpg")
    assert caught.value.code == "MDSE-IMAGE-001"


@pytest.mark.case("B5")
def test_the_content_decides_and_not_the_name():
    np.testing.assert_array_equal(decode_image(png(picture()), where="0001.jpg"), picture())


@pytest.mark.case("B6")
def test_a_png_of_20000_px_a_side_is_refused_from_its_header_with_little_memory():
    script = """
import resource, struct, zlib
from edge.images import decode_image
from edge.errors import EdgeError
def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
stream = zlib.compressobj()
block = stream.compress(bytes(60001 * 100)) + stream.flush(zlib.Z_FULL_FLUSH)
packed = block[:2] + block[2:] * 200 + stream.flush()
bomb = bytes.fromhex("89504e470d0a1a0a") + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)) \
    + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_image(bomb, where="bomb")
except EdgeError as error:
    print(error.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    code, grown_kib = done.stdout.split()
    assert code == "MDSE-IMAGE-002"
    assert int(grown_kib) < 32 * 1024


@pytest.mark.case("B7")
@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 40), (40, 15), (4097, 16), (16, 4097)])
@pytest.mark.parametrize("encode", [jpeg, png, bmp])
def test_sizes_outside_the_limits_are_refused(encode, height, width):
    assert refusal(encode(noise(1, height, width))) == "MDSE-IMAGE-002"


@pytest.mark.case("B7")
def test_an_image_of_zero_width_is_refused():
    assert refusal(png(picture(), size=(24, 0))) == "MDSE-IMAGE-002"
    assert refusal(bmp(np.zeros((20, 0, 3), np.uint8))) == "MDSE-IMAGE-002"


def test_a_file_above_the_byte_limit_is_refused_before_it_is_read_as_an_image():
    assert refusal(jpeg(noise(1)), limits=ImageLimits(bytes_max=100)) == "MDSE-IMAGE-003"


@pytest.mark.case("B8")
@pytest.mark.parametrize(
    "data",
    [
        png(picture()),
        png(np.dstack([picture(), np.full((24, 20), 255, np.uint8)]), colour=6),
        png(picture(), extra=[chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"tEXt", b"Comment\x00cell")]),
        png(picture(), extra=[chunk(b"PLTE", bytes(3))]),
        bmp(picture()),
        bmp(picture(), top_down=True),
        bmp(picture(), bits=32, alpha=0),
        bmp(picture(), bits=32, alpha=255),
        bmp(picture(), header_size=124),
    ],
)
def test_lossless_images_give_exactly_the_stored_colours_in_the_stored_place(data):
    np.testing.assert_array_equal(decode_image(data, where="a"), picture())


@pytest.mark.case("B8")
def test_a_jpeg_keeps_red_red_and_blue_blue():
    pixels = decode_image(jpeg(picture(48, 48)), where="a").astype(int)
    assert np.abs(pixels - picture(48, 48)).mean() < 6
    assert pixels[2, 20, 0] > pixels[2, 20, 2] + 100
    assert pixels[45, 20, 2] > pixels[45, 20, 0] + 100


@pytest.mark.case("B8")
@pytest.mark.parametrize("data", [grey_jpeg(noise(1)), png(noise(1)[:, :, 0], colour=0)])
def test_grey_is_repeated_to_three_equal_channels(data):
    pixels = decode_image(data, where="a")
    assert pixels.shape == (24, 20, 3)
    assert (pixels[:, :, 0] == pixels[:, :, 1]).all()
    assert (pixels[:, :, 1] == pixels[:, :, 2]).all()


def cmyk_jpeg() -> bytes:
    whole = bytearray(jpeg(picture()))
    frame = whole.index(b"\xff\xc0")
    whole[frame + 3] += 3
    whole[frame + 9] = 4
    whole[frame + 19 : frame + 19] = b"\x04\x11\x00"
    return bytes(whole)


def jpeg_with_frame(marker: int, precision: int = 8) -> bytes:
    whole = bytearray(jpeg(picture()))
    frame = whole.index(b"\xff\xc0")
    whole[frame + 1], whole[frame + 4] = marker, precision
    return bytes(whole)


OPAQUE_BUT_ONE = np.dstack([picture(), np.full((24, 20), 255, np.uint8)])
OPAQUE_BUT_ONE[5, 5, 3] = 254


@pytest.mark.case("B8")
@pytest.mark.parametrize(
    ("data", "variant"),
    [
        (cmyk_jpeg(), "4 components"),
        (jpeg_with_frame(0xC3), "lossless"),
        (jpeg_with_frame(0xC9), "arithmetic"),
        (jpeg_with_frame(0xC1, precision=12), "12 bits"),
        (png(OPAQUE_BUT_ONE, colour=6), "transparent"),
        (png(picture(), extra=[chunk(b"tRNS", bytes(6))]), "transparent colour"),
        (png(noise(1)[:, :, 0], colour=3, extra=[chunk(b"PLTE", bytes(768))]), "palette"),
        (png(noise(1)[:, :, :2], colour=4), "grey and alpha"),
        (cv2.imencode(".png", np.zeros((24, 20, 3), np.uint16))[1].tobytes(), "16 bits"),
        (png(picture(), interlace=1), "interlaced"),
        (bmp(picture(), bits=24, compression=1), "compression 1"),
        (cv2.imencode(".bmp", noise(1)[:, :, 0])[1].tobytes(), "8 bits a pixel"),
    ],
)
def test_variants_that_would_need_a_guess_are_refused_by_name(data, variant):
    with pytest.raises(EdgeError, match=variant) as caught:
        decode_image(data, where="a")
    assert caught.value.code == "MDSE-IMAGE-005"


def exif_of_orientation(value: int) -> bytes:
    return b"MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, value, 0, 0)


@pytest.mark.case("B9")
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_orientation_mark_does_not_turn_the_image(orientation):
    plain = jpeg(picture(32, 20))
    exif = b"Exif\x00\x00" + exif_of_orientation(orientation)
    marked = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    np.testing.assert_array_equal(decode_image(marked, where="a"), decode_image(plain, where="a"))
    marked_png = png(picture(32, 20), extra=[chunk(b"eXIf", exif_of_orientation(orientation))])
    np.testing.assert_array_equal(decode_image(marked_png, where="a"), picture(32, 20))


@pytest.mark.case("B10")
def test_an_animated_png_is_refused():
    animation = [chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", bytes(26))]
    assert refusal(png(picture(), extra=animation)) == "MDSE-IMAGE-005"


@pytest.mark.case("B10")
@pytest.mark.parametrize("name", WHOLE)
def test_anything_but_zero_bytes_behind_the_image_is_refused(name):
    whole = WHOLE[name]
    np.testing.assert_array_equal(decode_image(whole + bytes(512), where="a"), decode_image(whole, where="a"))
    assert refusal(whole + jpeg(picture())) == "MDSE-IMAGE-007"
    assert refusal(whole + b"PK\x03\x04") == "MDSE-IMAGE-007"


def test_a_jpeg_inside_the_metadata_is_not_taken_for_the_image():
    thumbnail = jpeg(noise(2, 16, 16))
    plain = jpeg(picture())
    marked = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + plain[2:]
    np.testing.assert_array_equal(decode_image(marked, where="a"), decode_image(plain, where="a"))


@pytest.mark.parametrize("rows", [b"", bytes(61 * 23), bytes(61 * 24 - 1), bytes(61 * 24 + 1), bytes(61 * 400)])
def test_a_png_whose_stream_does_not_fill_the_image_exactly_is_refused(rows):
    assert refusal(png(picture(), rows=rows)) == "MDSE-IMAGE-006"


def test_text_profiles_and_exif_of_a_png_never_reach_the_native_decoder():
    extra = [chunk(b"eXIf", exif_of_orientation(6)), chunk(b"iCCP", b"p\x00\x00junk"), chunk(b"tEXt", b"a\x00b")]
    assert png_of_pixels_only(png(picture(), extra=extra)) == png(picture())


def test_a_png_with_an_unknown_critical_chunk_or_two_headers_is_refused():
    assert refusal(png(picture(), extra=[chunk(b"CELL", b"")])) == "MDSE-IMAGE-006"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 24, 8, 2, 0, 0, 0))
    assert refusal(png(picture(), extra=[header])) == "MDSE-IMAGE-006"


def test_a_jpeg_of_endless_scans_is_refused_before_the_decoder_runs():
    whole = progressive_jpeg(picture())
    last = whole.rindex(b"\xff\xda")
    assert refusal(whole[:-2] + whole[last:-2] * 100 + b"\xff\xd9") == "MDSE-IMAGE-006"


def test_a_jpeg_with_two_frames_is_refused():
    whole = jpeg(picture())
    frame = whole.index(b"\xff\xc0")
    segment = whole[frame : frame + 2 + int.from_bytes(whole[frame + 2 : frame + 4], "big")]
    assert refusal(whole[:frame] + segment + whole[frame:]) == "MDSE-IMAGE-005"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_files_are_decoded_at_the_header_size_or_refused_with_an_image_code(data):
    whole = bytearray(data.draw(st.sampled_from(list(WHOLE.values()))))
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(whole) - 1))
        action = data.draw(st.sampled_from(["set", "drop", "repeat"]))
        if action == "set":
            whole[position] = data.draw(st.integers(0, 255))
        elif action == "drop":
            del whole[position : position + data.draw(st.integers(1, 8))]
        else:
            whole[position:position] = whole[position : position + data.draw(st.integers(1, 64))]
        if not whole:
            return
    with contextlib.suppress(EdgeError):  # anything else that is raised fails the test
        pixels = decode_image(bytes(whole), where="a")
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert min(pixels.shape[:2]) >= 16


# ---- the cells of a slide


def slide_of(folder: Path, *paths: str, sha256: str | None = None) -> Slide:
    files = tuple(CellFile(Path(p).stem, p, 0, sha256, None) for p in paths)
    return Slide("S1", folder, "42", None, None, None, Analyzer(None, None, None), (), None, files, None, ())


def test_good_and_refused_cells_keep_the_order_of_the_slide(tmp_path):
    (tmp_path / "wbc").mkdir()
    (tmp_path / "wbc/0001.jpg").write_bytes(jpeg(picture()))
    (tmp_path / "wbc/0002.jpg").write_bytes(jpeg(picture())[:-9])
    (tmp_path / "wbc/0003.jpg").write_bytes(png(picture()))
    loaded = load_cells(slide_of(tmp_path, "wbc/0003.jpg", "wbc/0002.jpg", "wbc/0001.jpg", "wbc/0004.jpg"))
    assert [cell.cell_id for cell in loaded.cells] == ["0003", "0001"]
    assert [(cell.cell_id, cell.code) for cell in loaded.refused] == [
        ("0002", "MDSE-IMAGE-004"),
        ("0004", "MDSE-IMAGE-008"),
    ]
    assert "wbc/0002.jpg" in loaded.refused[0].text
    again = pickle.loads(pickle.dumps(loaded))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.cells[0].pixels, picture())


@pytest.mark.case("S1")
def test_links_out_of_the_folder_are_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/0001.jpg").write_bytes(jpeg(picture()))
    slide = tmp_path / "slide"
    slide.mkdir()
    (slide / "0001.jpg").symlink_to(tmp_path / "elsewhere/0001.jpg")
    (slide / "wbc").symlink_to(tmp_path / "elsewhere")
    loaded = load_cells(slide_of(slide, "0001.jpg", "wbc/0001.jpg", "../elsewhere/0001.jpg", "/etc/passwd"))
    assert not loaded.cells
    assert {cell.code for cell in loaded.refused} == {"MDSE-IMAGE-008"}


@pytest.mark.case("S3")
def test_a_pipe_or_a_folder_named_like_an_image_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "0001.jpg")
    (tmp_path / "0002.jpg").mkdir()
    loaded = load_cells(slide_of(tmp_path, "0001.jpg", "0002.jpg"))
    assert [cell.code for cell in loaded.refused] == ["MDSE-IMAGE-008", "MDSE-IMAGE-008"]


def test_a_cell_whose_bytes_are_not_the_listed_ones_is_refused(tmp_path):
    data = jpeg(picture())
    (tmp_path / "0001.jpg").write_bytes(data)
    assert load_cells(slide_of(tmp_path, "0001.jpg", sha256=hashlib.sha256(data).hexdigest())).cells
    (refused,) = load_cells(slide_of(tmp_path, "0001.jpg", sha256="0" * 64)).refused
    assert refused.code == "MDSE-IMAGE-009"


def test_a_cell_that_could_not_be_read_with_its_slide_is_refused_also_where_it_can_be_read_later(tmp_path, monkeypatch):
    data = jpeg(picture())
    for name in ("0001.jpg", "0002.jpg"):
        (tmp_path / name).write_bytes(data if name == "0001.jpg" else png(picture()))
    (tmp_path / "slide.json").write_text('{"sample_id": "1"}')
    whole = slide_cells.read_file_below

    def failing(folder_fd: int, path: str, *, bytes_max: int) -> bytes:
        if path == "0001.jpg":
            raise OSError(errno.EIO, "Input/output error")
        return whole(folder_fd, path, bytes_max=bytes_max)

    monkeypatch.setattr(slide_cells, "read_file_below", failing)
    loaded = load_cells(read_slide(tmp_path))
    assert [cell.cell_id for cell in loaded.cells] == ["0002"]
    assert [(cell.code, "Input/output error" in cell.text) for cell in loaded.refused] == [("MDSE-IMAGE-008", True)]


def test_a_file_larger_than_the_limit_is_refused_without_reading_it_whole(tmp_path):
    with (tmp_path / "0001.jpg").open("wb") as file:
        file.truncate(1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (refused,) = load_cells(slide_of(tmp_path, "0001.jpg")).refused
    assert refused.code == "MDSE-IMAGE-003"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_folder_that_is_away_is_an_error_to_try_again_and_not_an_empty_slide(tmp_path):
    with pytest.raises(EdgeError) as caught:
        load_cells(slide_of(tmp_path / "gone", "0001.jpg"))
    assert (caught.value.code, caught.value.exit_status) == ("MDSE-SLIDE-010", 75)


def test_a_slide_that_would_fill_the_memory_is_refused(tmp_path):
    (tmp_path / "0001.jpg").write_bytes(jpeg(picture()))
    with pytest.raises(EdgeError) as caught:
        load_cells(slide_of(tmp_path, "0001.jpg"), limits=ImageLimits(slide_decoded_bytes_max=100))
    assert caught.value.code == "MDSE-SLIDE-011"


def test_every_real_cell_is_accepted_and_equals_its_plain_decoding(real_cells_dir):
    for file in sorted(real_cells_dir.glob("*/*.jpg"))[::97]:
        data = file.read_bytes()
        np.testing.assert_array_equal(decode_image(data, where=file.name), simplejpeg.decode_jpeg(data))


@pytest.mark.case("B1")
def test_a_real_cell_cut_anywhere_is_refused(real_cells_dir):
    whole = min(real_cells_dir.glob("*/*.jpg"), key=lambda file: file.stat().st_size).read_bytes()
    for length in range(0, len(whole), 1):
        refusal(whole[:length])


def test_the_outcomes_of_reading_are_plain_values():
    assert RefusedCell("a", "MDSE-IMAGE-001", "x") == RefusedCell("a", "MDSE-IMAGE-001", "x")
    assert CellImage("a", picture()).cell_id == "a"
