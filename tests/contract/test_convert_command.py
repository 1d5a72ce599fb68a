"""edge-convert and edge-bundle as a person uses them: a model in, a proved bundle out, or one clear reason."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conversion_workshop import SIZE_PX, make_workshop, run, write_cells

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import onnx
from gpu_libraries import library_folder, run_with
from keras_models import CATALOGUE, tree_spec, write_trees

from convert import cell_honesty, reference_cells, unidentified_fit
from convert.commands import convert
from convert.dataset import split_from_key
from convert.slide_training import decision_of_bundle
from edge.bundle.reader import open_bundle
from edge.commands import bundle as bundle_command
from edge.errors import EdgeError
from edge.model import open_model


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return make_workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def full(workshop):
    out = workshop / "full"
    status = run(
        workshop, "--out", out, "--cells", workshop / "cells", "--precision", "int8", "--target", "rtx",
        "--trees", f"mds_aa={workshop / 'trees.json'}", "--key", workshop / "keys" / "private.pem",
    )  # fmt: skip
    assert status == 0
    return out


def test_the_model_alone_gives_a_bundle_with_fp32_and_fp16_and_says_what_more_needs(
    workshop, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert run(workshop) == 0
    page = capsys.readouterr().out
    opened = open_bundle(tmp_path / "model-bundle", public_key=None)
    assert {"cells.onnx", "cells.fp16.onnx", "golden/expected.npz", "parity.json", "MODEL_CARD.md"} <= set(
        opened.contents
    )
    assert "cells.int8.onnx" not in opened
    assert [(e.device, e.precision) for e in opened.manifest.engines] == [
        ("cpu", "fp32"),
        ("cpu", "fp16"),
        ("gpu", "fp16"),
    ]
    for words in ("--precision int8 --cells DIR", "--trees TARGET=trees.json", "unsigned", "small 3 (research)"):
        assert words in page


REAL_PLAN = """
import sys
from edge.commands.plan import main
sys.exit(main(["build", {bundle!r}, "--public-key", {key!r}, "--engine", {engine!r}, "--for", "SM89",
               "--plans", {plans!r}, "--batch-sizes", "1,4", "--json"]))
"""


@pytest.mark.parametrize("precision", ["fp16", "int8-fp16"])
def test_a_network_for_a_gpu_is_called_unproved_and_taken_by_the_real_builder(workshop, full, precision, tmp_path):
    key = workshop / "keys" / "public.pem"
    entries = open_bundle(full, public_key=key.read_bytes()).manifest.engines
    (proof,) = [entry.proof for entry in entries if (entry.device, entry.precision) == ("gpu", precision)]
    assert proof.startswith("none yet")
    given = {"bundle": str(full), "key": str(key), "engine": f"gpu-{precision}", "plans": str(tmp_path / "plans")}
    facts = json.loads(run_with(REAL_PLAN.format(**given), library_folder("rtx")))
    assert facts["plan_bytes"] > 10_000
    assert facts["proof"].startswith("none")


INT8_PLAN = """
import sys
from pathlib import Path
from edge.engines.tensorrt_binding import load_binding
from edge.engines.tensorrt_plan import PlanRequest, build_plan
data = Path({file!r}).read_bytes()
made = build_plan(load_binding("rtx"), data, PlanRequest(size_px={size}, compute_capabilities=("SM89",)), where="int8")
print(len(made.plan), sorted(set(made.quantized_layers.values())))
"""


def test_the_int8_file_for_processors_is_taken_by_the_real_parser_and_builder_too(full):
    given = {"file": str(full / "cells.int8.onnx"), "size": SIZE_PX}
    size_bytes, kinds = run_with(INT8_PLAN.format(**given), library_folder("rtx")).split(maxsplit=1)
    assert int(size_bytes) > 10_000
    assert kinds.strip() == "['int8']"


def test_the_same_inputs_give_the_same_bundle_byte_for_byte(workshop, full, tmp_path):
    again = tmp_path / "again"
    run(
        workshop, "--out", again, "--cells", workshop / "cells", "--precision", "int8", "--target", "rtx",
        "--trees", f"mds_aa={workshop / 'trees.json'}", "--key", workshop / "keys" / "private.pem",
    )  # fmt: skip
    files = sorted(path.relative_to(full) for path in full.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in files:
        assert (full / name).read_bytes() == (again / name).read_bytes(), name


def test_the_runtime_opens_the_bundle_and_proves_its_engines_and_trees(workshop, full):
    key = (workshop / "keys" / "public.pem").read_bytes()
    for engine in ("cpu", "cpu-int8", "cpu-fp32", "cpu-fp16"):
        model = open_model(full, public_key=key, engine=engine, threads=1)
        proof = model.prove_golden()
        assert proof.cells == 34
        assert model.trees_kind == "compiled"
        model.close()
    assert open_model(full, public_key=key, threads=1).choice.precision == "int8"


def test_the_certificate_states_what_was_compared(full):
    parity = json.loads((full / "parity.json").read_text())
    assert parity["engine"] == "openvino cpu int8"
    assert [other["engine"] for other in parity["other_engines"]] == ["openvino cpu fp32", "openvino cpu fp16"]
    assert parity["n"] > 20
    assert parity["top1_agreement"] > 0.9
    assert parity["verdict"] in ("NOT PROVEN", "PROVEN")
    without = [found for found in parity["types"].values() if not found["n"]]
    assert len(without) >= 3
    assert all(found["loss"] is None and found["verdict"] == "NOT PROVEN" for found in without)
    assert parity["slides"]["n"] == 200
    assert parity["slides"]["flipped_unforeseen"] == 0
    assert list(parity["slides"]["targets"]) == ["mds_aa"]
    assert parity["reference"]["keras_max_difference"]["cell_type"] <= 1e-5
    assert parity["trees"]["mds_aa"]["library_max_difference"] <= 1e-5
    card = (full / "MODEL_CARD.md").read_text()
    assert "SIMULATED slides" in card
    assert "| drawn | SNE |" in card


def test_show_verify_and_sign_speak_of_the_same_bundle(workshop, full, tmp_path, capsys):
    assert bundle_command.main(["show", str(full), "--public-key", str(workshop / "keys" / "public.pem")]) == 0
    page = capsys.readouterr().out
    for words in (
        "small 3, for research use",
        "made with the key",
        "cells.int8.onnx",
        "mds_aa: MDS against AA",
        "SIMULATED",
    ):
        assert words in page
    copy = tmp_path / "copy"
    shutil.copytree(full, copy)
    signature = (copy / "manifest.sig").read_bytes()
    (copy / "manifest.sig").unlink()
    assert bundle_command.main(["verify", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signature"] == "none"
    assert bundle_command.main(["sign", str(copy), "--key", str(workshop / "keys" / "private.pem")]) == 0
    assert (copy / "manifest.sig").read_bytes() == signature
    (copy / "MODEL_CARD.md").write_text("changed")
    assert bundle_command.main(["verify", str(copy)]) == 4
    assert bundle_command.main(["sign", str(copy), "--key", str(workshop / "keys" / "private.pem")]) == 4
    assert "MDSE-BUNDLE-006" in capsys.readouterr().err


def test_keys_are_private_and_never_written_over(workshop, capsys):
    assert (workshop / "keys" / "private.pem").stat().st_mode & 0o777 == 0o600
    before = (workshop / "keys" / "private.pem").read_bytes()
    assert bundle_command.main(["keygen", "--out", str(workshop / "keys")]) == 2
    assert (workshop / "keys" / "private.pem").read_bytes() == before
    assert bundle_command.main(["sign", str(workshop), "--key", str(workshop / "keys" / "public.pem")]) == 78
    assert bundle_command.main(["show", str(workshop / "nothing")]) == 4
    capsys.readouterr()


def test_a_dry_run_checks_and_writes_nothing(workshop, tmp_path, capsys):
    out = tmp_path / "bundle"
    assert run(workshop, "--out", out, "--dry-run", "--json", "--cells", workshop / "cells", "--precision", "int8") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["digest"] is None
    assert any("no cell of" in notice for notice in facts["notices"])
    assert not out.exists()


def test_a_dry_run_tells_a_person_what_would_be_made_and_how_it_would_be_proved(workshop, tmp_path, capsys):
    out = tmp_path / "bundle"
    options = ("--cells", workshop / "cells", "--precision", "int8", "--trees", f"mds_aa={workshop / 'trees.json'}")
    assert run(workshop, "--out", out, "--dry-run", "--target", "rtx", *options) == 0
    page = capsys.readouterr().out
    for words in (
        "cells.int8.onnx, cells.onnx, cells.fp16.onnx, cells.int8.fp16.onnx",
        "golden cells (drawn)",
        "200 composed slides",
        "calibrate on",
        "nothing was written",
    ):
        assert words in page, words
    assert not out.exists()


def test_the_label_file_and_the_types_to_leave_out_are_those_of_the_training(workshop, tmp_path, capsys):
    shutil.copytree(workshop / "cells", tmp_path / "cells")
    labels = (tmp_path / "cells" / "labels.csv").read_text()
    (tmp_path / "cells" / "labels.csv").write_text("not read")
    (tmp_path / "cells" / "second.csv").write_text(labels.replace(",LY\n", ",UNCLEAR\n"))
    options = ("--out", tmp_path / "bundle", "--dry-run", "--json", "--cells", tmp_path / "cells")
    assert run(workshop, *options, "--labels", "second.csv", "--leave-out", "UNCLEAR,DOUBTFUL") == 0
    facts = json.loads(capsys.readouterr().out)
    assert any("type UNCLEAR, as asked for" in notice for notice in facts["notices"])
    assert run(workshop, *options, "--labels", "second.csv") == 2
    assert "MDSE-TRAIN" in capsys.readouterr().err


def test_a_bundle_is_replaced_only_when_asked(workshop, tmp_path, capsys):
    out = tmp_path / "bundle"
    assert run(workshop, "--out", out, "--precision", "fp32") == 0
    assert run(workshop, "--out", out, "--precision", "fp32") == 2
    assert "MDSE-CONVERT-041" in capsys.readouterr().err
    assert run(workshop, "--out", out, "--without-fp32", "--name", "second", "--replace") == 0
    opened = open_bundle(out, public_key=None)
    assert opened.manifest.name == "second"
    assert "cells.onnx" not in opened
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.certificate.html"]


def test_every_wrong_input_ends_with_one_line_and_its_status(workshop, tmp_path, capsys):
    (tmp_path / "few").mkdir()
    write_cells(tmp_path / "few" / "cells", per_type=2)
    public = workshop / "keys" / "public.pem"
    wrong_trees = write_trees(tmp_path / "wrong.json", columns=100, rounds=1)
    for options, code, status in (
        (("--precision", "int8"), "MDSE-CONVERT-020", 2),
        (("--precision", "int8", "--cells", tmp_path), "MDSE-CONVERT-001", 2),
        (("--precision", "int8", "--cells", tmp_path / "few" / "cells"), "MDSE-CONVERT-026", 2),
        (("--golden", "cells"), "MDSE-CONVERT-043", 2),
        (("--labels", "second.csv"), "MDSE-CONVERT-043", 2),
        (("--leave-out", "UNCLEAR"), "MDSE-CONVERT-043", 2),
        (("--labels", "none.csv", "--cells", workshop / "cells"), "MDSE-CONVERT-001", 2),
        (("--precision", "fp32", "--without-fp32"), "MDSE-CONVERT-043", 2),
        (("--float-layers", "conv"), "MDSE-CONVERT-043", 2),
        (("--key", public), "MDSE-BUNDLE-010", 78),
        (("--key", tmp_path / "none.pem"), "MDSE-CONVERT-001", 2),
        (("--trees", f"mds_aa={tmp_path / 'none.json'}"), "MDSE-CONVERT-001", 2),
        (("--trees", f"mds_aa={wrong_trees}"), "MDSE-CONVERT-032", 2),
        (("--trees", f"other={workshop / 'trees.json'}"), "MDSE-CONVERT-031", 2),
        (("--catalogue", tmp_path / "none.json"), "MDSE-CONVERT-001", 2),
        (("--name", "no blanks allowed"), "MDSE-CONVERT-045", 2),
        (("--scaling", "0..1"), "MDSE-CONVERT-011", 2),
        (("--out", tmp_path / "none" / "bundle"), "MDSE-CONVERT-041", 2),
    ):
        arguments = options if "--out" in options else ("--out", tmp_path / "bundle", *options)
        assert run(workshop, *arguments) == status, options
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, options
        assert code in lines[0], options
    assert not (tmp_path / "bundle").exists()


def test_int8_that_no_test_cell_can_prove_is_refused_unless_it_is_a_demo(workshop, tmp_path, capsys):
    shutil.copytree(workshop / "cells", tmp_path / "cells")
    header, *rows = (workshop / "cells" / "labels.csv").read_text().splitlines()
    kept = [row for row in rows if split_from_key(Path(row.partition(",")[0]).name) != "test"]
    assert len(kept) < len(rows)
    (tmp_path / "cells" / "labels.csv").write_text("\n".join([header, *kept]) + "\n")
    options = ("--out", tmp_path / "bundle", "--cells", tmp_path / "cells", "--precision", "int8")
    assert run(workshop, *options) == 2
    assert "MDSE-PARITY-003" in capsys.readouterr().err
    assert run(workshop, *options, "--intended-use", "demo") == 0
    entries = open_bundle(tmp_path / "bundle", public_key=None).manifest.engines
    assert {entry.proof.rpartition("; ")[2] for entry in entries if entry.device == "cpu"} == {"no test cells"}


def test_a_card_for_another_model_is_refused(workshop, tmp_path, capsys):
    shutil.copy(workshop / "model.keras", tmp_path / "model.keras")
    for card in ('{"image": {"size": 96}}', '{"evidence": {"XX": "real"}}', "[]", '{"image": {"resize": "linear"}}'):
        (tmp_path / "model.card.json").write_text(card)
        assert convert.main([str(tmp_path / "model.keras"), "--out", str(tmp_path / "b"), "--dry-run"]) == 2
        assert "MDSE-CONVERT-012" in capsys.readouterr().err


def test_a_composed_slide_that_changes_sides_refuses_the_engine_for_a_demo_too(workshop, tmp_path, capsys, monkeypatch):
    slides = {
        "n": 100,
        "near_threshold": 60,
        "flipped": 2,
        "flipped_unforeseen": 1,
        "score_diff": {"mean": 0.1, "p99": 0.2},
        "one_other_cell": {"mean": 0.1, "p99": 0.2},
        "verdict": "REFUSED",
    }
    monkeypatch.setattr("convert.slide_parity._compare", lambda *_: {**slides, "targets": {"mds_aa": slides}})
    options = (
        "--out",
        tmp_path / "bundle",
        "--cells",
        workshop / "cells",
        "--trees",
        f"mds_aa={workshop / 'trees.json'}",
    )
    assert run(workshop, *options) == 3
    assert "MDSE-PARITY-006" in capsys.readouterr().err
    assert run(workshop, *options, "--intended-use", "demo") == 3
    assert "MDSE-PARITY-006" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_a_wrong_path_is_answered_before_anything_heavy_is_imported(tmp_path):
    code = (
        "import sys; from convert.commands.convert import main; status = main(['none.keras']); "
        "assert 'keras' not in sys.modules and 'numpy' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "MDSE-CONVERT-001 none.keras: there is no such model file." in done.stderr


def test_errors_name_a_code_that_the_catalogue_lists():
    assert str(EdgeError("MDSE-CONVERT-020", where="x")).endswith("--precision fp16.")


# ---- cells enough to doubt by


def few_cells_suffice(patch):
    """Let a decision be fitted on fewer cells than a laboratory has."""
    for module, name, number in (
        (cell_honesty, "FEWEST_CELLS", 50),
        (unidentified_fit, "FEWEST_CELLS", 50),
        (reference_cells, "DRAWN_PER_TYPE", 12),
        (reference_cells, "DRAWN_HELD_OUT_PER_TYPE", 4),
    ):
        patch.setattr(module, name, number)


@pytest.fixture(scope="module")
def honest(workshop):
    """Two bundles made one after the other from the same 600 (drawn) cells; smaller numbers than a laboratory's do."""
    write_cells(workshop / "many", per_type=60)
    with pytest.MonkeyPatch.context() as patch:
        few_cells_suffice(patch)
        for place in ("honest", "honest-again"):
            assert run(workshop, "--out", workshop / place, "--cells", workshop / "many", "--precision", "int8") == 0
    return workshop / "honest"


def test_trees_are_taken_with_the_cells_and_the_card_of_the_bundle_that_made_their_profiles_only(
    workshop, honest, tmp_path, monkeypatch, capsys
):
    few_cells_suffice(monkeypatch)
    decision = decision_of_bundle(open_bundle(honest, public_key=None))
    write_trees(tmp_path / "trees.json", spec=tree_spec(decision=decision), rounds=1)
    options = ("--out", tmp_path / "bundle", "--trees", f"mds_aa={tmp_path / 'trees.json'}", "--dry-run")
    for precision in ("int8", "fp16"):
        assert run(workshop, *options, "--precision", precision, "--cells", workshop / "many") == 0
    assert "do not say" not in capsys.readouterr().out
    for other in ((), ("--cells", workshop / "cells")):
        assert run(workshop, *options, *other) == 2
        assert "MDSE-CONVERT-037 mds_aa: the trees were trained on profiles" in capsys.readouterr().err


def test_labelled_cells_give_a_bundle_what_it_needs_to_doubt(honest):
    model = open_model(honest, public_key=None, threads=1)
    decision = model.manifest.decision
    assert model.outlier_rule is not None
    assert len(model.outlier_rule.whitening) == 2  # labelled cells, and drawn ones because SNE was learned so
    assert model.atlas is not None
    assert {model.manifest.types[code] for code in model.atlas.types} == set(CATALOGUE.type_codes)
    assert decision.quality is not None
    assert decision.temperature != 1.0
    assert 0 < decision.unidentified_below["SNE"] < 1
    assert decision.unidentified_below["BNE"] == 1.0  # the card has no evidence for it
    sizes = {name: entry.size_bytes for name, entry in model.manifest.files.items()}
    assert sizes["decision/ood.npz"] < 2_000_000
    assert sizes["decision/atlas.npz"] < 400_000
    model.close()


def test_the_temperature_of_the_manifest_is_in_the_graph_and_in_the_certificate(honest):
    manifest = json.loads((honest / "manifest.json").read_bytes())
    calibration = json.loads((honest / "parity.json").read_bytes())["calibration"]
    assert calibration["temperature"] == manifest["decision"]["temperature"]
    assert calibration["split"] == "test"
    assert sum(row["n"] for row in calibration["reliability"]) == calibration["n"] > 100
    graph = onnx.load(honest / "cells.onnx").graph
    (inverse,) = [i for i in graph.initializer if i.name == "cell_type/inverse_temperature"]
    value = float(onnx.numpy_helper.to_array(inverse).ravel()[0])
    assert value == pytest.approx(1 / calibration["temperature"], rel=1e-5)
    assert set(manifest["decision"]["type_offset"]) == set(CATALOGUE.type_codes)
    card = (honest / "MODEL_CARD.md").read_text()
    assert f"{calibration['ece_debiased']:.4f}" in card
    assert "stays unidentified below: SNE" in card


def test_what_a_bundle_doubts_by_comes_out_the_same_byte_for_byte(honest):
    again = honest.with_name("honest-again")
    for path in sorted(p.relative_to(honest) for p in honest.rglob("*") if p.is_file()):
        assert (honest / path).read_bytes() == (again / path).read_bytes(), path


def test_too_few_cells_leave_it_out_and_say_so(workshop, full, capsys, tmp_path):
    assert open_bundle(full, public_key=None).manifest.decision.ood is None
    assert run(workshop, "--out", tmp_path / "few", "--cells", workshop / "cells") == 0
    assert "200 training and 50 validation cells are needed" in capsys.readouterr().out
