"""Ways to change a bundle so that it reads, runs or fills more than it may. Each is made on a copy of the demo bundle.

Where the attack lies inside of a file or of the manifest, the digests are made to fit again and the signature is left
out: the check itself has to hold, not the signature. `expected` are the refusals that are right.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.external_networks import external_onnx, external_onnx_over_long
from edge.bundle.digest import manifest_bytes, sha256_hex

# Where a pickle that was run, or code in a header, would leave its mark.
PICKLE_RAN = Path(tempfile.gettempdir()) / f"pickle-ran-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. `signed`: whether the site asks for a signature (the demo's key)."""

    name: str
    make: Callable[[Path], object]
    expected: tuple[str, ...]
    signed: bool = False


class _Runs:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(PICKLE_RAN),)


def _sealed(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and write it canonically; the signature goes."""
    document = json.loads((folder / "manifest.json").read_bytes())
    change(document)
    (folder / "manifest.json").write_bytes(manifest_bytes(document))
    (folder / "manifest.sig").unlink()


def _with_file(name: str, data: bytes) -> Callable[[Path], None]:
    """Replace or add a file that the manifest then lists with its true digest."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        _sealed(folder, lambda d: d["files"].update({name: {"sha256": sha256_hex(data), "bytes": len(data)}}))

    return make


def _run_as_network(name: str, data: bytes) -> Callable[[Path], None]:
    """Put a network under a name that is no network's, and let the manifest's engines run it."""

    def change(document: dict[str, Any]) -> None:
        document["files"][name] = {"sha256": sha256_hex(data), "bytes": len(data)}
        for engine in document["engines"]:
            engine["file"] = name

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        _sealed(folder, change)

    return make


def _listed_as(name: str) -> Callable[[Path], None]:
    """List a path that leads elsewhere, with the digest of a file that is really there."""
    data = b"outside"

    def make(folder: Path) -> None:
        (folder.parent / "outside").write_bytes(data)
        _sealed(folder, lambda d: d["files"].update({name: {"sha256": sha256_hex(data), "bytes": len(data)}}))

    return make


def _replaced(name: str, by: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        path = folder / name
        path.rename(folder.parent / "kept")
        by(path)

    return make


def _npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _npz(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _doubled_member() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        plain = _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (0,0,0,3), }\n")
        archive.writestr("images.npy", plain)
        archive.writestr("images.npy", plain)
    return stream.getvalue()


def _bomb() -> bytes:
    """A gigabyte and a half of zeros that deflate to a megabyte and a half."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as member,
    ):
        side = 22_400
        member.write(_npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': (1,{side},{side},3), }}\n"))
        zeros = bytes(1 << 20)
        for _ in range(1436):
            member.write(zeros)
    return stream.getvalue()


def _doubled_key(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('{\n "', '{\n "name": "another",\n "', 1))


def _socket(path: Path) -> None:
    holder = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have 107 characters only
    try:
        holder.bind(path.name)
    finally:
        os.chdir(here)
        holder.close()


def _many_files(folder: Path) -> None:
    for number in range(400):
        (folder / "plans").mkdir(exist_ok=True)
        (folder / "plans" / f"{number}.plan").write_bytes(b"")


def _deep(folder: Path) -> None:
    (folder / "a" / "b" / "c" / "d" / "e").mkdir(parents=True)


def _unlisted(folder: Path, name: str) -> None:
    (folder / name).unlink()
    _sealed(folder, lambda document: document["files"].pop(name))


def _resigned(folder: Path) -> None:
    from edge.bundle.signature import generate_key_pair, sign_manifest

    private, _ = generate_key_pair()
    (folder / "manifest.sig").write_bytes(sign_manifest((folder / "manifest.json").read_bytes(), private))


_PICKLED = _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", pickle.dumps(_Runs()))
_IMAGES, _EXPECTED = "golden/images.npz", "golden/expected.npz"
_HUGE_HEADER = _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,3), }" + " " * 60_000 + "\n")
_TERABYTE = _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000,1000,1000,3), }\n")
_NEGATIVE = _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1,112,112,3), }\n")
_CODE = _npy(f"{{'descr': __import__('os').mkdir({str(PICKLE_RAN)!r}), 'fortran_order': False, 'shape': (1,), }}\n")

ATTACKS = (
    Attack("path with ..", _listed_as("../outside"), ("MDSE-BUNDLE-002",)),
    Attack("path with .. inside", _listed_as("golden/../../outside"), ("MDSE-BUNDLE-002",)),
    Attack("absolute path", _listed_as("/etc/passwd"), ("MDSE-BUNDLE-002",)),
    Attack("path with a null byte", _listed_as("cells.onnx\x00.txt"), ("MDSE-BUNDLE-002",)),
    Attack("path with a backslash", _listed_as("golden\\images.npz"), ("MDSE-BUNDLE-002",)),
    Attack("path with a doubled slash", _listed_as("golden//images.npz"), ("MDSE-BUNDLE-002",)),
    Attack("twin in another case", _listed_as("Golden/images.npz"), ("MDSE-BUNDLE-002",)),
    Attack("twin of a network in another case", _listed_as("cells.INT8.onnx"), ("MDSE-BUNDLE-002",)),
    Attack(
        "symbolic link to the same bytes",
        _replaced("catalogue.json", lambda path: path.symlink_to(path.parent.parent / "kept")), ("MDSE-BUNDLE-003",),
    ),
    Attack(
        "symbolic link in a signed bundle",
        _replaced("cells.int8.onnx", lambda path: path.symlink_to(path.parent.parent / "kept")), ("MDSE-BUNDLE-003",),
        signed=True,
    ),
    Attack(
        "linked folder",
        _replaced("golden", lambda path: path.symlink_to(path.parent.parent / "kept")), ("MDSE-BUNDLE-003",),
    ),
    Attack(
        "manifest behind a link",
        _replaced("manifest.json", lambda path: path.symlink_to(path.parent.parent / "kept")), ("MDSE-BUNDLE-003",),
    ),
    Attack(
        "hard link in an unsigned bundle",
        _replaced("catalogue.json", lambda path: path.hardlink_to(path.parent.parent / "kept")), ("MDSE-BUNDLE-003",),
    ),
    Attack("pipe for a network", _replaced("cells.int8.onnx", os.mkfifo), ("MDSE-BUNDLE-003",)),
    Attack("pipe for the manifest", _replaced("manifest.json", os.mkfifo), ("MDSE-BUNDLE-003",)),
    Attack("socket", _replaced("MODEL_CARD.md", _socket), ("MDSE-BUNDLE-003",)),
    Attack("folder for a file", _replaced("MODEL_CARD.md", lambda path: path.mkdir()), ("MDSE-BUNDLE-005",)),
    Attack("file that is not listed", lambda f: (f / "run.sh").write_bytes(b"#!/bin/sh"), ("MDSE-BUNDLE-004",)),
    Attack("hidden file", lambda f: (f / "golden" / ".npz").write_bytes(b""), ("MDSE-BUNDLE-004",)),
    Attack("library beside the networks", _with_file("libcells.so", b"\x7fELF"), ("MDSE-BUNDLE-002",)),
    Attack("pickle in the manifest's list", _with_file("cells.pkl", pickle.dumps(_Runs())), ("MDSE-BUNDLE-002",)),
    Attack("missing network", lambda f: (f / "cells.int8.onnx").unlink(), ("MDSE-BUNDLE-005",)),
    Attack("missing signature", lambda f: (f / "manifest.sig").unlink(), ("MDSE-BUNDLE-008",), signed=True),
    Attack("missing catalogue, unlisted too", lambda f: _unlisted(f, "catalogue.json"), ("MDSE-BUNDLE-002",)),
    Attack("flood of files", _many_files, ("MDSE-BUNDLE-003",)),
    Attack("deep folders", _deep, ("MDSE-BUNDLE-003",)),
    Attack("doubled key in the manifest", _doubled_key, ("MDSE-BUNDLE-002",)),
    Attack(
        "huge sparse manifest", lambda f: os.truncate(f / "manifest.json", 1 << 40), ("MDSE-BUNDLE-006",)
    ),
    Attack("huge sparse network", lambda f: os.truncate(f / "cells.int8.onnx", 1 << 40), ("MDSE-BUNDLE-006",)),
    Attack(
        "deeply nested manifest", lambda f: (f / "manifest.json").write_bytes(b"[" * 100_000), ("MDSE-BUNDLE-002",)
    ),
    Attack("pickled array", _with_file(_IMAGES, _npz({"images.npy": _PICKLED})), ("MDSE-BUNDLE-011",)),
    Attack("code in an array's header", _with_file(_IMAGES, _npz({"images.npy": _CODE})), ("MDSE-BUNDLE-011",)),
    Attack("oversized header", _with_file(_IMAGES, _npz({"images.npy": _HUGE_HEADER})), ("MDSE-BUNDLE-011",)),
    Attack("array of three terabytes", _with_file(_IMAGES, _npz({"images.npy": _TERABYTE})), ("MDSE-BUNDLE-011",)),
    Attack("array of a negative side", _with_file(_IMAGES, _npz({"images.npy": _NEGATIVE})), ("MDSE-BUNDLE-011",)),
    Attack("zip bomb", _with_file(_IMAGES, _bomb()), ("MDSE-BUNDLE-011",)),
    Attack("doubled member", _with_file(_IMAGES, _doubled_member()), ("MDSE-BUNDLE-011",)),
    Attack("member with a path", _with_file(_EXPECTED, _npz({"../x.npy": _TERABYTE})), ("MDSE-BUNDLE-011",)),
    Attack("array file that is none", _with_file(_IMAGES, b"PK\x05\x06" + bytes(18)), ("MDSE-BUNDLE-011",)),
    Attack("tensor in another file", _with_file("cells.int8.onnx", external_onnx()), ("MDSE-BUNDLE-015",)),
    Attack(
        "tensor in another file, in over-long tags",
        _with_file("cells.int8.onnx", external_onnx_over_long()), ("MDSE-BUNDLE-015",),
    ),
    Attack(
        "tensor in another file, in a network named as an array file",
        _run_as_network("decision/net.npz", external_onnx()), ("MDSE-BUNDLE-002",),
    ),
    Attack(
        "tensor in another file, in a network named as a plan",
        _run_as_network("plans/net.plan", external_onnx()), ("MDSE-BUNDLE-002",),
    ),
    Attack("network that is no ONNX", _with_file("cells.int8.onnx", b"\x7fELF" * 64), ("MDSE-BUNDLE-015",)),
    Attack("signature of another key", _resigned, ("MDSE-BUNDLE-009",), signed=True),
)  # fmt: skip
