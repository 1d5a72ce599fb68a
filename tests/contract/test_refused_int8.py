"""int8 that the certificate refuses: what is said, and the second int8 that is made where a layer can mend it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conversion_workshop import make_workshop, run

from convert import int8_agreement, int8_trial, parity_gates
from edge.bundle.reader import open_bundle


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return make_workshop(tmp_path_factory.mktemp("workshop"))


def test_a_refusal_ends_with_status_3_names_codes_and_layers_and_writes_nothing(
    workshop, tmp_path, capsys, monkeypatch
):
    coarse = int8_trial.qdq_from_onnx

    def clipped(model, ranges, **options):
        return coarse(model, {name: seen.scaled(np.float32(0.1)) for name, seen in ranges.items()}, **options)

    monkeypatch.setattr(int8_trial, "qdq_from_onnx", clipped)
    monkeypatch.setattr("convert.engine_proof.require_golden", lambda *_: (0.0, 0.0))
    monkeypatch.setattr("convert.code_parity.TYPE_TOLERANCE", 1e-6)
    options = ("--out", tmp_path / "bundle", "--cells", workshop / "cells", "--precision", "int8")
    assert run(workshop, *options) == 3
    message = capsys.readouterr().err
    assert "MDSE-PARITY-001" in message
    assert "% of" in message
    assert "dB)" in message
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.certificate.html"]
    page = (tmp_path / "bundle.certificate.html").read_text()
    assert "REFUSED" in page
    assert "MDSE-PARITY-001" in page
    assert "<svg" in page


def one_layer_rounded_badly(monkeypatch, layer):
    """The steps of one layer are far too coarse, and the cells that judge int8 before the proof do not show it."""
    right = int8_trial.qdq_from_onnx

    def coarse(model, ranges, **options):
        assert layer in ranges
        return right(model, {n: r.scaled(np.float32(24 if n == layer else 1)) for n, r in ranges.items()}, **options)

    monkeypatch.setattr(int8_trial, "qdq_from_onnx", coarse)
    monkeypatch.setattr(int8_agreement.Agreement, "passes", property(lambda _: True))
    monkeypatch.setattr("convert.engine_proof.require_golden", lambda *_: (0.0, 0.0))


def test_int8_that_the_certificate_refuses_is_made_once_more_with_the_layer_that_costs_most_in_floating_point(
    workshop, tmp_path, capsys, monkeypatch
):
    one_layer_rounded_badly(monkeypatch, "stem_relu")
    options = ("--out", tmp_path / "bundle", "--cells", workshop / "cells", "--precision", "int8")
    assert run(workshop, *options) == 0
    said = capsys.readouterr()
    assert "int8 once more, in floating point separable" in said.err
    assert "int8 with fewer such layers was refused" in said.out
    quantization = json.loads((tmp_path / "bundle" / "parity.json").read_text())["quantization"]
    assert quantization["float_layers"] == ["separable"]
    assert quantization["refused_before"]["float_layers"] == []
    assert any("mean_abs_dp_findings" in words for words in quantization["refused_before"]["worst"])
    page = (tmp_path / "bundle.certificate.html").read_text()
    assert "int8 leaves in floating point: separable." in page
    assert "Refused before, whole: " in page
    assert open_bundle(tmp_path / "bundle", public_key=None)


def test_without_a_search_int8_that_the_certificate_refuses_is_made_once(workshop, tmp_path, capsys, monkeypatch):
    one_layer_rounded_badly(monkeypatch, "stem_relu")
    options = ("--out", tmp_path / "bundle", "--cells", workshop / "cells", "--precision", "int8", "--no-search")
    assert run(workshop, *options) == 3
    assert "once more" not in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_int8_that_no_layer_in_floating_point_mends_is_refused_with_the_layers_that_were_tried(
    workshop, tmp_path, capsys, monkeypatch
):
    one_layer_rounded_badly(monkeypatch, "stem_relu")
    # Nothing but float32 itself would pass: every layer that may be left out is, and the certificate still refuses.
    monkeypatch.setitem(parity_gates.MEAN_DIFFERENCE_BARS, "int8", (1e-9, 1e-9))
    monkeypatch.setattr("convert.float_layers.MOST_LOSS_WORTH_MENDING", 1e12)
    options = ("--out", tmp_path / "bundle", "--cells", workshop / "cells", "--precision", "int8")
    assert run(workshop, *options) == 3
    said = capsys.readouterr().err
    assert "separable in floating point did not suffice" in said
    assert "Refused before, whole: " in (tmp_path / "bundle.certificate.html").read_text()
    assert not (tmp_path / "bundle").exists()
