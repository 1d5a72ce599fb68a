"""Cells that are prepared on several threads come out as if one thread had done one after the other."""

import json
import threading
import time

import cv2
import numpy as np
import pytest

from edge import preparation
from edge.errors import EdgeError
from edge.images import DEFAULT_LIMITS, DecodeMemory, RefusedCell, decode_image, load_cells
from edge.preparation import prepared_cells
from edge.slide import read_slide
from edge.tensors import tensors_from_cells
from edge.thumbnails import thumbnail_from_pixels

SIZE_PX = 48
# The first cells are by far the largest: threads finish them last.
SIDES = [900, 700, 500, *([60, 90, 130, 48] * 5)]


@pytest.fixture
def slide(tmp_path):
    folder = tmp_path / "A1_S1"
    (folder / "wbc").mkdir(parents=True)
    random = np.random.default_rng(1)
    for number, side in enumerate(SIDES):
        pixels = cv2.GaussianBlur(random.integers(0, 256, (side, side + 3, 3), np.uint8), (5, 5), 0)
        ending, options = (".png", []) if number % 3 == 1 else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95])
        (folder / "wbc" / f"{number:04d}{ending}").write_bytes(cv2.imencode(ending, pixels, options)[1].tobytes())
    (folder / "slide.json").write_text(json.dumps({"sample_id": "1"}))
    return read_slide(folder)


def cells_of(slide, **options):
    settings = {"limits": DEFAULT_LIMITS, "size_px": SIZE_PX, "ahead": 6, "clock": time.monotonic, "threads": 3}
    return prepared_cells(slide, **{**settings, **options})


def preparing():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prepare")]


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 6), (4, 2), (4, 100)])
def test_order_pixels_and_thumbnails_are_those_of_one_thread(slide, threads, ahead):
    plain = load_cells(slide).cells
    prepared = [
        (cell.cell_id, cell.pixels.copy(), cell.thumbnail) for cell in cells_of(slide, threads=threads, ahead=ahead)
    ]
    assert [cell_id for cell_id, _, _ in prepared] == [cell.cell_id for cell in plain]
    np.testing.assert_array_equal([pixels for _, pixels, _ in prepared], tensors_from_cells(plain, SIZE_PX))
    assert [thumbnail for _, _, thumbnail in prepared] == [thumbnail_from_pixels(cell.pixels) for cell in plain]


def test_a_broken_image_in_the_middle_is_one_refused_cell_in_its_place(slide):
    broken = slide.folder / slide.cell_files[9].path
    broken.write_bytes(broken.read_bytes()[:-40])
    outcomes = list(cells_of(slide))
    assert [cell.cell_id for cell in outcomes] == [file.cell_id for file in slide.cell_files]
    assert [place for place, cell in enumerate(outcomes) if isinstance(cell, RefusedCell)] == [9]
    assert outcomes[9].code == "MDSE-IMAGE-009"


def test_no_more_cells_than_asked_for_are_in_hand(slide, monkeypatch):
    begun = []
    real = preparation.read_cell
    monkeypatch.setattr(preparation, "read_cell", lambda fd, file, *rest: begun.append(file) or real(fd, file, *rest))
    cells = cells_of(slide, ahead=4)
    next(cells)
    cells.close()
    assert len(begun) <= 4
    begun.clear()
    for number, _ in enumerate(cells_of(slide, ahead=4)):
        assert len(begun) <= number + 4


def test_memory_of_pixels_is_used_again(slide):
    seen = {cell.pixels.ctypes.data for cell in cells_of(slide, ahead=3)}
    assert len(seen) <= 4 < len(slide.cell_files)


def test_threads_end_when_the_cells_are_no_longer_wanted(slide):
    cells = cells_of(slide)
    next(cells)
    assert preparing()
    cells.close()
    assert not preparing()


def test_an_unforeseen_error_of_a_thread_reaches_the_caller_and_ends_the_others(slide, monkeypatch):
    real = preparation.read_cell

    def failing(fd, file, *rest):
        if file is slide.cell_files[7]:
            raise MemoryError("no room for pixels")
        return real(fd, file, *rest)

    monkeypatch.setattr(preparation, "read_cell", failing)
    given = []
    with pytest.raises(MemoryError, match="no room for pixels"):
        given.extend(cell.cell_id for cell in cells_of(slide))
    assert not preparing()


def test_a_slide_whose_folder_is_away_says_so(slide):
    slide.folder.rename(slide.folder.with_name("gone"))
    with pytest.raises(EdgeError, match="MDSE-SLIDE-010"):
        next(cells_of(slide))


def test_opencv_has_its_threads_back_afterwards(slide):
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        list(cells_of(slide))
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_an_image_decoded_into_used_memory_is_the_same_as_in_fresh_memory(slide):
    memory = DecodeMemory()
    for file in slide.cell_files:  # from the largest to smaller ones: rests of earlier images lie behind each
        data = (slide.folder / file.path).read_bytes()
        again = decode_image(data, where=file.path, memory=memory)
        np.testing.assert_array_equal(again, decode_image(data, where=file.path))


def test_a_cut_image_never_shows_the_pixels_of_the_one_before(slide):
    memory = DecodeMemory()
    whole = (slide.folder / slide.cell_files[0].path).read_bytes()
    decode_image(whole, where="first", memory=memory)
    cut = whole[: len(whole) // 2] + b"\xff\xd9"  # ends where its format says, and half of its scan is missing
    with pytest.raises(EdgeError, match="MDSE-IMAGE-006"):
        decode_image(cut, where="second", memory=memory)
