"""A bundle is opened whole and verified, or refused with the name of the file at fault."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from edge.bundle import reader
from edge.bundle.digest import manifest_bytes, sha256_hex
from edge.bundle.manifest import manifest_from_bytes
from edge.bundle.reader import open_bundle
from edge.bundle.signature import generate_key_pair, public_from_private, sign_manifest, verify_signature
from edge.catalogue import json_from_catalogue, load_catalogue
from edge.errors import EdgeError

CATALOGUE = load_catalogue()
PRIVATE, PUBLIC = generate_key_pair()
CONTENTS = {
    "catalogue.json": json_from_catalogue(CATALOGUE),
    "cells.int8.onnx": b"\x12\x7f" + b"a model of one field: the name of its producer".ljust(127),
    "golden/images.npz": b"images",
    "golden/expected.npz": b"expected",
    "golden/profiles.npz": b"profiles",
    "trees/mds_aa/model.json": b"{}",
    "trees/mds_aa/model.treelite": b"trees",
    "trees/mds_aa/linux-x86_64.so": b"\x7fELF and so on",
    "MODEL_CARD.md": b"",
}


def manifest_document(contents=CONTENTS):
    findings, types = CATALOGUE.finding_codes, CATALOGUE.type_codes
    return {
        "schema": "mds-edge.bundle/1",
        "name": "test",
        "version": "2026.1",
        "intended_use": "demo",
        "image": {"size": 64, "decoder": "strict-v1", "resize": "area-v1"},
        "embedding_dim": 8,
        "types": list(types),
        "findings": list(findings),
        "parameters": list(CATALOGUE.parameter_names),
        "evidence": dict.fromkeys((*types, *findings), "none"),
        "files": {name: {"sha256": sha256_hex(data), "bytes": len(data)} for name, data in contents.items()},
        "engines": [{"file": "cells.int8.onnx", "device": "cpu", "precision": "int8", "proof": "NOT PROVEN"}],
        "decision": {
            "temperature": 1.0,
            "finding_threshold": dict.fromkeys(findings, 0.5),
            "unidentified_below": dict.fromkeys(types, 0.0),
            "ood": None,
            "gates": {
                "blast_review_share": 0.01,
                "blast_not_evaluable_share": 0.2,
                "infection_rate": {"NE07": 0.05, "NE08": 0.1, "NE09": 0.05},
            },
        },
        "assessments": [
            {
                "target": "mds_aa",
                "positive": "MDS",
                "negative": "AA",
                "threshold": 0.5,
                "calibration": {"slope": 1.0, "intercept": 0.0},
                "minimum": {"wbc": 50, "neutrophil": 20},
                "trees": "trees/mds_aa",
            }
        ],
        "cohort": {
            "mds_aa": {"simulated": True, "cases": {"MDS": 75, "AA": 36}, "range": {}, "outside_allowed": 3},
        },
    }


def write_bundle(folder: Path, document=None, contents=CONTENTS, private=PRIVATE) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    data = manifest_bytes(document or manifest_document(contents))
    (folder / "manifest.json").write_bytes(data)
    if private:
        (folder / "manifest.sig").write_bytes(sign_manifest(data, private))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_bundle(tmp_path / "wbc")


def refusal(folder, public_key=PUBLIC):
    with pytest.raises(EdgeError) as caught:
        open_bundle(folder, public_key=public_key)
    return caught.value


@pytest.mark.case("H10")
def test_a_signed_bundle_gives_the_bytes_that_were_verified_when_another_lies_in_its_place(folder, tmp_path):
    bundle = open_bundle(folder, public_key=PUBLIC)
    other = {name: data[::-1] + b" of the other" for name, data in CONTENTS.items() if name != "catalogue.json"}
    another = write_bundle(tmp_path / "another", contents={**CONTENTS, **other})
    folder.rename(tmp_path / "before")
    another.rename(folder)
    assert (folder / "trees/mds_aa/model.json").read_bytes() != CONTENTS["trees/mds_aa/model.json"]
    assert {name: bundle.read(name) for name in CONTENTS} == CONTENTS
    assert bundle.signed_by_trusted_key
    assert bundle.catalogue == CATALOGUE
    assert bundle.digest == sha256_hex(manifest_bytes(manifest_document()))


def test_without_a_public_key_a_bundle_opens_but_is_not_trusted(folder):
    assert not open_bundle(folder, public_key=None).signed_by_trusted_key


def test_the_engine_section_of_the_manifest_reaches_the_reader(folder):
    assert open_bundle(folder, public_key=PUBLIC).manifest.engines[0].file == "cells.int8.onnx"


@pytest.mark.case("H1")
def test_one_flipped_bit_in_any_file_is_refused_and_the_file_is_named(folder):
    draw = random.Random(1)
    for name in [*CONTENTS, "manifest.json", "manifest.sig"]:
        path = folder / name
        original = path.read_bytes()
        for _ in range(12 if original else 0):
            position, bit = draw.randrange(len(original)), draw.randrange(8)
            flipped = bytearray(original)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            error = refusal(folder)
            # A changed manifest shows in itself, in a file that it no longer describes, or in the signature.
            assert error.where == name or name == "manifest.json"
        path.write_bytes(original)
    open_bundle(folder, public_key=PUBLIC)


@pytest.mark.case("H1")
def test_every_bit_of_the_signature_file_counts(folder):
    original = (folder / "manifest.sig").read_bytes()
    for position in range(len(original)):
        for bit in range(8):
            flipped = bytearray(original)
            flipped[position] ^= 1 << bit
            with pytest.raises(EdgeError, match="MDSE-BUNDLE-009"):
                verify_signature((folder / "manifest.json").read_bytes(), bytes(flipped), PUBLIC)


@pytest.mark.case("H2")
def test_a_valid_signature_of_another_key_is_refused(folder):
    assert refusal(folder, generate_key_pair()[1]).code == "MDSE-BUNDLE-009"


@pytest.mark.case("H2")
def test_an_unsigned_bundle_is_refused_where_a_key_is_configured(folder):
    (folder / "manifest.sig").unlink()
    assert refusal(folder).code == "MDSE-BUNDLE-008"


def test_a_key_of_another_kind_is_refused(folder):
    assert refusal(folder, b"not a key").code == "MDSE-BUNDLE-010"
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-010"):
        sign_manifest(b"", PUBLIC)


def test_the_public_key_can_be_told_from_the_private_one():
    assert public_from_private(PRIVATE) == PUBLIC


@pytest.mark.case("H3")
def test_a_file_that_the_manifest_does_not_list_is_refused(folder):
    (folder / "golden" / "extra.npz").write_bytes(b"")
    error = refusal(folder)
    assert (error.code, error.where) == ("MDSE-BUNDLE-004", "golden/extra.npz")


@pytest.mark.case("H3")
@pytest.mark.parametrize("name", [*CONTENTS, "manifest.json"])
def test_a_listed_file_that_is_missing_is_refused(folder, name):
    (folder / name).unlink()
    error = refusal(folder)
    assert (error.code, error.where) == ("MDSE-BUNDLE-005", name)


@pytest.mark.parametrize("change", [-1, 1])
def test_another_size_is_refused_before_the_file_is_read(folder, change):
    path = folder / "cells.int8.onnx"
    size = path.stat().st_size + change
    os.truncate(path, size)
    error = refusal(folder)
    assert (error.code, error.where) == ("MDSE-BUNDLE-006", "cells.int8.onnx")


@pytest.mark.case("H13")
def test_a_huge_sparse_manifest_is_refused_unread(folder):
    os.truncate(folder / "manifest.json", 1 << 40)
    assert refusal(folder).code == "MDSE-BUNDLE-006"


@pytest.mark.case("H13")
def test_a_flood_of_files_is_refused(folder):
    for number in range(300):
        (folder / "golden" / f"{number}.npz").touch()
    assert refusal(folder).code == "MDSE-BUNDLE-003"


@pytest.mark.case("H4")
@pytest.mark.parametrize("name", ["catalogue.json", "manifest.json", "manifest.sig", "golden/images.npz"])
def test_a_symbolic_link_is_refused_even_to_the_right_bytes(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    error = refusal(folder)
    assert (error.code, error.where) == ("MDSE-BUNDLE-003", name)


@pytest.mark.case("H4")
def test_a_link_that_replaces_a_file_after_the_folder_was_listed_is_not_followed(folder, tmp_path, monkeypatch):
    listed = reader._list_files

    def list_then_replace(root):
        found = listed(root)
        (folder / "golden" / "images.npz").rename(tmp_path / "elsewhere")
        (folder / "golden" / "images.npz").symlink_to(tmp_path / "elsewhere")
        return found

    monkeypatch.setattr(reader, "_list_files", list_then_replace)
    error = refusal(folder)
    assert (error.code, error.where) == ("MDSE-BUNDLE-003", "golden/images.npz")


@pytest.mark.case("H4")
def test_a_linked_folder_is_refused(folder, tmp_path):
    (folder / "golden").rename(tmp_path / "golden")
    (folder / "golden").symlink_to(tmp_path / "golden")
    error = refusal(folder)
    assert (error.code, error.where) == ("MDSE-BUNDLE-003", "golden")


@pytest.mark.case("H4")
@pytest.mark.parametrize("name", ["catalogue.json", "manifest.json", "manifest.sig", "other"])
def test_a_pipe_is_refused_at_once_and_never_waited_for(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    error = refusal(folder)
    assert (error.code, error.where) == ("MDSE-BUNDLE-003", name)


@pytest.mark.case("H4")
def test_a_hard_link_is_refused_unless_a_trusted_key_vouches_for_the_bundle(folder, tmp_path):
    os.link(folder / "cells.int8.onnx", tmp_path / "second-name")
    error = refusal(folder, public_key=None)
    assert (error.code, error.where) == ("MDSE-BUNDLE-003", "cells.int8.onnx")
    assert open_bundle(folder, public_key=PUBLIC).signed_by_trusted_key


@pytest.mark.case("H4")
@pytest.mark.case("H5")
@pytest.mark.case("H6")
@pytest.mark.parametrize(
    "name",
    "../x.json /etc/passwd golden/../x trees/mds_aa/../../x.so custom.so model.pkl model.pt golden/images.npy "
    "model.keras cells.h5 manifest.json manifest.sig trees/mds_aa/run.py golden//images.npz ./cells.onnx".split(),
)
def test_a_manifest_may_list_only_the_kinds_of_files_that_a_bundle_holds(folder, name):
    document = manifest_document()
    document["files"][name] = {"sha256": "0" * 64, "bytes": 0}
    write_bundle(folder, document)
    assert refusal(folder).code == "MDSE-BUNDLE-002"


def changed(path, value):
    document = manifest_document()
    inner = document
    for part in path[:-1]:
        inner = inner[part]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schema"], "mds-edge.bundle/2"),
        (["image", "decoder"], "another"),
        (["image", "size"], 0),
        (["image", "size"], "64"),
        (["intended_use"], "any"),
        (["unknown"], 1),
        (["engines"], []),
        (["engines", 0, "file"], "cells.fp16.onnx"),
        (["decision", "finding_threshold", "NE01"], None),
        (["decision", "finding_threshold", "NE01"], 1.5),
        (["decision", "gates", "blast_review_share"], 0.5),
        (["decision", "gates", "infection_rate"], {"XX99": 0.1}),
        (["evidence", "SNE"], None),
        (["assessments", 0, "calibration", "slope"], 0.0),
        (["assessments", 0, "negative"], "MDS"),
        (["assessments", 0, "trees"], "trees/other"),
        (["cohort"], {}),
        (["cohort", "mds_aa", "range"], {"unknown": [0.0, 1.0]}),
        (["cohort", "mds_aa", "range"], {"SNE_share": [1.0, 0.0]}),
        (["parameters", 1], "SNE_share"),
        (["files", "golden/expected.npz"], None),
    ],
)
def test_a_manifest_that_contradicts_the_schema_or_itself_is_refused(path, value):
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-002"):
        manifest_from_bytes(manifest_bytes(changed(path, value)))


@pytest.mark.case("H4")
@pytest.mark.parametrize("name", ["decision/net.npz", "plans/x.plan", "MODEL_CARD.md", "catalogue.json"])
def test_an_engine_may_only_run_a_file_that_is_checked_as_a_network(name):
    contents = {**CONTENTS, name: CONTENTS.get(name, b"a network under another name")}
    document = manifest_document(contents)
    document["engines"].append({"file": name, "device": "gpu", "precision": "fp16", "proof": "none yet"})
    with pytest.raises(EdgeError, match=f"MDSE-BUNDLE-002.*engines: .*{name}.* is not a network"):
        manifest_from_bytes(manifest_bytes(document))


def test_a_manifest_has_exactly_one_spelling():
    document = manifest_document()
    manifest_from_bytes(manifest_bytes(document))
    doubled = manifest_bytes(document).replace(b'"name": "test"', b'"name": "hidden",\n "name": "test"')
    for spelling in (doubled, json.dumps(document).encode(), b"\xef\xbb\xbf" + manifest_bytes(document), b"[" * 10**5):
        with pytest.raises(EdgeError, match="MDSE-BUNDLE-002"):
            manifest_from_bytes(spelling)


def test_a_catalogue_in_another_order_than_the_manifest_is_refused(tmp_path):
    document = manifest_document()
    document["types"][0], document["types"][1] = document["types"][1], document["types"][0]
    assert refusal(write_bundle(tmp_path / "b", document)).code == "MDSE-BUNDLE-012"


def test_a_part_that_the_bundle_was_built_without_is_named(folder):
    with pytest.raises(EdgeError, match=r"MDSE-BUNDLE-013 cells\.onnx"):
        open_bundle(folder, public_key=PUBLIC).read("cells.onnx")


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path):
    assert refusal(tmp_path / "nowhere").code == "MDSE-BUNDLE-001"
    assert refusal(Path(__file__)).code == "MDSE-BUNDLE-001"


def with_decision(**parts):
    contents = {**CONTENTS, "decision/ood.npz": b"ood", "decision/atlas.npz": b"atlas"}
    document = manifest_document(contents)
    document["decision"] |= parts
    return document


QUALITY = {
    "focus_limit": 2.5,
    "stain_centre": [10.0, -8.0, 70.0],
    "stain_whitening": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "stain_limit": 3.0,
}


def test_what_honesty_needs_reaches_the_reader_and_may_be_absent():
    old = manifest_from_bytes(manifest_bytes(manifest_document()))
    assert (old.decision.ood, old.decision.quality, old.decision.atlas) == (None, None, None)
    assert old.assessments[0].cohort_file is None
    ood = {"file": "decision/ood.npz", "threshold": 1.5}
    document = with_decision(ood=ood, quality=QUALITY, atlas="decision/atlas.npz")
    decision = manifest_from_bytes(manifest_bytes(document)).decision
    assert decision.quality.stain_centre == (10.0, -8.0, 70.0)
    assert (decision.ood.file, decision.atlas) == ("decision/ood.npz", "decision/atlas.npz")


@pytest.mark.parametrize(
    "parts",
    [
        {"atlas": "decision/other.npz"},
        {"type_offset": {"SNE": 0.5}},
        {"atlas": "golden/images.npz"},
        {"ood": {"file": "golden/images.npz", "threshold": 1.0}},
        {"quality": {**QUALITY, "stain_limit": 0.0}},
        {"quality": {**QUALITY, "stain_centre": [1.0, 2.0]}},
        {"quality": {**QUALITY, "stain_whitening": [[1.0, 0.0, 0.0]]}},
        {"quality": {key: value for key, value in QUALITY.items() if key != "focus_limit"}},
    ],
)
def test_a_decision_that_points_elsewhere_or_lacks_a_number_is_refused(parts):
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-002"):
        manifest_from_bytes(manifest_bytes(with_decision(**parts)))


@pytest.mark.parametrize("path", ["trees/mds_aa/cohort.npz", "trees/other/cohort.npz"])
def test_a_cohort_file_must_be_listed_and_lie_with_its_trees(path):
    contents = {**CONTENTS, "trees/mds_aa/cohort.npz": b"cohort"}
    document = manifest_document(contents)
    document["assessments"][0]["cohort_file"] = path
    if path == "trees/mds_aa/cohort.npz":
        assert manifest_from_bytes(manifest_bytes(document)).assessments[0].cohort_file == path
        del document["files"][path]
    with pytest.raises(EdgeError, match="MDSE-BUNDLE-002"):
        manifest_from_bytes(manifest_bytes(document))
