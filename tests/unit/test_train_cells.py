"""Training learns, resumes exactly, keeps its best weights and says what it rests on."""

from __future__ import annotations

import json
import sys
from collections import Counter

import cv2
import numpy as np
import pytest

keras = pytest.importorskip("keras")

from small_trainings import arguments_for, write_coloured_cells  # noqa: E402

from convert.augmentation import Augmentation, augmented_cell  # noqa: E402
from convert.cell_scores import scores_from_predictions  # noqa: E402
from convert.cell_training import CellTraining  # noqa: E402
from convert.commands.train import main  # noqa: E402
from convert.dataset import LabelledCell  # noqa: E402
from convert.decision_fit import area_under_curve, finding_threshold, temperature_from_validation  # noqa: E402
from convert.network import SMALLEST_SIZE_PX as NETWORK_SMALLEST_SIZE_PX  # noqa: E402
from convert.train_cells import cells_that_judge  # noqa: E402
from convert.trained_model import evidence_from_cells  # noqa: E402
from convert.training_batches import (  # noqa: E402
    NOT_ANNOTATED,
    Batch,
    Targets,
    TrainingBatches,
    sampling_weights,
    targets_from_cells,
)
from convert.training_loop import learn, macro_recall  # noqa: E402
from convert.training_loss import masked_findings_loss, positive_weights  # noqa: E402
from convert.training_request import SMALLEST_SIZE_PX  # noqa: E402
from convert.training_schedule import Schedule  # noqa: E402
from convert.training_state import TrainingState, load_state, save_state  # noqa: E402
from edge.catalogue import load_catalogue  # noqa: E402
from edge.errors import EdgeError  # noqa: E402

CATALOGUE = load_catalogue()


def labelled_cell(path, cell_type, *, split="training", origin="real", findings=None):
    return LabelledCell(path, path.name, cell_type, findings or {}, None, split, origin)


class CountingLearner:
    """Learns nothing but how often it was asked: its one weight is the number of steps, its size what it was told."""

    def __init__(self, size_px, recalls=()):
        self.size_px = size_px
        self.steps = 0.0
        self.rates = []
        self.sizes = []
        self._recalls = list(recalls)

    def resize(self, size_px):
        self.size_px = size_px

    def step(self, batch, rate):
        self.steps += 1
        self.rates.append(rate)
        self.sizes.append(batch.images.shape[1])
        return 1.0 / self.steps

    def predict(self, pixels):
        right = self._recalls.pop(0) if self._recalls else 10
        probabilities = np.zeros((len(pixels), 2), np.float32)
        probabilities[:, 1] = np.arange(len(pixels)) < right
        probabilities[:, 0] = 1 - probabilities[:, 1]
        return {"cell_type": probabilities}

    def get_weights(self):
        return [np.array([self.steps], np.float32)]

    def set_weights(self, weights):
        pass

    def optimizer_state(self):
        return [np.array(self.steps)]

    def set_optimizer_state(self, values):
        pass


class BlankBatches:
    def epoch(self, epoch, steps, size_px):
        for _ in range(steps):
            yield Batch(np.zeros((1, size_px, size_px, 3), np.uint8), np.zeros((1, 2)), np.zeros((1, 3)))


def learned(training, learner, *, steps=10, said=None, clock=lambda: 0.0, state=None, kept=None):
    state = state or TrainingState({})
    learn(
        training,
        learner,
        BlankBatches(),
        state,
        steps=steps,
        validation=lambda size_px: np.zeros((10, size_px, size_px, 3), np.uint8),
        truth=np.ones(10, np.int64),
        keep=lambda: kept.append(state.epoch) if kept is not None else None,
        say=said.append if said is not None else lambda line: None,
        started=0.0,
        clock=clock,
    )
    return state


def test_every_epoch_is_kept_and_reported_with_recall_and_time_left():
    said, kept = [], []
    ticks = iter(range(10_000))
    state = learned(
        CellTraining(epochs=3), CountingLearner(299), said=said, kept=kept, clock=lambda: float(next(ticks))
    )
    assert kept == [1, 2, 3]
    assert [row["epoch"] for row in state.rows] == [1, 2, 3]
    assert all(word in said[0] for word in ("epoch   1", "loss", "macro recall", "elapsed", "left"))


def test_the_weights_of_the_best_epoch_are_kept():
    state = learned(CellTraining(epochs=3), CountingLearner(299, recalls=[3, 9, 5]), steps=40)
    assert state.best_epoch == 2
    assert state.best_recall == pytest.approx(0.9)
    assert 40 < state.best[0][0] < 80  # an average over the second epoch's steps, not the last weights


def test_training_stops_when_recall_no_longer_rises():
    state = learned(CellTraining(epochs=50, patience=2), CountingLearner(299, recalls=[3, 9, 5, 5, 5, 5]))
    assert (state.epoch, state.best_epoch) == (4, 2)


def test_the_image_size_changes_during_training_and_the_best_epoch_is_of_the_final_size():
    learner = CountingLearner(64, recalls=[9, 9, 5, 6])
    state = learned(CellTraining(size_px=96, start_size_px=64, start_share=0.5, epochs=4), learner, steps=2)
    assert learner.sizes == [64, 64, 64, 64, 96, 96, 96, 96]
    assert state.best_epoch == 4


def test_the_small_size_never_ends_a_training_before_an_epoch_at_the_final_size():
    training = CellTraining(size_px=96, start_size_px=64, start_share=0.5, epochs=12, patience=2)
    learner = CountingLearner(64, recalls=[9, 5, 5, 5, 5, 5, 6, 5, 5])
    state = learned(training, learner, steps=1)
    assert learner.sizes == [64] * 6 + [96] * 3
    assert (state.best_epoch, state.best_recall) == (7, pytest.approx(0.6))


def test_weights_that_never_saw_the_final_size_are_judged_there_and_it_is_said():
    said, kept = [], []
    training = CellTraining(size_px=96, start_size_px=64, start_share=0.9, epochs=2)
    state = learned(training, CountingLearner(64, recalls=[9, 4, 2]), steps=10, said=said, kept=kept)
    assert state.size_px == 96
    assert (state.best_epoch, state.best_recall) == (2, pytest.approx(0.2))
    assert (state.rows[-1]["size_px"], state.rows[-1]["validation_macro_recall"]) == (96, pytest.approx(0.2))
    assert "before its images reached 96 px" in said[-1]
    assert kept == [1, 2, 2]


def test_a_time_budget_ends_the_training_and_lowers_the_rate_first():
    ticks = iter(range(10_000))
    training = CellTraining(size_px=96, start_size_px=64, start_share=0.5, budget_s=200.0)
    learner = CountingLearner(64)
    state = learned(training, learner, steps=1000, clock=lambda: float(next(ticks)))
    assert 200 <= state.elapsed_s < 230
    assert learner.rates[-1] < 0.02 * training.peak_rate < max(learner.rates)
    assert set(learner.sizes) == {64, 96}  # the budget also decides when the size changes


def test_a_training_goes_on_from_a_kept_state_without_repeating_an_epoch():
    state = learned(CellTraining(epochs=2), CountingLearner(299))
    again = learned(CellTraining(epochs=3), CountingLearner(299), state=state)
    assert [row["epoch"] for row in again.rows] == [1, 2, 3]
    finished = CountingLearner(299)
    learned(CellTraining(epochs=3), finished, state=again)
    assert finished.steps == 0


def test_a_loss_that_is_not_a_number_stops_the_training():
    learner = CountingLearner(299)
    learner.step = lambda batch, rate: float("nan")
    with pytest.raises(EdgeError) as raised:
        learned(CellTraining(epochs=1), learner)
    assert raised.value.code == "MDSE-TRAIN-010"


def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path):
    save_state(tmp_path / "c.npz", TrainingState({"seed": 1, "width": 0.5}))
    with pytest.raises(EdgeError, match="seed") as raised:
        load_state(tmp_path / "c.npz", {"seed": 2, "width": 0.5})
    assert raised.value.code == "MDSE-TRAIN-008"


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "model.checkpoint.npz"
    save_state(path, TrainingState({"seed": 1}, weights=[np.ones(3)]))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(EdgeError) as raised:
        load_state(path, {"seed": 1})
    assert raised.value.code == "MDSE-TRAIN-008"


def test_a_checkpoint_holds_every_array_in_order(tmp_path):
    state = TrainingState({"seed": 1}, epoch=3, weights=[np.full(2, i) for i in range(12)], optimizer=[np.array(5)])
    save_state(tmp_path / "c.npz", state)
    back = load_state(tmp_path / "c.npz", {"seed": 1})
    assert back.epoch == 3
    assert [int(w[0]) for w in back.weights] == list(range(12))
    assert back.optimizer[0].shape == ()


# ---- with the real network, small


@pytest.fixture(scope="module")
def coloured_cells(tmp_path_factory):
    return write_coloured_cells(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def trained_folder(coloured_cells, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    options = ("--allow-missing-types", "--intended-use", "demo")
    assert main(arguments_for(coloured_cells, folder / "m.keras", *options)) == 0
    return folder


def test_the_command_writes_model_card_log_and_curves(trained_folder):
    card = json.loads((trained_folder / "m.card.json").read_text())
    assert card["image"] == {"size": 32, "decoder": "strict-v1", "resize": "area-v1"}
    assert (card["evidence"]["SNE"], card["evidence"]["BL"]) == ("real", "none")
    assert set(card["evidence"]) == {*CATALOGUE.type_codes, *CATALOGUE.finding_codes}
    assert card["decision"]["unidentified_below"]["BL"] == 1.0
    assert card["validation"]["real"]["note"] == "real cells: by image, no patient identity"
    assert (trained_folder / "m.log.csv").read_text().count("\n") == 2
    assert (trained_folder / "m.curves.png").read_bytes().startswith(b"\x89PNG")


def test_findings_that_no_cell_showed_are_never_reported(trained_folder):
    model = keras.models.load_model(trained_folder / "m.keras", compile=False, safe_mode=True)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    assert float(np.asarray(model.predict_on_batch(images)["findings"]).max()) < 1e-5


def test_a_finished_training_is_completed_from_its_checkpoint_without_a_step(
    coloured_cells, trained_folder, capsys, monkeypatch
):
    def no_step(*_):
        raise AssertionError("a step was taken")

    monkeypatch.setattr("convert.keras_learner.KerasLearner.step", no_step)
    before = keras.models.load_model(trained_folder / "m.keras", compile=False).get_weights()
    options = ("--allow-missing-types", "--resume", "--json")
    assert main(arguments_for(coloured_cells, trained_folder / "m.keras", *options)) == 0
    after = keras.models.load_model(trained_folder / "m.keras", compile=False).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((trained_folder / "m.card.json").read_text())["validation"]


def test_the_same_seed_gives_the_same_weights_on_one_machine(coloured_cells, trained_folder, tmp_path):
    options = ("--allow-missing-types", "--seed", "1")
    assert main(arguments_for(coloured_cells, tmp_path / "same.keras", *options)) == 0
    first, same = (
        keras.models.load_model(path, compile=False).get_weights()
        for path in (trained_folder / "m.keras", tmp_path / "same.keras")
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))


def weights_before_the_first_step(monkeypatch, arguments):
    """The weights and the images that a training begins with: it ends there, before the slow first step."""

    class StoppedError(BaseException):  # an Exception would end as a status of the command
        pass

    found = []

    def first_step(learner, batch, _):
        found.extend((learner.get_weights(), batch.images))
        raise StoppedError

    monkeypatch.setattr("convert.keras_learner.KerasLearner.step", first_step)
    with pytest.raises(StoppedError):
        main(arguments)
    return found


def test_another_seed_begins_with_other_weights_and_other_images(coloured_cells, tmp_path, monkeypatch):
    begun = []
    for run, seed in enumerate(("1", "1", "2")):
        arguments = arguments_for(coloured_cells, tmp_path / f"{run}.keras", "--allow-missing-types", "--seed", seed)
        begun.append(weights_before_the_first_step(monkeypatch, arguments))
    (weights, images), (same_weights, same_images), (other_weights, other_images) = begun
    assert all(np.array_equal(a, b) for a, b in zip(weights, same_weights, strict=True))
    assert np.array_equal(images, same_images)
    assert not all(np.array_equal(a, b) for a, b in zip(weights, other_weights, strict=True))
    assert not np.array_equal(images, other_images)


def test_initial_weights_are_where_the_training_starts(coloured_cells, trained_folder, tmp_path, monkeypatch):
    options = ("--allow-missing-types", "--init", str(trained_folder / "m.keras"), "--seed", "7")
    arguments = arguments_for(coloured_cells, tmp_path / "n.keras", *options)
    found, _ = weights_before_the_first_step(monkeypatch, arguments)
    given = keras.models.load_model(trained_folder / "m.keras", compile=False).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(found, given, strict=True))


def test_initial_weights_of_another_width_are_refused(coloured_cells, trained_folder, tmp_path, capsys):
    options = ("--allow-missing-types", "--init", str(trained_folder / "m.keras"))
    arguments = arguments_for(coloured_cells, tmp_path / "n.keras", *options)
    arguments[arguments.index("0.1")] = "0.2"
    assert main(arguments) == 2
    assert "MDSE-TRAIN-009" in capsys.readouterr().err


def test_types_without_cells_are_refused_with_a_remedy(coloured_cells, tmp_path, capsys):
    assert main(arguments_for(coloured_cells, tmp_path / "m.keras")) == 2
    said = capsys.readouterr().err
    assert "MDSE-TRAIN-005" in said
    assert "--drawn" in said


@pytest.mark.parametrize(
    "extra", [[], ["--epochs", "0"], ["--minutes", "1", "--width", "0"], ["--epochs", "1", "--size", "20"]]
)
def test_arguments_that_make_no_training_are_a_usage_error(extra, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["cells", str(tmp_path), "--out", str(tmp_path / "m.keras"), *extra])
    assert stopped.value.code == 2


def test_the_command_knows_the_networks_smallest_size():
    assert SMALLEST_SIZE_PX == NETWORK_SMALLEST_SIZE_PX


def test_both_learners_agree_on_one_network(coloured_cells, tmp_path):
    pytest.importorskip("torch")
    # The command itself compares what was trained with the Keras model that is saved, and refuses a difference.
    options = ("--allow-missing-types", "--learner", "torch", "--size", "33", "--start-size", "32")
    assert main(arguments_for(coloured_cells, tmp_path / "m.keras", *options)) == 0


def test_mixed_precision_learns_in_bfloat16_and_predicts_in_float32(coloured_cells, tmp_path):
    pytest.importorskip("torch")
    # A prediction in bfloat16 would differ from Keras' by far more than the command's own comparison allows.
    options = ("--allow-missing-types", "--learner", "torch", "--mixed-precision")
    assert main(arguments_for(coloured_cells, tmp_path / "m.keras", *options)) == 0


def test_real_cells_judge_an_epoch_where_a_type_has_enough_of_them(tmp_path):
    cells = [labelled_cell(tmp_path / f"a{i}", "SNE") for i in range(10)]
    cells += [labelled_cell(tmp_path / f"b{i}", "SNE", origin="drawn") for i in range(30)]
    cells += [labelled_cell(tmp_path / f"c{i}", "TAG") for i in range(9)]
    cells += [labelled_cell(tmp_path / f"d{i}", "TAG", origin="drawn") for i in range(30)]
    judging = Counter((cell.cell_type, cell.origin) for cell in cells_that_judge(cells))
    assert judging == {("SNE", "real"): 10, ("TAG", "real"): 9, ("TAG", "drawn"): 30}


def test_without_pytorch_the_faster_learner_is_refused_with_a_remedy(coloured_cells, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "convert.torch_learner", raising=False)
    options = ("--allow-missing-types", "--learner", "torch")
    assert main(arguments_for(coloured_cells, tmp_path / "m.keras", *options)) == 2
    assert "MDSE-TRAIN-011" in capsys.readouterr().err


# ---- parts


def test_findings_that_nobody_annotated_cost_nothing():
    loss = masked_findings_loss(np.ones(3, np.float32))
    target = np.array([[1, 0, NOT_ANNOTATED], [NOT_ANNOTATED] * 3], np.float32)
    good = np.array([[0.9, 0.1, 0.5], [0.5] * 3], np.float32)
    changed = good.copy()
    changed[0, 2], changed[1] = 0.99, 0.01
    first, second = np.asarray(loss(target, good)), np.asarray(loss(target, changed))
    assert np.allclose(first, second)
    assert np.isclose(first.mean(), -np.log(0.9), atol=1e-5)  # the mean over the two annotated entries


def test_rare_positive_findings_weigh_more_but_not_without_limit():
    findings = np.full((300, 3), NOT_ANNOTATED, np.float32)
    findings[:, 0] = 0
    findings[:60, 0] = 1
    findings[0, 1], findings[1:, 1] = 1, 0
    assert positive_weights(findings).tolist() == [4.0, 10.0, 1.0]


def test_every_type_is_drawn_equally_often_and_a_handful_of_real_cells_is_not_hammered(tmp_path):
    cells = [labelled_cell(tmp_path / f"a{i}", "SNE") for i in range(300)]
    cells += [labelled_cell(tmp_path / f"b{i}", "SNE", origin="drawn") for i in range(100)]
    cells += [labelled_cell(tmp_path / f"c{i}", "TAG") for i in range(2)]
    cells += [labelled_cell(tmp_path / f"d{i}", "TAG", origin="drawn") for i in range(100)]
    cells += [labelled_cell(tmp_path / f"e{i}", "BL", origin="drawn") for i in range(7)]
    weights = sampling_weights(cells, real_share=0.75)
    by = {
        key: sum(w for w, c in zip(weights, cells, strict=True) if (c.cell_type, c.origin) == key)
        for key in {(c.cell_type, c.origin) for c in cells}
    }
    assert np.isclose(by["SNE", "real"], 0.75 / 3)
    assert np.isclose(by["SNE", "drawn"], 0.25 / 3)
    assert np.isclose(by["TAG", "real"], 0.75 * 0.02 / 3)
    assert np.isclose(by["BL", "drawn"], 1 / 3)


def batches_of(pixels, targets, seed=1):
    weights = np.full(len(pixels), 1 / len(pixels))
    return TrainingBatches(pixels, targets, weights, type_count=17, batch=4, seed=seed, augmentation=Augmentation())


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 40, 40, 3), dtype=np.uint8)
    targets = Targets(np.arange(9) % 17, np.zeros((9, 97), np.float32))
    first = [batch.images for batch in batches_of(pixels, targets).epoch(3, 2, 32)]
    again = [batch.images for batch in batches_of(pixels, targets).epoch(3, 2, 32)]
    other = [batch.images for batch in batches_of(pixels, targets, seed=2).epoch(3, 2, 32)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_an_error_in_the_background_reaches_the_caller():
    targets = Targets(np.zeros(3, np.int64), np.zeros((3, 97), np.float32))
    broken = batches_of(np.zeros((3, 0, 0, 3), np.uint8), targets)
    with pytest.raises((cv2.error, ValueError)):
        next(broken.epoch(0, 1, 32))


def test_targets_follow_the_catalogues_order(tmp_path):
    cells = [labelled_cell(tmp_path / "a", "BNE", findings={"NE02": 1, "NE01": 0})]
    targets = targets_from_cells(cells, CATALOGUE)
    assert CATALOGUE.type_codes[targets.cell_type[0]] == "BNE"
    assert targets.findings[0, :3].tolist() == [0, 1, NOT_ANNOTATED]


def test_augmentation_changes_the_look_and_keeps_size_and_kind():
    random = np.random.default_rng(0)
    pixels = np.full((60, 60, 3), 220, np.uint8)
    pixels[20:40, 20:40] = 60
    views = [augmented_cell(pixels, 48, pixels, Augmentation(), random) for _ in range(8)]
    assert {(view.shape, view.dtype) for view in views} == {((48, 48, 3), np.dtype(np.uint8))}
    assert len({view.tobytes() for view in views}) == 8
    assert all(view[24, 24].mean() + 40 < view[2, 2].mean() for view in views)  # the cell stays in the middle


def test_the_schedule_warms_up_falls_and_adapts_to_the_time_used():
    schedule = Schedule(96, 64, 0.5, epochs=10, budget_s=100.0, peak_rate=1.0)
    assert schedule.rate(0.0) < 0.05 < schedule.rate(0.04)
    assert schedule.rate(1.0) == pytest.approx(0.01)
    assert schedule.progress(1.0, 80.0) == pytest.approx(0.8)  # slow machine: time rules
    assert schedule.progress(9.0, 5.0) == pytest.approx(0.9)
    assert (schedule.size(0.49), schedule.size(0.5)) == (64, 96)


def test_the_temperature_that_made_overconfident_outputs_is_found_again():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2.0, (4000, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([random.choice(5, p=row) for row in probabilities])
    sharpened = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True)
    assert temperature_from_validation(sharpened.astype(np.float32), truth) == pytest.approx(3.0, rel=0.1)


def test_a_finding_threshold_separates_where_it_can_and_is_neutral_where_positives_are_few():
    target = np.array([0] * 30 + [1] * 12 + [NOT_ANNOTATED] * 5, np.float32)
    values = np.array([0.1] * 30 + [0.3] * 12 + [0.2] * 5, np.float32)
    assert finding_threshold(values, target) == pytest.approx(0.2)
    assert finding_threshold(values[:39], target[:39]) == 0.5


def test_the_area_under_the_curve_counts_ties_half():
    shown = np.array([True, True, False, False])
    assert area_under_curve(np.array([0.9, 0.8, 0.2, 0.1], np.float32), shown) == 1.0
    assert area_under_curve(np.array([0.5, 0.5, 0.5, 0.5], np.float32), shown) == 0.5
    assert area_under_curve(np.array([0.9, 0.2, 0.5, 0.1], np.float32), shown) == 0.75
    assert area_under_curve(np.array([0.9], np.float32), np.array([True])) is None


def test_macro_recall_gives_every_type_the_same_weight():
    truth = np.array([0] * 98 + [1, 1])
    assert macro_recall(truth, np.zeros(100, np.int64)) == 0.5


def test_scores_count_a_band_called_segmented_as_right_in_its_group(tmp_path):
    truth = [CATALOGUE.type_codes.index(code) for code in ("SNE", "BNE", "BL")]
    called = [CATALOGUE.type_codes.index(code) for code in ("SNE", "SNE", "LY")]
    predicted = {"cell_type": np.eye(17, dtype=np.float32)[called], "findings": np.zeros((3, 97), np.float32)}
    targets = Targets(np.array(truth), np.full((3, 97), NOT_ANNOTATED, np.float32))
    thresholds = dict.fromkeys(CATALOGUE.finding_codes, 0.5)
    scores = scores_from_predictions(predicted, targets, CATALOGUE, thresholds, note="n", simulated=False)
    assert scores["accuracy"] == pytest.approx(1 / 3, abs=1e-4)
    assert scores["groups"] == {"accuracy": 1.0, "n": 2}  # a blast was in none of the published groups
    assert scores["cell_types"]["BNE"]["sensitivity"] == 0.0
    assert (scores["macro_recall"], scores["macro_recall_types"]) == (None, 0)  # one cell of a type is no average


def test_a_handful_of_real_cells_beside_many_drawn_ones_is_no_real_evidence(tmp_path):
    cells = [labelled_cell(tmp_path / f"a{i}", "SNE", findings={"NE07": 1, "NE01": 0}) for i in range(20)]
    cells += [labelled_cell(tmp_path / f"b{i}", "TAG") for i in range(8)]
    cells += [labelled_cell(tmp_path / f"c{i}", "TAG", origin="drawn") for i in range(30)]
    cells += [labelled_cell(tmp_path / "d", "LY")]
    evidence = evidence_from_cells(cells, CATALOGUE)
    assert (evidence["SNE"], evidence["TAG"], evidence["BL"], evidence["LY"]) == ("real", "drawn", "none", "real")
    assert (evidence["NE07"], evidence["NE01"]) == ("real", "none")


def test_no_finding_threshold_lets_more_than_one_negative_cell_in_twenty_through():
    rng = np.random.default_rng(3)
    shown = rng.random(400) < 0.5
    values = np.clip(rng.normal(np.where(shown, 0.6, 0.4), 0.2), 0, 1).astype(np.float32)
    target = shown.astype(np.float32)
    threshold = finding_threshold(values, target)
    assert np.mean(values[~shown] < threshold) >= 0.95
    # Not stricter than it must be either: one step lower would let too many through.
    assert np.mean(values[~shown] < threshold - 0.02) < 0.95
    few = finding_threshold(values[~shown], np.zeros((~shown).sum(), np.float32))
    assert np.mean(values[~shown] < few) >= 0.95 > np.mean(values[~shown] < few - 0.02)
