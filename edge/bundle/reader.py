"""Open a bundle: everything is verified before anything is used, and the verified bytes are the bytes that are loaded.

Order: schema, path safety, sizes, signature, digests, networks without external data, agreement with the catalogue.
Each file is opened once, by a descriptor of its folder and without following links, read once, and kept in memory; the
folder may be swapped or removed afterwards without effect.

Links. Symbolic links, devices, pipes and sockets are refused. A file with more than one hard link is refused unless a
trusted key signed the bundle: package installers hard-link files from their cache, and a signature over size and digest
leaves such a link no power, whereas nobody vouches for the names inside an unsigned bundle.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from edge.bundle.digest import sha256_hex
from edge.bundle.file_names import is_network
from edge.bundle.manifest import MAX_FILES, MAX_MANIFEST_BYTES, FileEntry, Manifest, manifest_from_bytes
from edge.bundle.onnx_contents import check_self_contained
from edge.bundle.signature import verify_signature
from edge.catalogue import Catalogue, catalogue_from_json
from edge.errors import EdgeError

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
_MAX_SIGNATURE_BYTES = 4096
_MAX_DEPTH = 3
_READERS = 2  # digests are computed outside of the interpreter: two files at a time take half as long
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe must not wait for a writer; it is then refused because it is not a regular file.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """An opened bundle: checked manifest and catalogue, and the verified bytes of every listed file.

    `digest` is the SHA-256 of manifest.json, which fixes every other byte. `signed_by_trusted_key` is true only when a
    public key was given and the signature is its own; native code may be loaded only then.
    """

    manifest: Manifest
    catalogue: Catalogue
    digest: str
    signed_by_trusted_key: bool
    contents: Mapping[str, bytes]

    def __contains__(self, name: str) -> bool:
        return name in self.contents

    def without_networks(self) -> Bundle:
        """Return the same bundle without the bytes of its networks, which are nearly all of its memory."""
        kept = {name: data for name, data in self.contents.items() if not is_network(name)}
        return replace(self, contents=kept)

    def read(self, name: str) -> bytes:
        """Return the verified bytes of a listed file. Raises EdgeError MDSE-BUNDLE-013 when the bundle has none."""
        try:
            return self.contents[name]
        except KeyError as error:
            raise EdgeError("MDSE-BUNDLE-013", where=name) from error


def open_bundle(path: Path, *, public_key: bytes | None) -> Bundle:
    """Open and verify the bundle in folder `path`.

    `public_key`: PEM of the key this site trusts, or None where the site accepts unsigned bundles. Raises EdgeError
    MDSE-BUNDLE-001 to -012; the message names the file at fault.
    """
    try:
        root = os.open(path, _FOLDER_FLAGS)
    except OSError as error:
        raise EdgeError("MDSE-BUNDLE-001", where=str(path), reason=os.strerror(error.errno or 0)) from error
    try:
        return _open_at(root, public_key)
    finally:
        os.close(root)


def _open_at(root: int, public_key: bytes | None) -> Bundle:
    manifest_data = _read_file(root, MANIFEST_NAME, limit_bytes=MAX_MANIFEST_BYTES)
    manifest = manifest_from_bytes(manifest_data, where=MANIFEST_NAME)
    found = _list_files(root)
    _check_listing(found, manifest)
    signed = _check_signature(root, manifest_data, public_key, present=SIGNATURE_NAME in found)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="bundle") as pool:
        read = pool.map(lambda item: _read_listed(root, *item), manifest.files.items())
        contents = dict(zip(manifest.files, read, strict=True))
    linked = sorted(name for name, status in found.items() if status.st_nlink > 1)
    if linked and not signed:
        raise EdgeError("MDSE-BUNDLE-003", where=linked[0], reason="it has a second name (hard link)")
    for name, data in contents.items():
        if is_network(name):
            check_self_contained(data, where=name)
    catalogue = catalogue_from_json(contents["catalogue.json"])
    _check_catalogue(manifest, catalogue)
    return Bundle(manifest, catalogue, sha256_hex(manifest_data), signed, contents)


def _check_listing(found: Mapping[str, os.stat_result], manifest: Manifest) -> None:
    expected = {MANIFEST_NAME, SIGNATURE_NAME, *manifest.files}
    for name in sorted(found):
        if name not in expected:
            raise EdgeError("MDSE-BUNDLE-004", where=name)
    for name, entry in sorted(manifest.files.items()):
        if name not in found:
            raise EdgeError("MDSE-BUNDLE-005", where=name)
        if found[name].st_size != entry.size_bytes:
            raise EdgeError(
                "MDSE-BUNDLE-006", where=name, found_bytes=found[name].st_size, expected_bytes=entry.size_bytes
            )


def _check_signature(root: int, manifest_data: bytes, public_key: bytes | None, *, present: bool) -> bool:
    if public_key is None:
        return False
    if not present:
        raise EdgeError("MDSE-BUNDLE-008", where=SIGNATURE_NAME)
    signature = _read_file(root, SIGNATURE_NAME, limit_bytes=_MAX_SIGNATURE_BYTES)
    verify_signature(manifest_data, signature, public_key, where=SIGNATURE_NAME)
    return True


def _check_catalogue(manifest: Manifest, catalogue: Catalogue) -> None:
    for what, ours, theirs in (
        ("types", manifest.types, catalogue.type_codes),
        ("findings", manifest.findings, catalogue.finding_codes),
        ("parameters", manifest.parameters, catalogue.parameter_names),
    ):
        if ours != theirs:
            raise EdgeError("MDSE-BUNDLE-012", where=MANIFEST_NAME, reason=f"{what} differ in content or order")


def _list_files(root: int) -> dict[str, os.stat_result]:
    """Return every file below `root` by its relative POSIX path. Anything but files and folders is refused."""
    found: dict[str, os.stat_result] = {}
    try:
        _list_into(found, root, "", depth=1)
    except OSError as error:
        raise _error_from_os(error, error.filename if isinstance(error.filename, str) else "") from error
    return found


def _list_into(found: dict[str, os.stat_result], folder: int, prefix: str, *, depth: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                found[name] = status
                if len(found) > MAX_FILES + 2:
                    raise EdgeError("MDSE-BUNDLE-003", where=name, reason=f"there are more than {MAX_FILES} files")
            elif stat.S_ISDIR(status.st_mode):
                _list_folder_into(found, folder, entry.name, name, depth)
            else:
                raise EdgeError("MDSE-BUNDLE-003", where=name, reason=f"it is {_kind(status.st_mode)}")


def _list_folder_into(found: dict[str, os.stat_result], parent: int, entry_name: str, name: str, depth: int) -> None:
    if depth >= _MAX_DEPTH:
        raise EdgeError("MDSE-BUNDLE-003", where=name, reason=f"it lies more than {_MAX_DEPTH} folders deep")
    inner = os.open(entry_name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    try:
        _list_into(found, inner, f"{name}/", depth=depth + 1)
    finally:
        os.close(inner)


def _read_listed(root: int, name: str, entry: FileEntry) -> bytes:
    data = _read_file(root, name, limit_bytes=entry.size_bytes)
    if len(data) != entry.size_bytes:
        raise EdgeError("MDSE-BUNDLE-006", where=name, found_bytes=len(data), expected_bytes=entry.size_bytes)
    digest = sha256_hex(data)
    if digest != entry.sha256:
        raise EdgeError("MDSE-BUNDLE-007", where=name, found=digest, expected=entry.sha256)
    return data


def _read_file(root: int, name: str, *, limit_bytes: int) -> bytes:
    """Read one regular file below `root`, never following a link, never more than the limit."""
    folder, descriptor = root, -1
    opened: list[int] = []
    try:
        *folders, last = name.split("/")
        for part in folders:
            folder = os.open(part, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
            opened.append(folder)
        descriptor = os.open(last, _FILE_FLAGS, dir_fd=folder)
        opened.append(descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise EdgeError("MDSE-BUNDLE-003", where=name, reason=f"it is {_kind(status.st_mode)}")
        if status.st_size > limit_bytes:
            raise EdgeError("MDSE-BUNDLE-006", where=name, found_bytes=status.st_size, expected_bytes=limit_bytes)
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(limit_bytes + 1)
    except OSError as error:
        raise _error_from_os(error, name) from error
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def _error_from_os(error: OSError, name: str) -> EdgeError:
    if error.errno == errno.ENOENT:
        return EdgeError("MDSE-BUNDLE-005", where=name)
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return EdgeError("MDSE-BUNDLE-003", where=name, reason="it is, or lies behind, a link")
    return EdgeError("MDSE-BUNDLE-001", where=name, reason=os.strerror(error.errno or 0))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    return kinds.get(stat.S_IFMT(mode), "a device")
