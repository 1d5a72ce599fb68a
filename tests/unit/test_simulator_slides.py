"""The simulated analyzer exports slides the way analyzers and copies do."""

from __future__ import annotations

import csv
import hashlib
import json
from itertools import islice
from xml.etree import ElementTree

import numpy as np
import pytest

from convert.dataset import read_labelled_cells
from edge.catalogue import load_catalogue
from edge.errors import EdgeError
from edge.images import decode_image
from edge.simulator.analyzer import deliver_late_files, prepare_export_root, write_slide
from edge.simulator.cell_sources import DrawnCells, open_labelled_cells
from edge.simulator.films import Film, FilmCell
from edge.simulator.scene import random_look
from edge.simulator.slide_metadata import SlideFacts
from edge.simulator.slide_series import plan_slides, write_truth
from edge.slide import read_slide

FILM = Film("MDS", (FilmCell("SNE", ("NE04",)), FilmCell("LY", ()), FilmCell("BL", ()), FilmCell("LP", ("PL01",))))
SMALL = DrawnCells(size_px=96)


def export(root, **options):
    options = {"source": SMALL, "rng": np.random.default_rng(1), **options}
    return write_slide(FILM, root, "S1", "0042", **options)


def names_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_slide_is_a_folder_of_whole_pictures_with_metadata_and_marker(tmp_path):
    slide = export(tmp_path)
    assert names_below(slide.folder) == [".complete", "slide.json", *(f"wbc/{n:04d}.jpg" for n in range(1, 5))]
    assert slide.cell_paths == tuple(f"wbc/{n:04d}.jpg" for n in range(1, 5))
    for path in slide.cell_paths:
        assert decode_image((slide.folder / path).read_bytes(), where=path).shape == (96, 96, 3)


def test_the_metadata_says_simulated_keeps_leading_zeros_and_lists_every_file(tmp_path):
    slide = export(tmp_path, facts=SlideFacts("0042", patient_id="P1", acquired_at="2026-11-23T18:00:00+09:00"))
    document = json.loads((slide.folder / "slide.json").read_text())
    assert document["analyzer"]["model"] == "SIMULATED DI-60"
    assert document["sample_id"] == "0042"
    assert document["acquired_at"] == "2026-11-23T18:00:00+09:00"
    assert document["expected"] == {"wbc": 4}
    for entry in document["files"]:
        data = (slide.folder / entry["name"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_xml_and_csv_metadata_carry_the_same_facts(tmp_path):
    xml = export(tmp_path / "x", metadata="xml")
    root = ElementTree.parse(xml.folder / "slide.xml").getroot()  # noqa: S314  # our own file
    assert root.findtext("sample_id") == "0042"
    assert root.findtext("analyzer/model") == "SIMULATED DI-60"
    assert len(root.findall("files/file")) == 4
    table = export(tmp_path / "c", metadata="csv")
    facts = dict(csv.reader((table.folder / "slide.csv").read_text().splitlines()))
    assert facts["sample_id"] == "0042"
    assert facts["expected.wbc"] == "4"
    bare = export(tmp_path / "n", metadata="none", marker=None)
    assert names_below(bare.folder) == [f"wbc/{n:04d}.jpg" for n in range(1, 5)]


@pytest.mark.parametrize("metadata", ["json", "xml", "csv"])
def test_the_reader_of_slides_finds_every_fact_in_every_format(tmp_path, metadata):
    facts = SlideFacts("0042", "P1", "ORD-7", slide_no=2, slide_count=2, acquired_at="2026-11-23T18:00:00+09:00")
    slide = read_slide(export(tmp_path, metadata=metadata, facts=facts).folder)
    assert (slide.sample_id, slide.patient_id, slide.order_id, slide.slide_no) == ("0042", "P1", "ORD-7", 2)
    assert slide.acquired_at == "2026-11-23T18:00:00+09:00"
    assert slide.analyzer.model == "SIMULATED DI-60"
    assert slide.targets == ("mds_aa",)
    assert slide.expected_wbc == len(slide.cell_files) == 4
    assert slide.warnings == ()


def test_an_atomic_export_is_never_seen_half_done(tmp_path):
    seen = []
    slide = export(tmp_path, how="atomic", wait=lambda _: seen.append((tmp_path / "S1").exists()))
    assert seen == [False]
    assert slide.folder.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["S1"]


def test_a_slow_copy_shows_half_files_and_the_marker_comes_last(tmp_path):
    states = []

    def look(_):
        folder = tmp_path / "S1"
        sizes = {path: (folder / path).stat().st_size for path in names_below(folder)} if folder.exists() else {}
        states.append(sizes)

    slide = export(tmp_path, how="slow-copy", pause_s=1.0, wait=look)
    final = {path: (slide.folder / path).stat().st_size for path in names_below(slide.folder)}
    partial = {path for state in states for path, size in state.items() if 0 < size < final[path]}
    assert partial >= set(slide.cell_paths), "every picture was once half there"
    whole = export(tmp_path / "whole", how="atomic").folder
    for path in slide.cell_paths:
        assert (slide.folder / path).read_bytes() == (whole / path).read_bytes(), "the copy ended with other bytes"
    for state in states[:-1]:
        assert ".complete" not in state
    assert all(states[-1].get(path) == final[path] for path in slide.cell_paths), "the marker came before a file"


def test_with_a_marker_every_file_is_there_before_the_marker(tmp_path):
    counts = []
    export(tmp_path, how="marker", pause_s=1.0, wait=lambda _: counts.append(len(names_below(tmp_path))))
    assert counts == [0, 1, 2, 3, 4, 5]


def test_a_truncated_file_is_cut_and_the_list_still_tells_its_true_size(tmp_path):
    slide = export(tmp_path, truncated_file=2)
    data = (slide.folder / slide.cell_paths[2]).read_bytes()
    listed = json.loads((slide.folder / "slide.json").read_text())["files"][2]["bytes"]
    assert len(data) < listed
    with pytest.raises(EdgeError, match="MDSE-IMAGE"):
        decode_image(data, where="cut")


def test_late_files_are_held_back_until_they_are_delivered(tmp_path):
    slide = export(tmp_path, late_files=2)
    assert [path in names_below(slide.folder) for path in slide.cell_paths] == [True, True, False, False]
    assert ".complete" in names_below(slide.folder)
    deliver_late_files(slide)
    assert set(slide.cell_paths) <= set(names_below(slide.folder))


def test_a_slide_is_never_written_over(tmp_path):
    export(tmp_path)
    before = {path: (tmp_path / "S1" / path).read_bytes() for path in names_below(tmp_path / "S1")}
    with pytest.raises(EdgeError, match="MDSE-SIM-009"):
        export(tmp_path, rng=np.random.default_rng(2))
    assert before == {path: (tmp_path / "S1" / path).read_bytes() for path in names_below(tmp_path / "S1")}


def test_facts_of_another_sample_are_refused(tmp_path):
    with pytest.raises(EdgeError, match="MDSE-SIM-009"):
        export(tmp_path, facts=SlideFacts("0043"))
    assert not (tmp_path / "S1").exists()


@pytest.fixture
def labelled(tmp_path):
    folder = tmp_path / "labelled"
    folder.mkdir()
    pictures = {"a.jpg": b"lymphocyte one", "b.jpg": b"degranulated neutrophil", "c.jpg": b"plain neutrophil"}
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    (folder / "labels.csv").write_text(
        "file,cell_type,NE04,NE01\na.jpg,LY,,\nb.jpg,SNE,1,0\nc.jpg,SNE,0,\nmissing-type.jpg,,,\n", encoding="utf-8"
    )
    return folder


def test_real_cells_are_copied_byte_for_byte_and_what_is_missing_is_drawn_and_told(tmp_path, labelled):
    slide = export(tmp_path, source=open_labelled_cells(labelled))
    contents = [(slide.folder / path).read_bytes() for path in slide.cell_paths]
    assert contents[:2] == [b"degranulated neutrophil", b"lymphocyte one"]
    assert contents[2].startswith(b"\xff\xd8")
    assert slide.origins == {"labelled": 2, "drawn: no labelled BL": 1, "drawn: no labelled LP": 1}


def test_a_finding_that_no_real_cell_carries_is_drawn_and_told(labelled):
    source = open_labelled_cells(labelled)
    film = Film("MDS", (FilmCell("SNE", ("NE01",)),))
    look, rng = random_look(np.random.default_rng(0)), np.random.default_rng(0)
    (supplied,) = source.supply(film.cells, look, rng)
    assert (supplied.origin, supplied.drawn_because) == ("drawn", "no labelled SNE with NE01")
    (plain,) = source.supply((FilmCell("SNE", ()),), look, rng)
    assert plain.data == b"plain neutrophil", "a cell with an annotated finding was passed off as plain"


def test_no_labelled_picture_stands_twice_on_a_slide(labelled, tmp_path):
    film = Film("AA", (FilmCell("LY", ()), FilmCell("LY", ()), FilmCell("LY", ())))
    slide = write_slide(film, tmp_path, "S3", "1", source=open_labelled_cells(labelled), rng=np.random.default_rng(1))
    assert slide.origins == {"labelled": 1, "drawn: no further labelled LY": 2}
    assert len({(slide.folder / path).read_bytes() for path in slide.cell_paths}) == 3


def test_a_split_keeps_only_its_own_cells(labelled):
    every = open_labelled_cells(labelled).counts
    splits = {"a.jpg": 0, "b.jpg": 2, "c.jpg": 2}  # byte 0 of sha256(name) modulo 8
    for split, remainders in (("test", {0, 1}), ("validation", {2}), ("training", {3, 4, 5, 6, 7})):
        wanted = sum(remainder in remainders for remainder in splits.values())
        if wanted:
            assert sum(open_labelled_cells(labelled, split=split).counts.values()) == wanted
        else:
            with pytest.raises(EdgeError, match="MDSE-SIM-006"):
                open_labelled_cells(labelled, split=split)
    assert every == {"LY": 1, "SNE": 2}


def test_a_patient_who_is_named_keeps_all_cells_in_the_split_that_training_gives_them(tmp_path):
    rows = [(f"p{patient}_{cell}.jpg", f" P{patient:03d} ") for patient in range(12) for cell in range(4)]
    rows += [(f"nobody_{cell}.jpg", "") for cell in range(12)]
    for name, _ in rows:
        (tmp_path / name).write_bytes(name.encode())
    lines = [f"{name},SNE,{patient}" for name, patient in rows]
    (tmp_path / "labels.csv").write_text("\n".join(["file,cell_type,patient", *lines]), encoding="utf-8")
    trained = read_labelled_cells([(tmp_path, "real")], load_catalogue())
    film = Film("AA", (FilmCell("SNE", ()),) * len(rows))
    for split in ("training", "validation", "test"):
        rng = np.random.default_rng(0)
        supplied = open_labelled_cells(tmp_path, split=split).supply(film.cells, random_look(rng), rng)
        used = {cell.data.decode() for cell in supplied if cell.origin == "labelled"}
        assert used == {cell.path.name for cell in trained.of(split)}, split


def test_labels_that_a_spreadsheet_has_saved_are_read_as_training_reads_them(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "labels.csv").write_text("\ufefffile,cell_type\na.jpg,SNE\n", encoding="utf-8")
    assert open_labelled_cells(tmp_path).counts == {"SNE": 1}


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(EdgeError, match="MDSE-SIM-006"):
        open_labelled_cells(tmp_path)


def test_real_cells_of_every_type_reach_a_slide_unchanged(real_cells_dir, tmp_path):
    source = open_labelled_cells(real_cells_dir, split="test")
    film = Film("AA", tuple(FilmCell(code, ()) for code in source.counts))
    slide = write_slide(film, tmp_path, "S2", "77", source=source, rng=np.random.default_rng(3))
    assert slide.origins == {"labelled": len(film.cells)}
    for path in slide.cell_paths:
        assert min(decode_image((slide.folder / path).read_bytes(), where=path).shape[:2]) > 300


def test_a_series_gives_every_patient_one_kind_and_every_slide_its_own_key():
    slides = list(islice(plan_slides("mixed", (100, 120), 5), 200))
    assert len({slide.slide_key for slide in slides}) == 200
    kinds: dict[str, set[str]] = {}
    for slide in slides:
        kinds.setdefault(slide.facts.patient_id, set()).add(slide.film.kind)
        assert 100 <= len(slide.film.cells) <= 120
    assert all(len(kind) == 1 for kind in kinds.values())
    assert {next(iter(kind)) for kind in kinds.values()} == {"MDS", "AA", "NORMAL"}
    assert len(kinds) < 200, "some patients have two slides"


def test_series_of_different_seeds_share_no_patient_and_the_same_seed_repeats():
    first, again, other = ([*islice(plan_slides("aa", (10, 12), seed), 9)] for seed in (1, 1, 2))
    assert first == again
    assert not {slide.facts.sample_id for slide in first} & {slide.facts.sample_id for slide in other}


def test_the_tables_of_truth_name_every_slide_and_every_cell(tmp_path):
    prepare_export_root(tmp_path)
    slides = [export(tmp_path, facts=SlideFacts("0042", patient_id="P1"))]
    slides_path, truth_path = write_truth(tmp_path, slides)
    assert slides_path.read_text() == "slide,patient,mds_aa\nS1,P1,MDS\n"
    rows = list(csv.DictReader(truth_path.read_text().splitlines()))
    assert [(row["cell_type"], row["findings"]) for row in rows] == [
        ("SNE", "NE04"),
        ("LY", ""),
        ("BL", ""),
        ("LP", "PL01"),
    ]
    assert (tmp_path / ".export_root").is_file()


def test_a_second_series_keeps_the_rows_of_the_first_in_the_tables_of_truth(tmp_path):

    def export(seed):
        planned = next(plan_slides("mds", (3, 3), seed))
        rng = np.random.default_rng(planned.seed)
        source = DrawnCells(size_px=64)
        return write_slide(
            planned.film,
            tmp_path,
            planned.slide_key,
            planned.facts.sample_id,
            source=source,
            rng=rng,
            facts=planned.facts,
        )

    first, second = export(1), export(2)
    write_truth(tmp_path, [first])
    write_truth(tmp_path, [second])
    write_truth(tmp_path, [second])
    slides = (tmp_path / "slides.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in slides] == ["slide", first.slide_key, second.slide_key]
    assert len((tmp_path / "truth.csv").read_text(encoding="utf-8").splitlines()) == 1 + 3 + 3
