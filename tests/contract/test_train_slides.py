"""edge-train slides on folders of painted slides: trees, table and picture come out, or all that is wrong is named."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import os
import shutil

import numpy as np
import pytest
from bundles import bundle_contents, write_bundle, write_slide

from convert import slide_training
from convert.commands.train import main
from convert.tree_model import read_trained_trees
from edge.catalogue import load_catalogue
from edge.errors import EdgeError

COMMON = ["SNE"] * 12 + ["LY"] * 12 + ["MO"] * 2
MARKS = {"MDS": ["MY"] * 3 + ["LP"] * 4, "AA": ["LY"] * 6, "CML": ["BA"] * 5}
PATIENTS = 14


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    reference = {"network_sha256": "ab", "decision_sha256": {"card": "cd"}}
    contents = bundle_contents(**{"parity.json": json.dumps({"reference": reference}).encode()})
    return write_bundle(tmp_path_factory.mktemp("bundles") / "painted", contents, sign=False)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Fourteen patients of each class; the number of cells of a type differs from patient to patient."""
    root = tmp_path_factory.mktemp("slides")
    random = np.random.default_rng(0)
    rows = ["slide,patient,kind"]
    for number in range(3 * PATIENTS):
        label = list(MARKS)[number % 3]
        more = ["EO"] * int(random.integers(0, 6)) + ["BNE"] * int(random.integers(0, 9))
        write_slide(root / f"S{number}", [*COMMON, *MARKS[label], *more, *["ERB"] * number])
        rows.append(f"S{number},P{number},{label}")
    (root / "slides.csv").write_text("\n".join(rows) + "\n")
    return root


def arguments(slides, bundle, out, *extra):
    fixed = ["--target", "kind", "--minimum-wbc", "10", "--minimum-neutrophil", "4", "--repeats", "1", "--threads", "1"]
    chosen = ["--depth", "1", "--rounds", "20", "--monotone", "yes"]
    return ["slides", str(slides), "--bundle", str(bundle), "--out", str(out), *fixed, *chosen, *map(str, extra)]


def test_two_classes_leave_trees_report_table_picture_and_profiles(slides, bundle, tmp_path, capsys):
    options = ("--positive", "MDS", "--negative", "AA", "--leave-out", "CML", "--json")
    assert main(arguments(slides, bundle, tmp_path / "t.json", *options)) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert (figures["slides"], figures["patients"]) == (28, 28)
    assert figures["auc"] > 0.9  # the classes are painted apart
    assert "14 slides left out: kind is CML" in said.err
    assert "to go" in said.err or "done after" in said.err
    trees = read_trained_trees(tmp_path / "t.json", "kind", load_catalogue())
    assert (trees.assessment["positive"], trees.assessment["negative"]) == ("MDS", "AA")
    assert set(trees.files) == {"cohort.npz", "scope.npz"}
    assert (trees.network, trees.decision) == ("ab", {"card": "cd"}), "what the bundle says of itself"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"t.json", "t.report.json", "t.report.png", "t.out-of-fold.csv", "t.profiles.csv"}
    with (tmp_path / "t.out-of-fold.csv").open() as stream:
        assert {row["slide"] for row in csv.DictReader(stream)} == {
            f"S{number}" for number in range(3 * PATIENTS) if number % 3 < 2
        }


def test_three_classes_leave_one_model_each_and_what_the_highest_score_gets_right(slides, bundle, tmp_path, capsys):
    assert main(arguments(slides, bundle, tmp_path / "k.json", "--classes", "MDS,AA,CML")) == 0
    for label in ("MDS", "AA", "CML"):
        trees = read_trained_trees(tmp_path / f"k.{label}.json", f"kind_{label}", load_catalogue())
        assert (trees.assessment["positive"], trees.assessment["negative"]) == (label, "OTHER")
        assert trees.assessment["family"] == "kind"
    found = json.loads((tmp_path / "k.classes.json").read_text())
    assert found["slides"] == sum(count for row in found["confusion"].values() for count in row.values()) == 42
    assert found["macro_recall"] > 0.7
    assert "the class with the highest score is right" in capsys.readouterr().err


def test_films_of_neither_class_bound_the_question(slides, bundle, tmp_path):
    others = tmp_path / "others"
    rows = ["slide,patient"]
    for number in range(12):
        write_slide(others / f"N{number}", [*COMMON, *["SNE"] * (10 + number), *["EO"] * 3])
        rows.append(f"N{number},H{number}")
    (others / "slides.csv").write_text("\n".join(rows) + "\n")
    options = ("--positive", "MDS", "--negative", "AA", "--leave-out", "CML", "--others", others)
    assert main(arguments(slides, bundle, tmp_path / "t.json", *options)) == 0
    assert read_trained_trees(tmp_path / "t.json", "kind", load_catalogue()).assessment["scope"]["others_limit"]
    assert (tmp_path / "t.others1.profiles.csv").exists()
    report = json.loads((tmp_path / "t.report.json").read_text())
    assert report["scope_held_out"]["other_slides"] == 12
    assert report["scope_held_out"]["others_flagged"] > 0.8


@pytest.fixture
def damaged(slides, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(slides, copy)
    return copy


def refusal(damaged, bundle, capsys, *extra):
    options = ("--positive", "MDS", "--negative", "AA", "--leave-out", "CML", *extra)
    status = main(arguments(damaged, bundle, damaged / "t.json", *options))
    return status, capsys.readouterr().err


def test_all_folders_that_are_not_there_are_named_before_the_first_is_profiled(damaged, bundle, capsys):
    shutil.rmtree(damaged / "S0")
    shutil.rmtree(damaged / "S4")
    status, said = refusal(damaged, bundle, capsys)
    assert status == 2
    assert "MDSE-TRAIN-017" in said
    assert "2 faults" in said
    assert "S0" in said
    assert "S4" in said
    assert "profiled" not in said
    assert not (damaged / "t.json").exists()


def test_slides_that_the_runtime_rejects_stop_the_training_unless_they_may_be_left_out(damaged, bundle, capsys):
    for slide in ("S3", "S6"):
        for image in (damaged / slide / "wbc").iterdir():
            image.write_bytes(image.read_bytes()[:60])
    status, said = refusal(damaged, bundle, capsys)
    assert status == 2
    assert "MDSE-TRAIN-017" in said
    assert said.count("MDSE-SLIDE-008") == 2
    assert refusal(damaged, bundle, capsys, "--allow-unreadable")[0] == 0
    figures = json.loads((damaged / "t.report.json").read_text())["cross_validation"]
    assert figures["slides"] == 2 * PATIENTS - 2


def test_the_same_film_under_two_names_is_refused(damaged, bundle, capsys):
    for name in ("S0", "S3"):
        shutil.rmtree(damaged / name)
        write_slide(damaged / name, ["SNE"] * 30 + ["LY"] * 25 + ["EO"] * 5)
    status, said = refusal(damaged, bundle, capsys)
    assert status == 2
    assert "S0 and S3 hold the same cells" in said


def test_a_film_of_the_cohort_that_comes_again_among_the_others_is_refused(damaged, bundle, tmp_path, capsys):
    film = ["SNE"] * 30 + ["LY"] * 25 + ["EO"] * 5
    shutil.rmtree(damaged / "S0")
    write_slide(damaged / "S0", film)
    others = tmp_path / "others"
    rows = ["slide,patient"]
    for number in range(10):
        write_slide(others / f"N{number}", film if number == 4 else [*COMMON, *["SNE"] * (10 + number)])
        rows.append(f"N{number},H{number}")
    (others / "slides.csv").write_text("\n".join(rows) + "\n")
    status, said = refusal(damaged, bundle, capsys, "--others", str(others))
    assert status == 2
    assert "MDSE-TRAIN-014" in said
    assert f"{damaged / 'S0'} and {others / 'N4'} hold the same cells" in said
    assert not (damaged / "t.json").exists()


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["--positive", "MDS"],
        ["--positive", "MDS", "--negative", "MDS"],
        ["--classes", "MDS,AA"],
        ["--classes", "MDS,AA,AA"],
        ["--classes", "MDS,AA,CML", "--positive", "MDS"],
        ["--positive", "MDS", "--negative", "AA", "--repeats", "0"],
        ["--positive", "MDS", "--negative", "AA", "--specificity", "1.5"],
    ],
)
def test_a_question_that_cannot_be_meant_is_a_usage_error(slides, bundle, tmp_path, extra):
    with pytest.raises(SystemExit) as stopped:
        main(arguments(slides, bundle, tmp_path / "t.json", *extra))
    assert stopped.value.code == 2


CLASSES = ("--classes", "MDS,AA,CML")


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def earlier(slides, bundle, tmp_path_factory):
    """What a whole training left."""
    folder = tmp_path_factory.mktemp("earlier")
    assert main(arguments(slides, bundle, folder / "k.json", *CLASSES)) == 0
    return contents(folder)


@pytest.fixture
def folder(earlier, tmp_path):
    for name, data in earlier.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_a_place_that_cannot_be_written_is_refused_before_the_first_slide(
    slides, bundle, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(slide_training, "cohort_from_slides", full_disk)  # not reached
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.json").mkdir()
    for out in (tmp_path / "file" / "k.json", tmp_path / "folder.json"):
        assert main(arguments(slides, bundle, out, *CLASSES)) == 2
        assert f"MDSE-TRAIN-022 {out}:" in capsys.readouterr().err
    with (tmp_path / ".k.training").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(arguments(slides, bundle, tmp_path / "k.json", *CLASSES)) == 75
        assert f"MDSE-TRAIN-023 {tmp_path / 'k.json'}:" in capsys.readouterr().err


def test_a_class_that_is_refused_leaves_every_file_of_an_earlier_training(
    slides, bundle, earlier, folder, monkeypatch, capsys
):
    train = slide_training.train_assessment

    def refuse_second(cohort, training, say, **more):
        if training.positive == "AA":
            raise EdgeError("MDSE-TRAIN-016", where=training.target)
        return train(cohort, training, say, **more)

    monkeypatch.setattr(slide_training, "train_assessment", refuse_second)
    assert main(arguments(slides, bundle, folder / "k.json", *CLASSES, "--seed", "2")) == 2
    assert "MDSE-TRAIN-016" in capsys.readouterr().err
    assert contents(folder) == earlier


def test_a_disk_that_is_full_leaves_every_file_of_an_earlier_training(
    slides, bundle, earlier, folder, monkeypatch, capsys
):
    monkeypatch.setattr("convert.assessment_report.draw_assessment", full_disk)
    assert main(arguments(slides, bundle, folder / "k.json", *CLASSES, "--seed", "2")) == 75
    assert f"MDSE-TRAIN-024 {folder / 'k.json'}: it could not be written: No space left" in capsys.readouterr().err
    assert contents(folder) == earlier


def test_trees_never_lie_beside_files_of_another_training_whenever_the_power_fails(
    slides, bundle, earlier, folder, monkeypatch
):
    class PowerCutError(BaseException):
        """Stands for a process that ends there."""

    real, moved = os.replace, []

    def replace(path, target):
        if len(moved) == 3:
            raise PowerCutError
        moved.append(target.name)
        return real(path, target)

    monkeypatch.setattr(type(folder), "replace", replace)
    with pytest.raises(PowerCutError):
        main(arguments(slides, bundle, folder / "k.json", *CLASSES, "--seed", "2"))
    left = contents(folder)
    assert any(left[name] != data for name, data in earlier.items() if name in left)
    assert not {"k.MDS.json", "k.AA.json", "k.CML.json"} & set(left)
