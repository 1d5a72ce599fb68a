"""The tree model of a target: slide profiles in, raw margins out. The only file that imports treelite.

Two forms of the same trees travel in a bundle: a library compiled by TL2cgen for one platform, a Treelite checkpoint
for any. The library is executable code: it is loaded only from a bundle that a trusted key signed, from the verified
bytes in memory, never from a path. Where there is none for this platform, or nobody vouches for it, the checkpoint is
interpreted; `TreeModel.kind` says which, and the record repeats it. Either must reproduce the bundle's golden margins.

The library is imported when the first trees are opened: it takes a third of a second, and a network compiles meanwhile.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.bundle.arrays import ArraySpec, arrays_from_npz
from edge.bundle.digest import sha256_hex
from edge.bundle.reader import Bundle
from edge.errors import EdgeError

if TYPE_CHECKING:
    import treelite

GOLDEN_PROFILES = "golden/profiles.npz"
_MARGIN_TOLERANCE = 1e-5
_MFD_EXEC = 0x10  # Linux 6.3; not yet a constant of Python 3.11's os module
_MISSING_BITS = -1  # TL2cgen: union Entry {int missing; float fvalue; int qvalue}, missing == -1 marks an absent value
# dlopen recognizes a library by its name, and ours are named after descriptors. A descriptor that was closed and given
# out again would hand back another bundle's trees, so each library keeps its descriptor for the life of the process.
_loaded: dict[str, ctypes.CDLL] = {}


@dataclass(frozen=True, slots=True, eq=False)
class TreeModel:
    """Trees of one target. `kind` is "compiled" (native library) or "treelite" (interpreted).

    `used` bool [parameters]: whether any split asks for the parameter; None where only the library is at hand.
    """

    target: str
    kind: Literal["compiled", "treelite"]
    parameter_count: int
    _margins_from_rows: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    used: NDArray[np.bool_] | None = None

    def predict_margin(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the raw margin (before calibration and sigmoid) of each row, float64 [N].

        `rows`: float32 [N, parameters]; NaN is a missing value. Raises EdgeError MDSE-TREES-004 for another shape or an
        infinite value, and when a margin is not finite.
        """
        if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != self.parameter_count or np.isinf(rows).any():
            found = f"{rows.dtype} {list(rows.shape)}"
            raise EdgeError("MDSE-TREES-004", where=self.target, found=found, expected=self.parameter_count)
        margins = self._margins_from_rows(rows)
        if margins.shape != (len(rows),) or not np.isfinite(margins).all():
            raise EdgeError("MDSE-TREES-005", where=self.target)
        return margins


def open_trees(bundle: Bundle, target: str) -> TreeModel:
    """Open the trees of a target and prove them on the golden profiles.

    Raises EdgeError MDSE-TREES-001 (library), -002 (checkpoint), -003 (other margins than the golden ones).
    """
    count = len(bundle.manifest.parameters)
    library = f"trees/{target}/{platform_library_name()}"
    checkpoint = f"trees/{target}/model.treelite"
    model = trees_from_checkpoint(bundle.read(checkpoint), target, count, where=checkpoint)
    if library in bundle and bundle.signed_by_trusted_key:
        compiled = trees_from_library(bundle.read(library), target, count, where=library)
        model = replace(compiled, used=model.used)
    _prove(model, bundle)
    return model


def platform_library_name() -> str:
    """Return the file name of a library for this machine, such as linux-x86_64.so."""
    return f"{platform.system().lower()}-{platform.machine().lower()}.so"


def trees_from_checkpoint(data: bytes, target: str, parameter_count: int, *, where: str) -> TreeModel:
    """Return the trees of a Treelite checkpoint. Raises EdgeError MDSE-TREES-002."""
    import treelite

    try:
        model = treelite.Model.deserialize_bytes(data)
    except treelite.TreeliteError as error:
        reason = str(error).strip().splitlines()[-1]
        raise EdgeError("MDSE-TREES-002", where=where, reason=reason) from error
    if model.num_feature != parameter_count:
        reason = f"it takes {model.num_feature} parameters, the bundle has {parameter_count}"
        raise EdgeError("MDSE-TREES-002", where=where, reason=reason)

    def margins_from_rows(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(rows):
            return np.empty(0, np.float64)  # the interpreter has no answer for no rows
        margins = treelite.gtil.predict(model, np.ascontiguousarray(rows), nthread=1, pred_margin=True)
        return np.asarray(margins, np.float64).reshape(len(rows), -1)[:, 0]

    return TreeModel(target, "treelite", parameter_count, margins_from_rows, _used_parameters(model, parameter_count))


def _used_parameters(model: treelite.Model, parameter_count: int) -> NDArray[np.bool_]:
    used = np.zeros(parameter_count, np.bool_)
    for index in range(model.num_tree):
        tree = model.get_tree_accessor(index)
        split = tree.get_field("cleft") >= 0  # a leaf has no left child, and its split index means nothing
        used[tree.get_field("split_index")[split]] = True
    return used


def trees_from_library(data: bytes, target: str, parameter_count: int, *, where: str) -> TreeModel:
    """Load a TL2cgen library from memory. The caller vouches for the bytes: this runs them.

    Raises EdgeError MDSE-TREES-001 when it cannot be loaded here or is no library for these parameters.
    """
    try:
        library = _library_from_bytes(data)
        predict: Any = library.predict
        features, targets = library.get_num_feature(), library.get_num_target()
        library.get_threshold_type.restype = library.get_leaf_output_type.restype = ctypes.c_char_p
        types = {library.get_threshold_type(), library.get_leaf_output_type()}
    except (OSError, AttributeError) as error:
        raise EdgeError("MDSE-TREES-001", where=where, reason=str(error)) from error
    if (features, targets, types) != (parameter_count, 1, {b"float32"}):
        reason = f"it was compiled for {features} parameters, {targets} targets and {sorted(types)}"
        raise EdgeError("MDSE-TREES-001", where=where, reason=reason)
    predict.argtypes, predict.restype = (ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_float)), None

    def margins_from_rows(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        entries = np.array(rows, np.float32, order="C")
        entries.view(np.int32)[np.isnan(entries)] = _MISSING_BITS
        start, stride = entries.ctypes.data, entries.strides[0]
        result, margins = ctypes.c_float(), np.empty(len(rows), np.float64)
        for index in range(len(rows)):
            result.value = 0.0  # the generated code adds to what it finds
            predict(start + index * stride, 1, ctypes.byref(result))
            margins[index] = result.value
        return margins

    return TreeModel(target, "compiled", parameter_count, margins_from_rows)


def _library_from_bytes(data: bytes) -> ctypes.CDLL:
    """Load a shared library from an anonymous, sealed memory file. Raises OSError."""
    digest = sha256_hex(data)
    if digest not in _loaded:
        descriptor = _memory_file("mds-edge-trees")
        try:
            with open(descriptor, "wb", closefd=False) as stream:
                stream.write(data)
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            _loaded[digest] = ctypes.CDLL(f"/proc/self/fd/{descriptor}", mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError:
            os.close(descriptor)
            raise
    return _loaded[digest]


def _memory_file(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)  # a kernel before 6.3, where every memory file may be executed


def _prove(model: TreeModel, bundle: Bundle) -> None:
    """Raise EdgeError MDSE-TREES-003 unless the model gives the margins that the bundle's maker computed."""
    expected = {"profile": ArraySpec("float32", 2), "margin": ArraySpec("float64", 2)}
    golden = arrays_from_npz(bundle.read(GOLDEN_PROFILES), expected, where=GOLDEN_PROFILES)
    targets = [assessment.target for assessment in bundle.manifest.assessments]
    if golden["margin"].shape != (len(golden["profile"]), len(targets)) or not len(golden["profile"]):
        raise EdgeError("MDSE-BUNDLE-011", where=GOLDEN_PROFILES, reason="margin is not [profiles, targets]")
    margins = golden["margin"][:, targets.index(model.target)]
    difference = np.abs(model.predict_margin(golden["profile"]) - margins).max()
    if not difference <= _MARGIN_TOLERANCE:
        raise EdgeError(
            "MDSE-TREES-003", where=f"trees/{model.target}", kind=model.kind, difference=f"{difference:.3g}"
        )
