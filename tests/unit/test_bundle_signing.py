"""edge-bundle sign signs the manifest that it verified and no other; a crash does not stand in the way of the next."""

from __future__ import annotations

import shutil

import pytest

from edge.bundle import reader
from edge.bundle.signature import generate_key_pair
from edge.commands.bundle import main
from edge.demo import DEMO_BUNDLE

PRIVATE, PUBLIC = generate_key_pair()


@pytest.fixture
def bundle(tmp_path):
    folder = shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle")
    (folder / "manifest.sig").unlink(missing_ok=True)
    return folder


@pytest.fixture
def sign(bundle, tmp_path):
    key = tmp_path / "private.pem"
    key.write_bytes(PRIVATE)
    return lambda: main(["sign", str(bundle), "--key", str(key)])


def signed(bundle):
    return reader.open_bundle(bundle, public_key=PUBLIC).signed_by_trusted_key


def test_a_manifest_that_is_changed_after_the_check_is_not_signed(bundle, sign, monkeypatch, capsys):
    check = reader.open_bundle

    def check_and_lose(path, *, public_key):
        opened = check(path, public_key=public_key)
        manifest = bundle / "manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b'"demo"', b'"clinical"'))
        return opened

    monkeypatch.setattr(reader, "open_bundle", check_and_lose)
    assert sign() == 2
    assert "MDSE-BUNDLE-020" in capsys.readouterr().err
    assert b'"clinical"' in (bundle / "manifest.json").read_bytes()
    assert not list(bundle.glob("*.sig")), "nobody has checked what it would have vouched for"


def test_what_a_crash_while_signing_left_is_removed_by_the_next_signing(bundle, sign):
    (bundle / ".manifest.sig.partial").write_bytes(b"half a signa")
    assert sign() == 0
    assert signed(bundle)
    assert not (bundle / ".manifest.sig.partial").exists()


def test_another_file_that_the_manifest_does_not_name_still_stops_the_signing(bundle, sign, capsys):
    (bundle / ".other.partial").write_bytes(b"")
    assert sign() == 4
    assert "MDSE-BUNDLE-004 .other.partial" in capsys.readouterr().err
    assert not (bundle / "manifest.sig").exists()


def test_what_cannot_be_removed_or_replaced_is_named(bundle, sign, capsys):
    (bundle / ".manifest.sig.partial").mkdir()
    assert sign() == 2
    said = capsys.readouterr().err
    assert "MDSE-BUNDLE-020" in said
    assert ".manifest.sig.partial" in said


def test_a_bundle_that_is_not_there_or_no_folder_is_named_as_before(tmp_path, capsys):
    key, file = tmp_path / "private.pem", tmp_path / "file"
    key.write_bytes(PRIVATE)
    file.write_bytes(b"")
    for path in (tmp_path / "nowhere", file):
        assert main(["sign", str(path), "--key", str(key)]) in (2, 4)
        assert f"MDSE-BUNDLE-001 {path}" in capsys.readouterr().err
