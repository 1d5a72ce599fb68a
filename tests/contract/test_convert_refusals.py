"""A conversion that stops late: nothing says more than is true, and what was there before is there after."""

from __future__ import annotations

import errno
import shutil

import pytest
from conversion_workshop import make_workshop, run

from convert import conversion, pack
from edge.bundle.reader import open_bundle
from edge.errors import EdgeError


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return make_workshop(tmp_path_factory.mktemp("workshop"))


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def refusing(code, **facts):
    def refuse(*_, **__):
        raise EdgeError(code, where="here", **facts)

    return refuse


def test_a_bundle_that_does_not_fit_on_the_disk_leaves_no_page_that_says_it_was_proved(
    workshop, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(pack, "_write_durably", full_disk)
    assert run(workshop, "--out", tmp_path / "bundle", "--precision", "fp32") == 75
    assert "MDSE-CONVERT-042" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_does_not_fit_on_the_disk_is_said_and_the_bundle_is_whole(workshop, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("convert.certificate.certificate_html", full_disk)
    assert run(workshop, "--out", tmp_path / "bundle", "--precision", "fp32") == 75
    message = capsys.readouterr().err
    assert "MDSE-CONVERT-046" in message
    assert "the bundle is complete" in message
    assert "parity.json" in open_bundle(tmp_path / "bundle", public_key=None)


def test_what_a_manifest_would_refuse_stops_a_dry_run_too(workshop, tmp_path, capsys):
    for options, code in (
        (("--name", "my bundle"), "MDSE-CONVERT-045"),
        (("--version", "1 beta"), "MDSE-CONVERT-045"),
        (("--report", tmp_path / "bundle" / "page.html"), "MDSE-CONVERT-041"),
    ):
        assert run(workshop, "--out", tmp_path / "bundle", "--dry-run", *options) == 2
        assert code in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step", "code", "facts", "compared_with_keras"),
    [
        ("require_pixels", "MDSE-PARITY-008", {"difference": "9", "tolerance": "1"}, False),
        ("require_keras_equality", "MDSE-PARITY-004", {"difference": "9", "limit": "1", "place": "at x"}, False),
        ("require_own_names", "MDSE-PARITY-009", {"exchanged": "LY -> MO -> LY"}, True),
        ("proved_models", "MDSE-PARITY-010", {"count": 1, "all": 2, "layers": "stem"}, True),
    ],
)
def test_a_refusal_before_the_engines_does_not_say_that_no_labelled_cells_were_given(
    workshop, tmp_path, monkeypatch, step, code, facts, compared_with_keras
):
    monkeypatch.setattr(conversion, step, refusing(code, **facts))
    assert run(workshop, "--out", tmp_path / "bundle", "--cells", workshop / "cells", "--precision", "fp32") == 3
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.certificate.html"]
    page = (tmp_path / "bundle.certificate.html").read_text()
    assert code in page
    assert "stopped before an engine was compared" in page
    assert ("difference of the written graph from Keras" in page) == compared_with_keras
    for untrue in ("labelled test cells", "No labelled cells", "engine does not decide", "none was"):
        assert untrue not in page, untrue


@pytest.mark.parametrize(
    ("step", "code", "facts"),
    [
        ("require_biases", "MDSE-PARITY-012", {"count": 1, "all": 2, "layers": "stem"}),
        ("compile_trees", "MDSE-PARITY-002", {"form": "library", "difference": "9", "rows": 1}),
    ],
)
def test_a_refusal_after_the_engines_says_that_none_of_them_was_refused(
    workshop, tmp_path, monkeypatch, step, code, facts
):
    monkeypatch.setattr(conversion, step, refusing(code, **facts))
    options = ("--cells", workshop / "cells", "--trees", f"mds_aa={workshop / 'trees.json'}", "--precision", "fp32")
    assert run(workshop, "--out", tmp_path / "bundle", *options) == 3
    page = (tmp_path / "bundle.certificate.html").read_text()
    assert code in page
    assert "The engines below were compared with the original on cells before, and none of them was refused." in page
    assert "openvino cpu fp32" in page
    assert "engine does not decide" not in page


def refuse_names(monkeypatch):
    monkeypatch.setattr(conversion, "require_own_names", refusing("MDSE-PARITY-009", exchanged="LY -> MO -> LY"))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_refused_replacement_leaves_the_page_of_the_bundle_that_stays(workshop, tmp_path, monkeypatch, capsys):
    options = ("--out", tmp_path / "bundle", "--cells", workshop / "cells", "--precision", "fp32")
    assert run(workshop, *options) == 0
    digest = open_bundle(tmp_path / "bundle", public_key=None).digest
    page = (tmp_path / "bundle.certificate.html").read_text()
    assert digest in page
    with monkeypatch.context() as refused:
        refuse_names(refused)
        assert run(workshop, *options, "--replace") == 3
    assert open_bundle(tmp_path / "bundle", public_key=None).digest == digest
    assert (tmp_path / "bundle.certificate.html").read_text() == page
    refusal = (tmp_path / "bundle.certificate.refused.html").read_text()
    assert "MDSE-PARITY-009" in refusal
    assert f"an earlier one, <code>{digest}</code>" in refusal
    assert "bundle.certificate.refused.html" in capsys.readouterr().err
    assert run(workshop, *options, "--replace") == 0
    assert names_in(tmp_path) == ["bundle", "bundle.certificate.html"]


def test_no_page_of_an_earlier_bundle_lies_beside_one_that_has_replaced_it(workshop, tmp_path, monkeypatch):
    options = ("--out", tmp_path / "bundle", "--precision", "fp32")
    assert run(workshop, *options) == 0
    with monkeypatch.context() as full:
        full.setattr("convert.certificate.certificate_html", full_disk)
        assert run(workshop, *options, "--replace") == 75
    assert names_in(tmp_path) == ["bundle"]
    assert run(workshop, *options) == 2


def test_an_earlier_bundle_that_cannot_be_removed_is_a_notice_and_the_new_one_is_complete(
    workshop, tmp_path, monkeypatch, capsys
):
    options = ("--out", tmp_path / "bundle", "--precision", "fp32")
    assert run(workshop, *options) == 0
    first = open_bundle(tmp_path / "bundle", public_key=None).digest
    remove = shutil.rmtree

    def refuse_the_earlier(path, *more, **options):
        if path.name.endswith(".replaced"):
            if not (options.get("ignore_errors") or more):
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return
        remove(path, *more, **options)

    monkeypatch.setattr(shutil, "rmtree", refuse_the_earlier)
    assert run(workshop, *options, "--version", "2", "--replace") == 0
    second = open_bundle(tmp_path / "bundle", public_key=None).digest
    assert second != first
    assert second in (tmp_path / "bundle.certificate.html").read_text()
    (left,) = tmp_path.glob(".bundle.*.partial.replaced")
    assert open_bundle(left, public_key=None).digest == first
    assert f"{left} is what is left of the earlier folder" in capsys.readouterr().out
