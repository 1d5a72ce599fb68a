"""edge-validate as a person runs it: drawn cells and slides, the shipped bundle, a Keras model, and mistakes."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest

from convert.commands.validate import main
from convert.evaluation.question_labels import read_slide_tables
from convert.evaluation.slides import evaluate_slides
from edge.bundle.reader import open_bundle
from edge.commands.analyzer_simulator import main as simulate
from edge.model import open_model
from edge.simulator.labelled_folder import write_labelled_cells

BUNDLE = Path(__file__).parents[2] / "edge" / "demo" / "bundle"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "validation.schema.json").read_text(encoding="utf-8"))
SIX_TYPES = ("SNE", "BNE", "LY", "ERB", "LP", "BL")


@dataclass(frozen=True)
class Done:
    """How a run ended: status, standard output, standard error."""

    returncode: int
    stdout: str
    stderr: str


def validate(*arguments: object) -> Done:
    """Run the command in this process: starting TensorFlow anew for every mistake would cost minutes."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Done(status, output.getvalue(), errors.getvalue())


def rewrite_labels(folder: Path, change) -> None:
    path = folder / "labels.csv"
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    rows = [change(index, row) for index, row in enumerate(rows)]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_labelled_cells(folder, 96, 5, types=SIX_TYPES, size_px=128)
    rewrite_labels(folder, lambda index, row: {**row, "preclass": row["cell_type"] if index % 3 else "Unidentified"})
    return folder


@pytest.fixture(scope="module")
def report(drawn, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "drawn"
    done = validate(BUNDLE, drawn, "--split", "all", "--preclass", "--robustness", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "SIMULATED" in done.stdout
    return out


@pytest.fixture(scope="module")
def document(report) -> dict:
    return json.loads((report / "validation.json").read_text(encoding="utf-8"))


def test_the_validation_keeps_its_schema(document):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA)


def test_drawn_cells_given_as_real_ones_are_found_out_and_stand_beside_no_published_figure(document, report):
    assert document["simulated"] is True
    assert any("named drawn-" in notice for notice in document["notices"])
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED: drawn or composed by a program" in page
    assert "paper sens." not in page


def test_the_counts_are_those_of_the_folder(document):
    assert document["n"] == 96
    assert {code: row["n"] for code, row in document["cell_types"].items()} == dict.fromkeys(SIX_TYPES, 16)
    assert sum(map(sum, document["confusion"]["counts"])) == 96
    assert all(sum(row.values()) == 16 for code, row in document["counts"].items() if code in SIX_TYPES)


def test_the_comparison_with_the_analyzer_counts_its_class_outside_the_catalogue_as_wrong(document):
    assert document["preclass"]["outside_catalogue"] == {"Unidentified": 32}
    assert document["preclass"]["analyzer"]["accuracy"] == pytest.approx(64 / 96, abs=1e-4)


def test_cells_that_the_limits_of_the_bundle_withhold_are_counted(document):
    withheld = document["withheld"]
    assert withheld["n"] == 96
    of_types = sum(row["withheld"] for row in withheld["cell_types"].values())
    assert of_types == withheld["unidentified"] + withheld["out_of_distribution"]


def test_every_change_of_the_images_is_measured(document):
    assert len(document["robustness"]["changes"]) == 10
    recalls = {row["macro_recall"] for row in document["robustness"]["changes"].values()}
    assert len(recalls) > 1, "ten changes that all give the same recall were not made"


def test_the_report_is_one_file_that_fetches_nothing_and_runs_nothing(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page) == []
    assert page.count("data:image/svg+xml;base64,") == len(list((report / "figures").glob("*.svg"))) == 3


def test_the_same_cells_give_the_same_figures_and_pictures_again(drawn, report, document, tmp_path):
    again = tmp_path / "again"
    assert validate(BUNDLE, drawn, "--split", "all", "--out", again).returncode == 0
    repeated = json.loads((again / "validation.json").read_text(encoding="utf-8"))
    kept = {name: value for name, value in repeated.items() if name != "made_at"}
    assert kept == {name: document[name] for name in kept}
    for picture in (again / "figures").iterdir():
        assert picture.read_bytes() == (report / "figures" / picture.name).read_bytes(), picture.name


def test_a_report_is_replaced_only_when_it_is_asked_for_and_nothing_else_ever_is(drawn, report, tmp_path):
    refused = validate(BUNDLE, drawn, "--out", report)
    assert (refused.returncode, "MDSE-VALIDATE-001" in refused.stderr) == (2, True)
    (tmp_path / "letters").write_text("mine", encoding="utf-8")
    refused = validate(BUNDLE, drawn, "--replace", "--out", tmp_path)
    assert (refused.returncode, "MDSE-VALIDATE-001" in refused.stderr) == (2, True)
    assert (tmp_path / "letters").read_text(encoding="utf-8") == "mine"


def test_a_keras_model_is_validated_without_a_bundle_and_beside_one(drawn, tmp_path):
    from convert.network import build_network
    from edge.catalogue import load_catalogue

    path = tmp_path / "tiny.keras"
    catalogue = load_catalogue()
    counts = dict(type_count=len(catalogue.cell_types), finding_count=len(catalogue.findings))
    build_network(size_px=32, width=0.03, **counts).save(path)
    done = validate(path, drawn, "--split", "all", "--no-embedding", "--json", "--out", tmp_path / "alone")
    assert done.returncode == 0, done.stderr
    alone = json.loads(done.stdout)
    assert alone["model"]["kind"] == "keras"
    assert any("no card" in notice for notice in alone["notices"])
    beside = tmp_path / "beside"
    done = validate(BUNDLE, drawn, "--split", "all", "--no-embedding", "--model", path, "--out", beside)
    assert done.returncode == 0, done.stderr
    original = json.loads((beside / "validation.json").read_text(encoding="utf-8"))["original"]
    assert (original["model"], original["n"]) == (alone["model"], alone["n"])
    assert original["top1_agreement"] < 0.9, "an untrained network cannot agree with a trained one"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    for kind, seed in (("mds", 31), ("aa", 32)):
        command = ["slides", "--out", folder, "--kind", kind, "--count", 3, "--seed", seed]
        command += ["--cells-per-slide", "80-80", "--labels", "--atomic"]
        assert simulate([str(word) for word in command]) == 0
    return folder


def test_slides_run_through_the_deployed_pipeline_and_shap_agrees_with_it(cohort, tmp_path):
    training = tmp_path / "training.csv"
    training.write_text("slide,patient,mds_aa\nX_S1,SOMEBODY,MDS\n", encoding="utf-8")
    out = tmp_path / "report"
    done = validate(BUNDLE, "--slides", cohort, "--trained-on", training, "--out", out)
    assert done.returncode == 0, done.stderr
    document = json.loads((out / "validation.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, SCHEMA)
    found = document["slides"]["mds_aa"]
    assert (found["n_positive"], found["n_negative"], found["simulated"]) == (3, 3, True)
    assert sum(sum(row.values()) for row in found["calls"].values()) == 6
    assert found["scored"] >= 2
    assert found["shap"]["largest_difference"] <= found["shap"]["tolerance"]
    assert "paper" not in found
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Fig. 3" in page
    assert "Fig. 4" in page


def test_the_full_score_of_a_slide_is_the_rounded_one_of_its_record(cohort):
    model, bundle = open_model(BUNDLE, public_key=None, threads=1), open_bundle(BUNDLE, public_key=None)
    tables = read_slide_tables(cohort, cohort / "slides.csv", model.assessments, print)
    results = evaluate_slides(tables, model, lambda target: bundle.read(f"trees/{target}/model.json"), None)
    scored = [case for case in results["mds_aa"].cases if case.scored]
    assert len(scored) >= 2
    assert [round(case.score, 4) for case in scored] == [case.assessment["score"] for case in scored]
    assert any(case.score != case.assessment["score"] for case in scored)
    model.close()


def test_a_patient_on_both_sides_is_refused_by_name(cohort, tmp_path):
    done = validate(BUNDLE, "--slides", cohort, "--trained-on", cohort / "slides.csv", "--out", tmp_path / "r")
    assert done.returncode == 2
    assert "MDSE-VALIDATE-007" in done.stderr
    assert "SIMPAT" in done.stderr
    assert not (tmp_path / "r").exists()


def test_slide_folders_that_are_not_there_are_named_together_before_a_cell_is_computed(
    cohort, drawn, tmp_path, monkeypatch
):
    def no_cell(*_, **__):
        raise AssertionError("a cell was computed")

    monkeypatch.setattr("convert.evaluation.validation.predict", no_cell)
    table = tmp_path / "slides.csv"
    table.write_text("slide,patient,mds_aa\nGONE1,A,MDS\nGONE2,B,AA\n", encoding="utf-8")
    options = ("--split", "all", "--slides", cohort, "--slide-labels", table, "--out", tmp_path / "r")
    done = validate(BUNDLE, drawn, *options)
    assert done.returncode == 2, done.stderr
    assert all(word in done.stderr for word in ("MDSE-TRAIN-014", "GONE1", "GONE2", "no such folder"))


def test_a_table_without_the_question_of_the_bundle_says_which_columns_it_has(cohort, tmp_path):
    table = tmp_path / "slides.csv"
    table.write_text("slide,patient,aml\nX,Y,yes\n", encoding="utf-8")
    done = validate(BUNDLE, "--slides", cohort, "--slide-labels", table, "--out", tmp_path / "r")
    assert done.returncode == 2
    assert "MDSE-VALIDATE-006" in done.stderr
    assert "mds_aa" in done.stderr
    assert "aml" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to validate on"),
        (["--robustness", "--slides", "somewhere"], "--robustness needs a folder"),
        (["{drawn}", "--trained-on", "x.csv"], "need --slides"),
        (["{empty}"], "MDSE-TRAIN-001"),
        (["{drawn}", "--labels", "other.csv"], "MDSE-TRAIN-001"),
        (["{drawn}", "--scaling", "0..1"], "give one, as BUNDLE or with --model"),
    ],
)
def test_a_mistake_in_the_command_is_said_before_any_work(arguments, said, drawn, tmp_path):
    (tmp_path / "empty").mkdir()
    given = [text.format(drawn=drawn, empty=tmp_path / "empty") for text in arguments]
    done = validate(BUNDLE, *given, "--out", tmp_path / "r")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "r").exists()


def test_an_unreadable_image_and_a_cell_of_two_types_are_named_and_no_report_is_written(drawn, tmp_path):
    folder = tmp_path / "cells"
    shutil.copytree(drawn, folder)
    (victim,) = sorted((folder / "LY").iterdir())[:1]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    done = validate(BUNDLE, folder, "--split", "all", "--out", tmp_path / "r")
    assert (done.returncode, victim.name in done.stderr, "MDSE-TRAIN-021" in done.stderr) == (2, True, True)
    assert "MDSE-IMAGE" in done.stderr
    (second,) = sorted((folder / "BL").iterdir())[:1]
    kept = second.read_bytes()
    second.write_bytes(b"")
    done = validate(BUNDLE, folder, "--split", "all", "--out", tmp_path / "r")
    assert (done.returncode, "2 faults" in done.stderr) == (2, True)
    assert victim.name in done.stderr
    assert second.name in done.stderr
    second.write_bytes(kept)
    (other,) = sorted((folder / "SNE").iterdir())[:1]
    victim.write_bytes(other.read_bytes())
    done = validate(BUNDLE, folder, "--split", "all", "--out", tmp_path / "r")
    assert (done.returncode, "MDSE-TRAIN-003" in done.stderr, victim.name in done.stderr) == (2, True, True)
    assert not (tmp_path / "r").exists()


def test_a_split_without_cells_is_an_error_and_not_an_empty_report(drawn, tmp_path):
    folder = tmp_path / "few"
    shutil.copytree(drawn, folder)
    from convert.dataset import split_from_key

    rows = list(csv.DictReader((drawn / "labels.csv").read_text(encoding="utf-8").splitlines()))
    trained = [row for row in rows if split_from_key(Path(row["file"]).name) == "training"]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(trained)
    done = validate(BUNDLE, folder, "--out", tmp_path / "r")
    assert (done.returncode, "MDSE-VALIDATE-002" in done.stderr) == (2, True)
    done = validate(BUNDLE, folder, "--probes", "--split", "all", "--out", tmp_path / "r")
    assert (done.returncode, "MDSE-VALIDATE-003" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Cells of two patients: sixteen of one type from the first, nine of another from the second."""
    folder = tmp_path_factory.mktemp("few")
    write_labelled_cells(folder, 32, 6, types=("SNE", "LY"), size_px=128)
    rows = list(csv.DictReader((folder / "labels.csv").read_text(encoding="utf-8").splitlines()))
    kept = [{**row, "patient": "P1"} for row in rows if row["cell_type"] == "SNE"]
    kept += [{**row, "patient": "P2"} for row in [row for row in rows if row["cell_type"] == "LY"][:9]]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    return folder


def test_cells_of_two_patients_give_figures_without_intervals_and_a_note_that_says_why(few, tmp_path):
    done = validate(BUNDLE, few, "--split", "all", "--no-embedding", "--robustness", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "report" / "validation.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, SCHEMA)
    assert document["macro_recall"] is not None
    assert document["macro_recall_ci95"] is None
    assert any("fewer than 5 patients" in notice and "macro_recall" in notice for notice in document["notices"])
    assert "no interval: see the notes" in done.stdout
    assert "fewer than 5 patients" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_changes_of_images_have_no_cost_where_no_type_has_ten_cells(few, tmp_path):
    folder = tmp_path / "fewer"
    shutil.copytree(few, folder)
    rewrite_labels(folder, lambda index, row: {**row, "cell_type": row["cell_type"] if index > 7 else ""})
    done = validate(BUNDLE, folder, "--split", "all", "--no-embedding", "--robustness", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "report" / "validation.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, SCHEMA)
    assert {row["cost"] for row in document["robustness"]["changes"].values()} == {None}
    assert "no change has a cost" in done.stdout
