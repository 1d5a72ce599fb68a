"""What is wrong in a request is said at once: before the network is opened, and by a dry run as well."""

from __future__ import annotations

import json

import pytest

from convert.commands.convert import main as convert_main
from convert.commands.validate import main as validate_main
from convert.conversion_request import ConversionRequest, preflight
from edge.errors import EdgeError


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model file, which a preflight does not read, and a folder to run in."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "model.keras").write_bytes(b"not opened")
    return tmp_path / "model.keras"


def refused(model, out, **options):
    with pytest.raises(EdgeError) as error:
        preflight(ConversionRequest(model=model, out=out, **options))
    return error.value


def bundle_at(out):
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    return out


NO_NAMES = ("my bundle", "Gr\u00f6\u00dfe", "", ".hidden", "a/b", "n" * 65)


@pytest.mark.parametrize("given", NO_NAMES)
def test_a_name_or_version_that_no_bundle_can_have_is_refused(model, tmp_path, given):
    for option in ("name", "version"):
        error = refused(model, tmp_path / "bundle", **{option: given})
        assert (error.code, error.where, error.exit_status) == ("MDSE-CONVERT-045", f"--{option}", 2)
        model.with_suffix(".card.json").write_text(json.dumps({option: given}))
        error = refused(model, tmp_path / "bundle")
        assert (error.code, error.where) == ("MDSE-CONVERT-045", str(tmp_path / "model.card.json"))
        model.with_suffix(".card.json").unlink()


def test_the_file_name_of_a_model_without_a_card_is_refused_where_no_bundle_can_have_it(model, tmp_path):
    foreign = model.rename(tmp_path / "Gr\u00f6\u00dfe.keras")
    error = refused(foreign, tmp_path / "bundle")
    assert (error.code, error.where) == ("MDSE-CONVERT-045", str(foreign))
    assert "--name" in error.remedy
    assert preflight(ConversionRequest(model=foreign, out=tmp_path / "bundle", name="size-1")).card.name == "size-1"


GATES = {"blast_review_share": 0.01, "blast_not_evaluable_share": 0.2, "infection_rate": {}}


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"intended_use": "trial"}, "intended_use: "),
        ({"evidence": {"SNE": "some"}}, "evidence.SNE: "),
        ({"decision": {"finding_threshold": {"NE01": 2}}}, "decision.finding_threshold.NE01: "),
        ({"decision": {"gates": {}}}, "decision.gates.blast_review_share: "),
        ({"decision": {"gates": {**GATES, "blast_review_share": 0.9}}}, "blast_review_share is above"),
        ({"decision": {"gates": {**GATES, "infection_rate": {"NE99": 0.1}}}}, "unknown finding NE99"),
    ],
)
def test_a_card_whose_entries_no_manifest_takes_is_refused_with_the_entry(model, tmp_path, card, words):
    model.with_suffix(".card.json").write_text(json.dumps(card))
    error = refused(model, tmp_path / "bundle")
    assert error.code == "MDSE-CONVERT-012"
    assert words in error.text


def test_a_bundle_is_not_put_where_the_command_runs_nor_where_no_folder_is_named(model, tmp_path, monkeypatch):
    for out in (".", "..", "/", "../work/.."):
        error = refused(model, type(model)(out), replace=True)
        assert error.code == "MDSE-CONVERT-041"
        assert "the name of a folder" in error.text
    assert "runs inside" in refused(model, tmp_path / "work").text
    (bundle_at(tmp_path / "old") / "plans").mkdir()
    monkeypatch.chdir(tmp_path / "old" / "plans")
    assert "runs inside" in refused(model, tmp_path / "old", replace=True).text
    assert preflight(ConversionRequest(model=model, out=type(model)("../../new")))


def test_the_page_is_refused_in_the_bundle_and_in_a_folder_that_is_not_there(model, tmp_path):
    out, old = tmp_path / "bundle", bundle_at(tmp_path / "old")
    (tmp_path / "link").symlink_to(old)
    for bundle, page, words in (
        (out, out / "page.html", "inside of the bundle"),
        (out, out, "inside of the bundle"),
        (old, old / "page.html", "inside of the bundle"),
        (old, tmp_path / "link" / "page.html", "inside of the bundle"),
        (old, tmp_path / "work" / ".." / "old" / "page.html", "inside of the bundle"),
        (out, tmp_path / "none" / "page.html", "does not exist"),
        (out, tmp_path / "work", "this is a folder"),
    ):
        error = refused(model, bundle, replace=True, report=page)
        assert (error.code, error.where) == ("MDSE-CONVERT-041", str(page))
        assert words in error.text
        assert "--report" in error.remedy
    for page in (None, tmp_path / "page.html", tmp_path / "bundle.html", tmp_path / "old" / "page.html"):
        assert preflight(ConversionRequest(model=model, out=out, report=page))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "int8", "calibration_count": 63}, "at least 64"),
        ({"precision": "int8", "calibration_count": -5}, "at least 64"),
        ({"golden": "cells", "calibration_count": 31}, "at least 32"),
        ({"golden": "cells", "precision": "fp16", "calibration_count": -5}, "at least 32"),
        ({"calibration_count": 0}, "at least 1"),
    ],
)
def test_fewer_calibration_cells_than_the_steps_need_are_refused_before_the_folder_is_read(
    model, tmp_path, options, words
):
    error = refused(model, tmp_path / "bundle", cells=tmp_path / "cells", **options)
    assert (error.code, error.where) == ("MDSE-CONVERT-043", "--calibration-cells")
    assert words in error.text
    assert preflight(ConversionRequest(model=model, out=tmp_path / "b", cells=tmp_path / "cells", calibration_count=64))


@pytest.mark.parametrize("threads", ["0", "-1", "1.5"])
def test_a_number_of_threads_that_is_none_is_a_usage_error(model, tmp_path, threads, capsys):
    for command, arguments in (
        (convert_main, [str(model)]),
        (validate_main, [str(tmp_path), str(tmp_path), "--out", str(tmp_path / "report")]),
    ):
        with pytest.raises(SystemExit) as stopped:
            command([*arguments, f"--threads={threads}"])
        assert stopped.value.code == 2
        assert "no number from 1 on" in capsys.readouterr().err


@pytest.mark.parametrize("image", ["112", [112], 112, {"size": "112"}, {"size": [112]}])
def test_a_card_whose_image_is_of_another_form_is_refused_by_name(model, tmp_path, image):
    model.with_suffix(".card.json").write_text(json.dumps({"image": image}))
    error = refused(model, tmp_path / "bundle")
    assert (error.code, error.where) == ("MDSE-CONVERT-012", str(tmp_path / "model.card.json"))
    assert "image" in error.text
