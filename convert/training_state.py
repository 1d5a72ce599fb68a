"""The checkpoint of a training: everything a resumed run needs, in one file that is replaced whole."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.seen_cells import seen_from_text
from convert.training_place import written
from edge.errors import EdgeError

Weights = list[NDArray[Any]]
_GROUPS = ("weights", "average", "best", "optimizer")


@dataclass(slots=True, eq=False)
class TrainingState:
    """What a training has reached. `identity` says what it is a training of; a resume under another one is refused.

    `seen`: the cells that its weights have seen, as a card has them (convert/seen_cells.py); None where nobody knows.
    """

    identity: Mapping[str, Any]
    seen: str | None = None
    epoch: int = 0
    elapsed_s: float = 0.0
    updates: int = 0
    best_recall: float = -1.0
    best_epoch: int = 0
    size_px: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    weights: Weights = field(default_factory=list)
    average: Weights = field(default_factory=list)
    best: Weights = field(default_factory=list)
    optimizer: Weights = field(default_factory=list)


def save_state(path: Path, state: TrainingState) -> None:
    """Write the checkpoint beside its old self and replace it, so that a power cut leaves one that is whole.

    Raises EdgeError MDSE-TRAIN-024 where the disk refuses.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for group in _GROUPS:
        arrays.update({f"{group}/{index:05d}": array for index, array in enumerate(getattr(state, group))})
    facts = {name: getattr(state, name) for name in TrainingState.__slots__ if name not in _GROUPS}
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode("utf-8"), np.uint8)
    temporary = path.with_name(path.name + ".part")
    with written(path):
        try:
            with temporary.open("wb") as stream:
                # The stub of savez names its own parameter in `**arrays`; ours are array names.
                np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy takes an open file
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load_state(path: Path, identity: Mapping[str, Any]) -> TrainingState:
    """Read a checkpoint. Raises EdgeError MDSE-TRAIN-008 (none, damaged, or of a training with other settings)."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values: dict[str, Any] = json.loads(arrays["facts"].tobytes())
            names = sorted(arrays.files)
            values |= {group: [arrays[n] for n in names if n.startswith(f"{group}/")] for group in _GROUPS}
        state = TrainingState(**values)
        seen_from_text(state.seen)
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise EdgeError("MDSE-TRAIN-008", where=str(path), reason=f"it cannot be read ({error})") from error
    wanted = json.loads(json.dumps(dict(identity)))
    different = sorted(name for name in {*wanted, *state.identity} if wanted.get(name) != state.identity.get(name))
    if different:
        raise EdgeError("MDSE-TRAIN-008", where=str(path), reason=f"it differs in {', '.join(different)}")
    return state
