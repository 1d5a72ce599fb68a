"""Changed bundles are refused before a byte of them runs: the attacks, and a sample of the flipped bits."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks import bundle_attacks
from benchmarks.bundle_attack_kinds import ATTACKS, Attack
from edge.demo import DEMO_BUNDLE, DEMO_PUBLIC_KEY
from edge.model import open_model


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_every_attack_is_refused_for_its_own_reason_and_no_byte_of_the_bundle_runs(tmp_path):
    with bundle_attacks.Markers().set() as markers:
        outcomes = [bundle_attacks._attacked(attack, tmp_path) for attack in ATTACKS if attack.name != "zip bomb"]
    assert [row for row in outcomes if not row["held"]] == []
    assert len(outcomes) >= 40
    assert not markers.tripped


def test_a_sample_of_flipped_bits_is_refused_and_the_whole_bundle_trips_every_marker(tmp_path):
    folder, key = tmp_path / "bundle", DEMO_PUBLIC_KEY.read_bytes()
    shutil.copytree(DEMO_BUNDLE, folder)
    with bundle_attacks.Markers().set() as markers:
        flips = [
            bundle_attacks._flip_bits(folder, "manifest.json", range(0, 130_000, 1009), key),
            bundle_attacks._flip_bits(folder, "manifest.sig", range(0, 712, 7), key),
            bundle_attacks._flip_samples(folder, 30, key),
        ]
        assert all(found["refused"] == found["flipped"] > 0 for found in flips)
        assert not markers.tripped
        open_model(folder, public_key=key, threads=1).close()
        assert set(markers.tripped) == set(bundle_attacks.MARKED)


def test_a_site_without_a_key_never_loads_the_compiled_trees_of_a_bundle(tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(DEMO_BUNDLE, folder)
    with bundle_attacks.Markers().set() as markers:
        assert bundle_attacks._unsigned_library(folder, markers) == 0


def test_the_attacks_fail_where_one_comes_through_and_where_the_whole_bundle_leaves_a_marker_silent():
    document = json.loads(bundle_attacks.RESULT.read_text(encoding="utf-8"))
    assert bundle_attacks.status_of(bundle_attacks.summary_of(document)) == 0
    silent = {**document, "control_tripped": {"engine": 1, "checkpoint": 1}}
    assert bundle_attacks.status_of(bundle_attacks.summary_of(silent)) == 1
    loaded = {**document, "unsigned_library_loaded": 1}
    assert bundle_attacks.status_of(bundle_attacks.summary_of(loaded)) == 1


def test_an_attack_that_comes_through_is_counted_as_such(tmp_path):
    harmless = Attack("nothing", lambda folder: None, ("MDSE-BUNDLE-001",))
    assert bundle_attacks._attacked(harmless, tmp_path) == {"name": "nothing", "found": "opened", "held": False}
