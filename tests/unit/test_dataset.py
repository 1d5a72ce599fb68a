"""Labels are read whole or refused with a reason; the split is fixed."""

from __future__ import annotations

import hashlib
import os

import cv2
import numpy as np
import pytest

from convert.cell_pixels import pixels_from_cells
from convert.dataset import read_labelled_cells, require_trainable, split_from_key
from edge.catalogue import load_catalogue
from edge.errors import EdgeError

CATALOGUE = load_catalogue()


def write_image(path, seed=0, side_px=40):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)


def write_labels(folder, text, images=()):
    for index, name in enumerate(images):
        write_image(folder / name, seed=index)
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return [(folder, "real")]


def read(folder, text, images=(), **options):
    return read_labelled_cells(write_labels(folder, text, images), CATALOGUE, **options)


def code_of(raised):
    return raised.value.code


def test_the_split_is_byte_zero_of_the_hash_modulo_eight():
    for name in (f"cell-{number}.jpg" for number in range(200)):
        remainder = hashlib.sha256(name.encode()).digest()[0] % 8
        expected = "test" if remainder in (0, 1) else "validation" if remainder == 2 else "training"
        assert split_from_key(name) == expected


def test_the_split_follows_the_base_name_not_the_folder(tmp_path):
    cells = read(tmp_path, "file,cell_type\na/x.jpg,SNE\nb/x.jpg,LY\n", ["a/x.jpg", "b/x.jpg"]).cells
    assert {cell.split for cell in cells} == {split_from_key("x.jpg")}


def test_cells_of_one_patient_never_meet_in_two_splits(tmp_path):
    rows = "".join(f"{number}.jpg,SNE,P7\n" for number in range(12))
    cells = read(tmp_path, "file,cell_type,patient\n" + rows, [f"{number}.jpg" for number in range(12)]).cells
    assert {cell.split for cell in cells} == {split_from_key("P7")}


def test_findings_are_one_zero_or_not_annotated(tmp_path):
    text = "file,cell_type,NE01,NE03\na.jpg,SNE,1,\nb.jpg,BNE,0,1\n"
    first, second = read(tmp_path, text, ["a.jpg", "b.jpg"]).cells
    assert first.findings == {"NE01": 1}
    assert second.findings == {"NE01": 0, "NE03": 1}


def test_a_finding_that_does_not_apply_to_the_type_is_not_annotated(tmp_path):
    (cell,) = read(tmp_path, "file,cell_type,NE01,LY01\na.jpg,LY,0,1\n", ["a.jpg"]).cells
    assert cell.findings == {"LY01": 1}


def test_the_vacuole_attribute_is_read_on_neutrophils_only(tmp_path):
    text = "file,cell_type,cytoplasm_vacuole\na.jpg,SNE,yes\nb.jpg,BNE,no\nc.jpg,MO,yes\nd.jpg,SNE,\n"
    labelled = read(tmp_path, text, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"])
    assert [dict(cell.findings) for cell in labelled.cells] == [{"NE07": 1}, {"NE07": 0}, {}, {}]
    assert any("NE07" in notice for notice in labelled.notices)


def test_unknown_columns_are_ignored_and_named(tmp_path):
    labelled = read(tmp_path, "file,cell_type,NE1,colour\na.jpg,SNE,1,blue\n", ["a.jpg"])
    assert any("NE1, colour" in notice for notice in labelled.notices)
    assert labelled.cells[0].findings == {}


def test_rows_that_cannot_be_used_are_counted_not_lost(tmp_path):
    text = "file,cell_type\na.jpg,SNE\nb.jpg,\nc.jpg,XX\nd.jpg,XX\n"
    labelled = read(tmp_path, text, ["a.jpg"], leave_out=("XX",))
    assert [cell.cell_id for cell in labelled.cells] == ["a.jpg"]
    assert any("1 rows left out: no cell type" in notice for notice in labelled.notices)
    assert any("2 rows left out: type XX" in notice for notice in labelled.notices)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name,cell_type\na.jpg,SNE\n", "MDSE-TRAIN-001"),
        ("file,cell_type,file\na.jpg,SNE,b.jpg\n", "MDSE-TRAIN-001"),
        ("file,cell_type\na.jpg\n", "MDSE-TRAIN-001"),
        ("file,cell_type\na.jpg,SNE,1\n", "MDSE-TRAIN-001"),
        ("file,cell_type,NE01\na.jpg,SNE,yes\n", "MDSE-TRAIN-002"),
        ("file,cell_type,NE01\na.jpg,SNE,2\n", "MDSE-TRAIN-002"),
        ("file,cell_type\n,SNE\n", "MDSE-TRAIN-002"),
        ("file,cell_type\n../a.jpg,SNE\n", "MDSE-TRAIN-002"),
        ("file,cell_type\n/etc/hostname,SNE\n", "MDSE-TRAIN-002"),
        ("file,cell_type\na.jpg,SNE\na.jpg,BNE\n", "MDSE-TRAIN-003"),
        ("file,cell_type\na.jpg,SNE\na.jpg,SNE\n", "MDSE-TRAIN-003"),
        ("file,cell_type\nmissing.jpg,SNE\n", "MDSE-TRAIN-004"),
        ("file,cell_type\na.jpg,SNe\n", "MDSE-TRAIN-002"),
        ("file,cell_type\na.jpg,PLASMA\n", "MDSE-TRAIN-002"),
    ],
)
def test_a_contradiction_stops_the_training_with_its_own_code(tmp_path, text, code):
    with pytest.raises(EdgeError) as raised:
        read(tmp_path, text, ["a.jpg"])
    assert code_of(raised) == code


def test_all_faults_of_all_folders_are_named_together(tmp_path):
    rows = "".join(f"lost{number}.jpg,SNE\n" for number in range(9))
    rows = rows.replace("SNE", "SNE,")
    (tmp_path / "one").mkdir()
    text = f"file,cell_type,NE01\na.jpg,SNE,maybe\nb.jpg,Sne,\n{rows}"
    first = write_labels(tmp_path / "one", text, ["a.jpg", "b.jpg"])
    (tmp_path / "two").mkdir()
    second = write_labels(tmp_path / "two", "file,cell_type\nc.jpg,LY\nc.jpg,MO\n", ["c.jpg"])
    with pytest.raises(EdgeError) as raised:
        read_labelled_cells([*first, *second], CATALOGUE)
    said = str(raised.value)
    assert code_of(raised) == "MDSE-TRAIN-017"
    assert "12 faults" in said
    assert "line 2" in said
    for code in ("MDSE-TRAIN-002", "MDSE-TRAIN-004"):
        assert code in said
    assert "and 4 more" in said


def test_the_same_bytes_under_two_types_or_in_two_splits_are_refused_before_anything_is_decoded(tmp_path):
    names = [*names_of_split("training", 2), *names_of_split("test", 1)]
    rows = f"{names[0]},SNE\n{names[1]},LY\n{names[2]},SNE\n"
    folders = write_labels(tmp_path, "file,cell_type\n" + rows, names)
    for name in names[1:]:
        (tmp_path / name).write_bytes((tmp_path / names[0]).read_bytes())
    with pytest.raises(EdgeError) as raised:
        read_labelled_cells(folders, CATALOGUE)
    said = str(raised.value)
    assert code_of(raised) == "MDSE-TRAIN-017"
    assert "LY (training)" in said
    assert "SNE (test)" in said
    # Within one split and under one type a copy only counts a cell twice.
    (tmp_path / "labels.csv").write_text(f"file,cell_type\n{names[0]},SNE\n{names[1]},SNE\n")
    assert len(read_labelled_cells(folders, CATALOGUE).cells) == 2


def test_a_file_named_as_a_drawn_cell_is_one_whatever_its_folder_is_called(tmp_path):
    labelled = read(
        tmp_path, "file,cell_type\nSNE/drawn-1-000001.jpg,SNE\nb.jpg,LY\n", ["SNE/drawn-1-000001.jpg", "b.jpg"]
    )
    assert {cell.cell_id: cell.origin for cell in labelled.cells} == {
        "SNE/drawn-1-000001.jpg": "drawn",
        "b.jpg": "real",
    }
    assert any("1 files are named drawn-" in notice for notice in labelled.notices)


def test_a_folder_without_labels_is_named(tmp_path):
    with pytest.raises(EdgeError, match=r"labels\.csv") as raised:
        read_labelled_cells([(tmp_path, "real")], CATALOGUE)
    assert code_of(raised) == "MDSE-TRAIN-001"


def names_of_split(split, count):
    names = (f"n{number}.jpg" for number in range(10_000))
    return [name for name in names if split_from_key(name) == split][:count]


def test_a_type_without_training_cells_is_refused_unless_it_is_accepted(tmp_path):
    names = names_of_split("training", 1) + names_of_split("validation", 1)
    labelled = read(tmp_path, "file,cell_type\n" + "".join(f"{name},SNE\n" for name in names), names)
    with pytest.raises(EdgeError, match="BNE") as raised:
        require_trainable(labelled, CATALOGUE, allow_missing_types=False)
    assert code_of(raised) == "MDSE-TRAIN-005"
    missing = require_trainable(labelled, CATALOGUE, allow_missing_types=True)
    assert set(missing) == set(CATALOGUE.type_codes) - {"SNE"}


def test_a_type_without_validation_cells_is_refused(tmp_path):
    names = names_of_split("training", 2)
    labelled = read(tmp_path, "file,cell_type\n" + "".join(f"{name},SNE\n" for name in names), names)
    with pytest.raises(EdgeError, match="SNE") as raised:
        require_trainable(labelled, CATALOGUE, allow_missing_types=True)
    assert code_of(raised) == "MDSE-TRAIN-006"


def test_labels_without_any_usable_cell_are_refused_even_if_missing_types_are_accepted(tmp_path):
    with pytest.raises(EdgeError) as raised:
        require_trainable(read(tmp_path, "file,cell_type\n"), CATALOGUE, allow_missing_types=True)
    assert code_of(raised) == "MDSE-TRAIN-005"


def test_pixels_are_those_of_the_runtime_and_come_from_the_cache_the_second_time(tmp_path, monkeypatch):
    labelled = read(tmp_path, "file,cell_type\na.jpg,SNE\nb.jpg,LY\n", ["a.jpg", "b.jpg"])
    cache = tmp_path / "cache"
    direct = pixels_from_cells(labelled.cells, 24)
    first = np.array(pixels_from_cells(labelled.cells, 24, cache))
    monkeypatch.setattr("convert.cell_pixels.decode_image", None)  # would fail if anything were decoded again
    second = pixels_from_cells(labelled.cells, 24, cache)
    assert direct.shape == (2, 24, 24, 3)
    assert direct.dtype == np.uint8
    assert np.array_equal(direct, first)
    assert np.array_equal(first, second)
    assert len(list(cache.iterdir())) == 1


def test_a_changed_file_is_decoded_anew(tmp_path):
    labelled = read(tmp_path, "file,cell_type\na.png,SNE\n", ["a.png"])
    before = np.array(pixels_from_cells(labelled.cells, 24, tmp_path / "cache"))
    write_image(tmp_path / "a.png", seed=9, side_px=50)
    assert not np.array_equal(before, pixels_from_cells(labelled.cells, 24, tmp_path / "cache"))


def test_an_unreadable_image_stops_the_training_and_is_named(tmp_path):
    labelled = read(tmp_path, "file,cell_type\na.jpg,SNE\n", ["a.jpg"])
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:100])
    with pytest.raises(EdgeError, match=r"MDSE-TRAIN-021 .*a\.jpg: .*MDSE-IMAGE-") as raised:
        pixels_from_cells(labelled.cells, 24)
    assert raised.value.exit_status == 2, "the labels are to be corrected, however many images are damaged"


def test_all_unreadable_images_are_named_together_and_nothing_is_cached(tmp_path):
    names = [f"{number}.jpg" for number in range(12)]
    labelled = read(tmp_path, "file,cell_type\n" + "".join(f"{name},SNE\n" for name in names), names)
    for name in names[:10]:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    (tmp_path / names[11]).unlink()
    with pytest.raises(EdgeError) as raised:
        pixels_from_cells(labelled.cells, 24, tmp_path / "cache")
    said = str(raised.value)
    assert code_of(raised) == "MDSE-TRAIN-017"
    assert "11 faults" in said
    assert "0.jpg" in said
    assert "MDSE-IMAGE-" in said
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_type_without_training_cells_and_one_without_validation_cells_are_named_together(tmp_path):
    names = names_of_split("training", 2)
    labelled = read(tmp_path, "file,cell_type\n" + "".join(f"{name},SNE\n" for name in names), names)
    with pytest.raises(EdgeError) as raised:
        require_trainable(labelled, CATALOGUE, allow_missing_types=False)
    assert code_of(raised) == "MDSE-TRAIN-017"
    assert "MDSE-TRAIN-005" in str(raised.value)
    assert "MDSE-TRAIN-006" in str(raised.value)


def test_the_same_bytes_under_two_types_are_refused(tmp_path):
    labelled = read(tmp_path, "file,cell_type\na.jpg,SNE\nb.jpg,LY\n", ["a.jpg", "b.jpg"])
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    with pytest.raises(EdgeError) as raised:
        pixels_from_cells(labelled.cells, 24)
    assert code_of(raised) == "MDSE-TRAIN-003"


def test_the_real_labels_hold_eleven_types_with_hundreds_of_cells(real_cells_dir):
    labelled = read_labelled_cells([(real_cells_dir, "real")], CATALOGUE)
    frequent = {code for code, count in labelled.counts("training").items() if count > 200}
    assert frequent == {"SNE", "BNE", "MMY", "MY", "PMY", "LY", "MO", "EO", "BA", "LP", "ERB"}
    assert any("151 rows left out: no cell type" in notice for notice in labelled.notices)


def test_a_cache_that_a_power_cut_left_in_part_is_named_with_its_remedy(tmp_path):
    labelled = read(tmp_path, "file,cell_type\na.jpg,SNE\n", ["a.jpg"])
    cache = tmp_path / "cache"
    pixels_from_cells(labelled.cells, 24, cache)
    (cached,) = cache.iterdir()
    whole = cached.read_bytes()
    for kept in (0, 5, len(whole) // 2):
        cached.write_bytes(whole[:kept])
        with pytest.raises(EdgeError, match=cached.name) as raised:
            pixels_from_cells(labelled.cells, 24, cache)
        assert code_of(raised) == "MDSE-TRAIN-007"


def test_cached_pixels_are_on_the_disk_before_they_have_their_name(tmp_path, monkeypatch):
    labelled = read(tmp_path, "file,cell_type\na.jpg,SNE\n", ["a.jpg"])
    names_at_flush = []
    flush = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (names_at_flush.append(list((tmp_path / "c").iterdir())), flush(handle))
    )
    pixels_from_cells(labelled.cells, 24, tmp_path / "c")
    assert [[path.suffix for path in names] for names in names_at_flush] == [[".part"]]
