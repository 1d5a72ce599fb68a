"""Worker and --check-config refuse a bundle that does not fit the site: codes with another meaning, unknown targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bundles import CATALOGUE, TARGET, bundle_contents, manifest_document, write_bundle

from edge.catalogue import Catalogue, json_from_catalogue
from edge.config import Config, config_from_text
from edge.daemon.start_check import check_models
from edge.daemon.worker import BundleAnalyzer
from edge.daemon.worker_orders import model_settings
from edge.errors import EdgeError

CONFIG = """\
[site]
id = "HEMLAB"
timezone = "UTC"

[bundle]
path = "{bundle}"

[assess]
targets = {targets}

[[source]]
id = "di60"
path = "/srv/di60-export"

[[output]]
format = "{format}"
path = "/srv/drop"
ack = "none"
"""
OTHER_FINDING = tuple(
    replace(row, name="vacuoles", standard_term="Vacuolated neutrophil") if row.code == "NE08" else row
    for row in CATALOGUE.findings
)
OTHER_MEANING = replace(CATALOGUE, findings=OTHER_FINDING)


def bundle_at(folder: Path, catalogue: Catalogue = CATALOGUE, family: str | None = None) -> Path:
    """Write the painted bundle with another catalogue of the same codes, its question in a family."""
    contents = bundle_contents(**{"catalogue.json": json_from_catalogue(catalogue)})
    document = manifest_document(contents)
    document["assessments"][0]["family"] = family
    return write_bundle(folder, contents, document, sign=False)


def config_of(bundle: Path, *, format_name: str = "hl7", targets: str = "[]") -> Config:
    return config_from_text(CONFIG.format(bundle=bundle, format=format_name, targets=targets))


def refusals(config: Config) -> tuple[str, str]:
    """What the worker says when it opens the model, and what --check-config says."""
    with pytest.raises(EdgeError) as worker:
        BundleAnalyzer(model_settings(config, device="cpu", cache=None))
    with pytest.raises(EdgeError) as check:
        check_models(config)
    assert worker.value.exit_status in (4, 78), "with these a start ends instead of trying again for ever"
    assert check.value.code == "MDSE-DAEMON-002"
    assert str(worker.value) in str(check.value)
    return worker.value.code, str(check.value)


def test_a_catalogue_that_the_outputs_would_misname_is_refused_and_the_record_alone_is_not(tmp_path):
    bundle = bundle_at(tmp_path / "bundle", OTHER_MEANING)
    code, text = refusals(config_of(bundle))
    assert code == "MDSE-CATALOGUE-002"
    assert "NE08: its name is 'vacuoles'" in text
    assert "painted 1" in check_models(config_of(bundle, format_name="json"))


def test_a_misspelt_target_is_refused_with_what_the_bundle_assesses(tmp_path):
    bundle = bundle_at(tmp_path / "bundle", family="mds")
    code, text = refusals(config_of(bundle, targets=f'["{TARGET}", "mds_a"]'))
    assert code == "MDSE-ASSESS-004"
    assert f"does not assess mds_a; it assesses: mds, {TARGET}." in text


@pytest.mark.parametrize("targets", ["[]", f'["{TARGET}"]', '["mds"]'])
def test_targets_and_families_of_the_bundle_are_taken(tmp_path, targets):
    bundle = bundle_at(tmp_path / "bundle", family="mds")
    assert "painted 1" in check_models(config_of(bundle, targets=targets))
