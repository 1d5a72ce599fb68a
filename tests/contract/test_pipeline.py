"""From a folder of painted cells to the record: what was painted is what is counted, and nothing is lost on the way."""

from __future__ import annotations

import io
import itertools
import json
import threading

import cv2
import numpy as np
import pytest
from bundles import (
    CATALOGUE,
    PUBLIC_KEY,
    TARGET,
    bundle_contents,
    golden_images,
    manifest_document,
    npz,
    painted_network,
    painted_outputs,
    write_bundle,
    write_slide,
)

from edge.engines.base import EngineOutputs
from edge.errors import EdgeError
from edge.image_measures import MEASURES
from edge.model import open_model
from edge.pipeline import STAGES, Job, Rules, analyze_slide
from edge.result import record_bytes
from edge.slide import SlideWarning, read_slide
from edge.writers.choose import FORMATS, writer_for

TYPES = ["SNE"] * 9 + ["BNE"] * 2 + ["LY"] * 6 + ["MO"] * 2 + ["ERB"] * 2 + ["LP"] * 3 + ["ART"]
JOB = Job(
    source="di60",
    revision=1,
    message_id="9F3C21AA04B7.R1",
    supersedes=None,
    reason=None,
    status="P",
    analysed_at="2026-11-23T18:00:00+09:00",
    assess_all=False,
    manifest_sha256="4e" * 32,
    site="HEMLAB",
    degraded=False,
    warnings=(),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundles") / "painted")


@pytest.fixture(scope="module")
def model(bundle):
    opened = open_model(bundle, public_key=PUBLIC_KEY, threads=2)
    yield opened
    opened.close()


def job_with(**changes):
    return Job(**{**{name: getattr(JOB, name) for name in Job.__slots__}, **changes})


class TickingClock(threading.local):
    """Moves on by a millisecond at every look; each thread looks at a clock of its own: no time is by chance."""

    def __init__(self):
        self.ticks = itertools.count()

    def __call__(self):
        return next(self.ticks) / 1000


def analyze(folder, model, job=JOB, **options):
    return analyze_slide(read_slide(folder), model, job, clock=TickingClock(), **options)


def codes(rows):
    return [row["code"] for row in rows]


def test_every_painted_cell_is_counted_as_what_it_is(tmp_path, model):
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES), model).record
    assert {code: n for code, n in record["counts"].items() if n} == {
        "SNE": 9, "BNE": 2, "LY": 6, "MO": 2, "ERB": 2, "LP": 3, "ART": 1,
    }  # fmt: skip
    assert [cell["type"] for cell in record["cells"]] == TYPES
    assert (record["images"], record["leucocytes"], record["unreadable"]) == (25, 19, 0)
    assert record["slide"]["sample_id"] == "0012345678"
    assert record["mode"] == "T", "a demo bundle marks every result"
    assert record["provenance"]["engine"] == {"name": "openvino", "device": "cpu", "precision": "fp32"}
    assert record["provenance"]["trees"] == "compiled"


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16])
def test_no_cell_is_lost_or_doubled_at_the_borders_of_batches(tmp_path, model, count):
    types = list(itertools.islice(itertools.cycle(CATALOGUE.type_codes), count))
    record = analyze(write_slide(tmp_path / "A1_S1", types), model).record
    assert [cell["type"] for cell in record["cells"]] == types
    assert [cell["id"] for cell in record["cells"]] == [f"{n:04d}" for n in range(1, count + 1)]


def test_findings_are_those_of_the_cells_type_and_point_back_at_the_cells(tmp_path, model):
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES, findings=True), model).record
    for cell in record["cells"]:
        assert list(cell["findings"]) == [finding.code for finding in CATALOGUE.findings_of(cell["type"])]
    rates = {row["name"]: row for row in record["profile"]}
    assert (rates["NE01_rate"]["numerator"], rates["NE01_rate"]["denominator"]) == (11, 11)
    assert rates["MK01_rate"]["value"] is None, "no megakaryocyte, so nothing is known of its findings"
    assert "INFECTION-PATTERN" in codes(record["warnings"])
    by_name = {row["name"]: row["cells"] for row in record["assessments"][0]["contributions"]}
    assert set(by_name["NE01_rate"]) == {f"{n:04d}" for n in range(1, 12)}


def test_a_requested_target_is_assessed_and_explained(tmp_path, model):
    assessment = analyze(write_slide(tmp_path / "A1_S1", TYPES), model).record["assessments"][0]
    assert (assessment["target"], assessment["threshold"]) == (TARGET, 0.5)
    assert assessment["ci95"][0] <= assessment["score"] <= assessment["ci95"][1]
    assert assessment["contributions"]
    assert assessment["call"] in {"MDS-SUSPECT", "AA-LIKE", "INDETERMINATE"}


def test_contributions_and_a_constant_bias_make_the_margin(tmp_path, model):
    biases = []
    for number, types in enumerate((TYPES, TYPES + ["LY"] * 20, TYPES + ["SNE"] * 30)):
        found = analyze(write_slide(tmp_path / f"A{number}_S1", types), model).record["assessments"][0]
        biases.append(found["margin"] - sum(row["value"] for row in found["contributions"]))
    assert max(biases) - min(biases) < 1e-4


def test_nothing_is_assessed_that_nobody_requested(tmp_path, model):
    folder = write_slide(tmp_path / "A1_S1", TYPES, targets=[])
    unasked = analyze(folder, model).record["assessments"][0]
    assert (unasked["call"], unasked["score"], unasked["contributions"]) == ("NOT-REQUESTED", None, [])
    assert analyze(folder, model, job_with(assess_all=True)).record["assessments"][0]["score"] is not None


def test_a_site_may_use_fewer_targets_than_the_bundle_has(tmp_path, model):
    folder = write_slide(tmp_path / "A1_S1", TYPES)
    assert analyze(folder, model, rules=Rules(targets=("another",))).record["assessments"] == []


def test_the_record_of_a_bundle_without_a_target_names_no_trees(tmp_path, model):
    contents = bundle_contents()
    document = manifest_document(contents) | {"assessments": [], "cohort": {}}
    folder = write_slide(tmp_path / "A1_S1", TYPES)
    counting = open_model(write_bundle(tmp_path / "bundle", contents, document), public_key=PUBLIC_KEY, threads=2)
    try:
        record = analyze(folder, counting).record
    finally:
        counting.close()
    assert record["assessments"] == []
    assert record["provenance"]["trees"] == "none"
    assert analyze(folder, model).record["provenance"]["trees"] == "compiled"


def test_a_target_that_was_ordered_and_that_the_site_does_not_use_is_a_warning(tmp_path, model):
    folder = write_slide(tmp_path / "A1_S1", TYPES, targets=[TARGET])
    record = analyze(folder, model, rules=Rules(targets=("another",))).record
    assert record["assessments"] == []
    assert [(row["code"], row["text"]) for row in record["warnings"]] == [
        ("TARGET-UNKNOWN", f"the order asks for {TARGET}, which this site does not use")
    ]


def test_a_requested_target_that_the_bundle_does_not_know_is_said_to_be_so(tmp_path, model):
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES, targets=["mds_cml", TARGET]), model).record
    assert codes(record["warnings"]) == ["TARGET-UNKNOWN"]
    assert "mds_cml" in record["warnings"][0]["text"]


def test_too_few_cells_give_no_score_and_say_how_many_are_needed(tmp_path, model):
    assessment = analyze(write_slide(tmp_path / "A1_S1", ["SNE"] * 9), model).record["assessments"][0]
    assert (assessment["call"], assessment["score"], assessment["sufficient"]) == ("NOT-EVALUABLE", None, False)
    assert assessment["reasons"][0]["text"] == "counted 9 leucocytes, at least 10 needed"


def test_one_unreadable_image_is_named_and_the_others_count(tmp_path, model):
    folder = write_slide(tmp_path / "A1_S1", TYPES)
    (folder / "wbc" / "0003.png").write_bytes(b"\x89PNG\r\n\x1a\n but not for long")
    record = analyze(folder, model).record
    assert (record["images"], record["unreadable"], len(record["cells"])) == (25, 1, 24)
    assert "0003" not in [cell["id"] for cell in record["cells"]]
    assert "UNREADABLE-IMAGES" in codes(record["warnings"])
    assert [cell["type"] for cell in record["cells"]] == TYPES[:2] + TYPES[3:]


@pytest.mark.parametrize("broken", [3, 25])
def test_too_many_unreadable_images_reject_the_slide(tmp_path, model, broken):
    folder = write_slide(tmp_path / "A1_S1", TYPES)
    for number in range(1, broken + 1):
        (folder / "wbc" / f"{number:04d}.png").write_bytes(b"no image %d" % number)
    with pytest.raises(EdgeError, match="MDSE-SLIDE-008") as caught:
        analyze(folder, model)
    assert caught.value.exit_status == 5
    assert f"{broken} of 25" in str(caught.value)


@pytest.mark.parametrize(("empty", "rejected"), [(2, False), (3, True)])
def test_empty_images_are_images_that_cannot_be_used(tmp_path, model, empty, rejected):
    folder = write_slide(tmp_path / "A1_S1", TYPES)
    for number in range(1, empty + 1):
        (folder / "wbc" / f"{number:04d}.png").write_bytes(b"")
    if rejected:
        with pytest.raises(EdgeError, match="MDSE-SLIDE-008"):
            analyze(folder, model)
    else:
        record = analyze(folder, model).record
        assert (record["images"], record["unreadable"], len(record["cells"])) == (25, 2, 23)
        assert {"EMPTY-FILES", "UNREADABLE-IMAGES"} <= set(codes(record["warnings"]))


def test_the_site_says_how_many_unreadable_images_are_too_many(tmp_path, model):
    folder = write_slide(tmp_path / "A1_S1", TYPES)
    for number in range(1, 7):
        (folder / "wbc" / f"{number:04d}.png").write_bytes(b"no image %d" % number)
    assert analyze(folder, model, rules=Rules(unreadable_fraction=0.25)).record["unreadable"] == 6


def test_a_rejected_slide_leaves_the_model_ready_for_the_next(tmp_path, model):
    bad = write_slide(tmp_path / "A1_S1", TYPES)
    for image in (bad / "wbc").iterdir():
        image.write_bytes(image.name.encode())
    with pytest.raises(EdgeError):
        analyze(bad, model)
    assert analyze(write_slide(tmp_path / "A2_S1", TYPES), model).record["counts"]["SNE"] == 9


def test_the_same_slide_gives_the_same_bytes_but_for_the_times(tmp_path, model, bundle):
    folder = write_slide(tmp_path / "A1_S1", TYPES, findings=True)
    again = open_model(bundle, public_key=PUBLIC_KEY, threads=2)
    first, second = analyze(folder, model), analyze(folder, again)
    again.close()
    assert record_bytes(first.record) == record_bytes(second.record)
    assert first.report_html == second.report_html


def test_stage_times_come_from_the_clock_that_was_passed(tmp_path, model):
    analyzed = analyze(write_slide(tmp_path / "A1_S1", ["SNE"] * 16), model)
    # Each thread's clock moves 1 ms at every look: a timed stage takes 1 ms. Every cell is decoded and resized once and
    # waited for once, and once more the end is waited for.
    assert analyzed.record["stage_ms"]["decode"] == 16
    assert analyzed.record["stage_ms"]["resize"] == 16
    assert analyzed.record["stage_ms"]["profile"] == 1
    assert analyzed.stage_ms["wait"] == pytest.approx(17)
    assert analyzed.record["stage_ms"]["infer"] == pytest.approx(analyzed.stage_ms["infer"] + 17)
    assert set(STAGES) == set(analyzed.stage_ms)
    assert all(value >= 0 for value in analyzed.stage_ms.values())


def test_every_writer_takes_the_record_and_the_report_shows_the_cells(tmp_path, model):
    analyzed = analyze(write_slide(tmp_path / "A1_S1", TYPES, findings=True), model)
    # The wide table has no mark for a test and refuses this bundle's results; that refusal has a test of its own.
    for name in sorted({*FORMATS} - {"csv-wide"}):
        writer = writer_for(name)
        writer.check(writer.render(json.loads(record_bytes(analyzed.record))).content)
    assert analyzed.report_html.count(b"data:image/jpeg;base64,") >= len(set(TYPES))


def test_what_the_job_says_is_what_the_record_says(tmp_path, model):
    job = job_with(
        revision=2, message_id="9F3C21AA04B7.R2", supersedes="9F3C21AA04B7.R1", reason="late files", status="C",
        degraded=True, warnings=(SlideWarning("LATE", "two files came late"),),
    )  # fmt: skip
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES), model, job).record
    assert (record["revision"], record["supersedes"], record["status"]) == (2, "9F3C21AA04B7.R1", "C")
    assert record["provenance"]["degraded"] is True
    assert "LATE" in codes(record["warnings"])


def test_undecided_cells_are_unidentified_and_enter_no_count(tmp_path):
    contents = bundle_contents(**{"cells.onnx": painted_network(type_weight=1e-6)})
    model = open_model(write_bundle(tmp_path / "b", contents), public_key=PUBLIC_KEY)
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES), model).record
    assert record["unidentified"] == 25
    assert sum(record["counts"].values()) == 0
    assert record["assessments"][0]["call"] == "NOT-EVALUABLE"


def outlier_arrays(centre: float) -> dict[str, np.ndarray]:
    """A rule that looks at the three numbers of the embedding alone, whose only group lies at `centre` on each."""
    width = 3 + len(MEASURES)
    whitening = np.zeros((1, width, width), np.float32)
    whitening[0, :3, :3] = np.eye(3)
    return {
        "mean": np.zeros(3, np.float32),
        "components": np.eye(3, dtype=np.float32),
        "centres": np.full((1, width), centre, np.float32),
        "whitening": whitening,
        "family": np.zeros(1, np.uint8),
    }


def test_cells_unlike_the_training_cells_are_set_aside(tmp_path):
    rule = npz(**outlier_arrays(centre=9.0))
    contents = bundle_contents(**{"decision/ood.npz": rule})
    document = manifest_document(contents)
    document["decision"]["ood"] = {"file": "decision/ood.npz", "threshold": 2.0}
    model = open_model(write_bundle(tmp_path / "b", contents, document), public_key=PUBLIC_KEY)
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES), model).record
    assert record["out_of_distribution"] == 25
    assert sum(record["counts"].values()) == 0
    assert all(cell["distance"] > 10 for cell in record["cells"])


def test_near_cells_keep_their_types_and_tell_their_distance(tmp_path):
    contents = bundle_contents(**{"decision/ood.npz": npz(**outlier_arrays(centre=0.3))})
    document = manifest_document(contents)
    document["decision"]["ood"] = {"file": "decision/ood.npz", "threshold": 2.0}
    model = open_model(write_bundle(tmp_path / "b", contents, document), public_key=PUBLIC_KEY)
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES), model).record
    assert record["out_of_distribution"] == 0
    assert all(0 < cell["distance"] < 2 for cell in record["cells"])


@pytest.mark.parametrize("name", ["mean", "components", "centres", "whitening", "family"])
def test_an_outlier_rule_of_another_network_is_refused_when_the_model_opens(tmp_path, name):
    arrays = outlier_arrays(centre=0.3)
    arrays[name] = arrays[name][:-1] if name != "centres" else arrays[name][:, :-1]
    contents = bundle_contents(**{"decision/ood.npz": npz(**arrays)})
    document = manifest_document(contents)
    document["decision"]["ood"] = {"file": "decision/ood.npz", "threshold": 2.0}
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-011 decision/ood\.npz"):
        open_model(write_bundle(tmp_path / "b", contents, document), public_key=PUBLIC_KEY)


def test_focus_stain_and_the_analyzer_s_own_classes_reach_the_record_and_its_warnings(tmp_path):
    contents = bundle_contents()
    document = manifest_document(contents)
    unit = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    document["decision"]["quality"] = {
        "focus_limit": 5.0, "stain_centre": [40.0, 30.0, -30.0], "stain_whitening": unit, "stain_limit": 4.0,
    }  # fmt: skip
    model = open_model(write_bundle(tmp_path / "b", contents, document), public_key=PUBLIC_KEY)
    files = [{"name": f"{number:04d}.png", "preclass": "BLAST"} for number in range(1, len(TYPES) + 1)]
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES, files=files), model).record
    assert record["preclass"] == {"compared": 25, "disagree": sum(code != "BL" for code in TYPES)}
    assert {cell["preclass"] for cell in record["cells"]} == {"BLAST"}
    # Painted cells are flat: nothing is less sharp, and their colours are no stain's.
    assert (record["quality"]["focus"]["low_share"], record["quality"]["focus"]["limit"]) == (1.0, 5.0)
    assert record["quality"]["stain"]["distance"] > 4
    assert {"FOCUS", "STAIN-OOD", "PRECLASS-DISAGREES"} <= {warning["code"] for warning in record["warnings"]}


def test_an_export_without_classes_and_a_bundle_without_reference_say_so(tmp_path, model):
    record = analyze(write_slide(tmp_path / "A1_S1", TYPES), model).record
    assert record["preclass"] is None
    assert record["quality"]["focus"]["limit"] is None
    assert record["quality"]["stain"]["distance"] is None
    assert {(cell["preclass"], cell["distance"]) for cell in record["cells"]} == {(None, None)}


# ---- the model


def test_the_golden_cells_prove_the_engine(model):
    proof = model.prove_golden()
    assert (proof.cells, proof.clear_cut, proof.flipped) == (17, 17, 0)
    assert proof.mean_type_difference < 1e-4


def shifted(name):
    expected = painted_outputs(golden_images())
    if name == "types":
        expected["cell_type"] = np.roll(expected["cell_type"], 1, axis=0)
    else:
        expected["findings"] = np.clip(expected["findings"] + 0.01, 0, 1).astype(np.float32)
    return expected


@pytest.mark.case("H12")
@pytest.mark.parametrize("name", ["types", "findings"])
def test_an_engine_that_differs_on_the_golden_cells_is_refused(tmp_path, name):
    contents = bundle_contents(**{"golden/expected.npz": npz(**shifted(name))})
    model = open_model(write_bundle(tmp_path / "b", contents), public_key=PUBLIC_KEY)
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-014 openvino-fp32"):
        model.prove_golden()


@pytest.mark.case("H12")
def test_one_clear_cut_cell_of_another_type_refuses_an_int8_engine_however_small_the_mean(tmp_path):
    expected = painted_outputs(golden_images())
    expected["cell_type"][3] = expected["cell_type"][4]
    contents = bundle_contents(**{"golden/expected.npz": npz(**expected)})
    document = manifest_document(contents)
    document["engines"][0]["precision"] = "int8"
    model = open_model(write_bundle(tmp_path / "b", contents, document), public_key=PUBLIC_KEY)
    with pytest.raises(EdgeError, match="1 of 17 clear-cut cells"):
        model.prove_golden()


@pytest.mark.parametrize(
    "change",
    [
        {"golden/images.npz": npz(images=golden_images()[:, :-1])},
        {"golden/images.npz": npz(images=golden_images()[:0])},
        {"golden/expected.npz": npz(**{n: a[:-1] for n, a in painted_outputs(golden_images()).items()})},
    ],
)
def test_golden_cells_that_do_not_fit_the_manifest_are_refused(tmp_path, change):
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-011"):
        open_model(write_bundle(tmp_path / "b", bundle_contents(**change)), public_key=PUBLIC_KEY)


def test_a_network_of_other_widths_than_the_manifest_is_refused(tmp_path):
    contents = bundle_contents()
    document = manifest_document(contents)
    document["embedding_dim"] = 4
    expected = painted_outputs(golden_images())
    expected["embedding"] = np.zeros((17, 4), np.float32)
    contents["golden/expected.npz"] = npz(**expected)
    document["files"] = manifest_document(contents)["files"]
    with pytest.raises(EdgeError, match=r"MDSE-ENGINE-005 cells\.onnx"):
        open_model(write_bundle(tmp_path / "b", contents, document), public_key=PUBLIC_KEY)


def test_a_wrong_answer_of_the_device_never_becomes_a_record(tmp_path, model, monkeypatch):
    class Liar:
        spec = model.engine.spec

        def infer(self, batches):
            for batch in batches:
                outputs = painted_outputs(batch)
                outputs["cell_type"] = np.full_like(outputs["cell_type"], np.nan)
                yield EngineOutputs(**outputs)

    from dataclasses import replace

    with pytest.raises(EdgeError, match="MDSE-ENGINE-004"):
        analyze(write_slide(tmp_path / "A1_S1", TYPES), replace(model, engine=Liar()))


def test_an_engine_that_fails_while_cells_are_prepared_leaves_no_thread_behind(tmp_path, model):
    class Broken:
        spec = model.engine.spec

        def infer(self, batches):
            next(iter(batches))
            raise EdgeError("MDSE-ENGINE-004", where="openvino", reason="the device is gone")
            yield

    from dataclasses import replace

    with pytest.raises(EdgeError, match="the device is gone") as held:
        analyze(write_slide(tmp_path / "A1_S1", TYPES * 10), replace(model, engine=Broken()))
    # The error, and with it every frame that it passed, is still held here.
    assert held.value is not None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]


def test_thumbnails_are_small_jpegs_of_the_same_proportions():
    from edge.thumbnails import thumbnail_from_pixels

    data = thumbnail_from_pixels(np.full((363, 360, 3), (200, 30, 40), np.uint8))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (96, 95, 3)
    assert io.BytesIO(data).read(2) == b"\xff\xd8"
    np.testing.assert_allclose(picture[50, 50], (40, 30, 200), atol=6)
    small = thumbnail_from_pixels(np.zeros((20, 30, 3), np.uint8))
    assert cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR).shape == (20, 30, 3)


def test_a_bundle_with_broken_trees_leaves_no_engine_open(tmp_path, monkeypatch):
    """The network is compiled while the trees are opened: their error must not leave its memory behind."""
    closed = []

    class Opened:
        def close(self):
            closed.append(self)

    def broken(*_):
        raise EdgeError("MDSE-TREES-005", where="mds_aa")

    monkeypatch.setattr("edge.model._open_cpu_engine", lambda *_: Opened())
    monkeypatch.setattr("edge.model.open_trees", broken)
    with pytest.raises(EdgeError, match="MDSE-TREES-005"):
        open_model(write_bundle(tmp_path / "b"), public_key=PUBLIC_KEY, threads=1)
    assert len(closed) == 1


@pytest.mark.parametrize(("many", "given_back"), [(25, 1), (26, 0)])
def test_memory_of_a_large_slide_is_given_back_before_its_report_is_made(
    tmp_path, model, monkeypatch, many, given_back
):
    calls = []
    monkeypatch.setattr("edge.pipeline._MANY_CELLS", many)
    monkeypatch.setattr("edge.pipeline.give_back_freed_memory", lambda: calls.append(1))
    analyze(write_slide(tmp_path / "A1_S1", TYPES), model)
    assert len(calls) == given_back
