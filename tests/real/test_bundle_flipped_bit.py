"""One flipped bit anywhere in the bundle, and nothing runs: commands and daemon refuse, and name the file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.bundle.reader import open_bundle
from edge.errors import EXIT_BUNDLE_DOES_NOT_FIT, EXIT_CONFIGURATION, EdgeError
from tests.fault.site import REPOSITORY, Site
from tests.real.real_site import PATIENCE_S, TestedBundle, drawn_files, export_slide, real_site, run

# One of each kind; every other listed file is tried without a process of its own.
PARTS = ("manifest.json", "catalogue.json", "cells.*.onnx", "trees/*/*.so", "golden/expected.npz")


def flip(path: Path, place: int) -> None:
    """Flip the lowest bit of one byte."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.fixture
def damaged(tmp_path: Path, bundle: TestedBundle, request: pytest.FixtureRequest) -> tuple[TestedBundle, str]:
    """A copy of the bundle with one flipped bit in the middle of one file, and the file's name."""
    copy = TestedBundle(tmp_path / "copy", bundle.public_key)
    shutil.copytree(bundle.path, copy.path)
    found = sorted(copy.path.glob(request.param))
    assert found, f"the bundle holds no {request.param}"
    flip(found[0], found[0].stat().st_size // 2)
    return copy, found[0].relative_to(copy.path).as_posix()


def ended_daemon(site: Site, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        site.command(*options), env=site.environment(), cwd=REPOSITORY, capture_output=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("damaged", PARTS, indirect=True)
def test_edge_run_refuses_the_bundle_and_names_the_file(damaged: tuple[TestedBundle, str], tmp_path: Path) -> None:
    copy, name = damaged
    slide = export_slide(tmp_path, "A1", drawn_files(1), sample_id="S1")
    ended = run("edge.commands.run", str(slide), "--json", *copy.options, expect=[EXIT_BUNDLE_DOES_NOT_FIT])
    assert ended.stdout == b""
    (line,) = ended.stderr.decode().splitlines()
    assert line.startswith("error: MDSE-BUNDLE-")
    assert name in line
    assert "again" in line, "it says what to do"


@pytest.mark.parametrize("damaged", PARTS, indirect=True)
def test_the_daemon_refuses_to_start_names_the_file_and_takes_no_slide(
    damaged: tuple[TestedBundle, str], tmp_path: Path
) -> None:
    copy, name = damaged
    site = real_site(tmp_path / "site", copy)
    export_slide(site.export, "A1", drawn_files(1), sample_id="S1")
    ended = ended_daemon(site)
    last = ended.stderr.decode().splitlines()[-1]
    assert ended.returncode == EXIT_CONFIGURATION, ended.stderr
    assert last.startswith("error: MDSE-DAEMON-002")
    assert name in last
    assert "edge-bundle verify" in last
    assert site.results("hl7") == site.results("json") == []


def test_a_flipped_bit_is_found_in_every_file_of_the_bundle(tmp_path: Path, bundle: TestedBundle) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    key = bundle.public_key.read_bytes() if bundle.public_key else None
    names = [*bundle.manifest["files"], *(["manifest.sig"] if key else [])]
    for name in names:
        size = (copy / name).stat().st_size
        for place in (0, size // 3, size - 2):
            flip(copy / name, place)
            with pytest.raises(EdgeError, match=f"MDSE-BUNDLE-.* {name}: "):
                open_bundle(copy, public_key=key)
            flip(copy / name, place)
    assert open_bundle(copy, public_key=key).signed_by_trusted_key == (key is not None)


def test_a_flipped_bit_that_leaves_the_manifest_readable_breaks_its_signature(
    tmp_path: Path, bundle: TestedBundle
) -> None:
    if bundle.public_key is None:
        pytest.skip("this rehearsal bundle is not signed: without a key nothing is verified beyond digests")
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    text = (copy / "manifest.json").read_bytes()
    flip(copy / "manifest.json", text.index(b'"version": "') + len(b'"version": "'))
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-009 manifest\.sig: "):
        open_bundle(copy, public_key=bundle.public_key.read_bytes())


@pytest.mark.parametrize("options", [(), ("--check-config",)])
def test_a_demonstration_bundle_needs_to_be_allowed_before_it_may_write_to_a_lis(
    tmp_path: Path, bundle: TestedBundle, options: tuple[str, ...]
) -> None:
    site = real_site(tmp_path / "site", bundle, allow_demo=False)
    ended = ended_daemon(site, *options)
    assert ended.returncode == EXIT_CONFIGURATION
    (line,) = (text for text in ended.stderr.decode().splitlines() if "MDSE-DAEMON-003" in text)
    assert str(bundle.path) in line
    assert "bundle.allow_demo = true" in line


@pytest.mark.parametrize("damaged", ["cells.*.onnx"], indirect=True)
def test_checking_the_configuration_finds_a_damaged_bundle_too(
    damaged: tuple[TestedBundle, str], tmp_path: Path
) -> None:
    copy, name = damaged
    ended = ended_daemon(real_site(tmp_path / "site", copy), "--check-config")
    assert ended.returncode == EXIT_CONFIGURATION
    assert name in ended.stderr.decode()


@pytest.mark.parametrize("options", [(), ("--check-config",)])
def test_a_public_key_that_is_not_there_stops_the_start_and_is_named(
    tmp_path: Path, bundle: TestedBundle, options: tuple[str, ...]
) -> None:
    absent = tmp_path / "absent.pem"
    ended = ended_daemon(real_site(tmp_path / "site", TestedBundle(bundle.path, absent)), *options)
    assert ended.returncode == EXIT_CONFIGURATION
    assert f"MDSE-BUNDLE-010 {absent}: " in ended.stderr.decode()


def test_checking_the_configuration_opens_the_bundle_and_says_which_it_is(tmp_path: Path, bundle: TestedBundle) -> None:
    site = real_site(tmp_path / "site", bundle)
    ended = ended_daemon(site, "--check-config")
    assert ended.returncode == 0, ended.stderr
    manifest = bundle.manifest
    assert f"bundle: {manifest['name']} {manifest['version']} for demo use" in ended.stdout.decode()
    assert list((site.root / "state" / "cache").iterdir()) == []
