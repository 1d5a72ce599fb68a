"""How a network is laid out over the cores of a processor, and which layout this machine runs fastest.

A layout is so many compiled copies of the network, each with so many threads. Which is fastest depends on the machine:
one copy on all cores waits at every layer for its slowest thread, many copies take more memory. So the candidates are
measured once, for a fraction of a second each, and the answer is kept beside the compiled networks. Only candidates
whose outputs equal the first one's bit by bit are taken: a layout may change the time of a result, never the result.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.engines.private_folder import private_folder

log = logging.getLogger("mds_edge.engine")
LARGEST_BATCH = 8
_BATCH_PIXELS = 8 * 160 * 160  # of all images of a batch together
MOST_COPIES = 4
"""Each copy has buffers of its own; the worker's memory is bounded."""
_WORTH = 1.05  # a candidate must be this much faster than the first: less is noise


@dataclass(frozen=True, slots=True)
class Layout:
    """Compiled copies of the network, and the threads of each."""

    copies: int
    threads: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a candidate gave: images per second, and a digest of all its outputs."""

    images_per_s: float
    outputs_digest: str


def batch_of_size(size_px: int) -> int:
    """Return how many images of this side go through the network at once: 8, fewer where they are large, 2 at least.

    A power of two. Small images gain from company; large ones keep the cores busy alone and only cost memory (83 MB
    less at 299 px with 2 in place of 8). Batches of 2, 4, 8 and 16 gave the same bits; one image alone did not.
    """
    batch = LARGEST_BATCH
    while batch > 2 and batch * size_px * size_px > _BATCH_PIXELS:
        batch //= 2
    return batch


def candidate_layouts(cores: int) -> tuple[Layout, ...]:
    """Return the layouts worth trying on so many cores; the first is used where nothing is measured."""
    copies = [count for count in (2, 1, 4) if count <= min(cores, MOST_COPIES)]
    return tuple(Layout(count, cores // count) for count in copies)


def tuned_layout(
    file: Path, facts: Mapping[str, Any], candidates: tuple[Layout, ...], measure: Callable[[Layout], Measured]
) -> Layout:
    """Return the fastest candidate for the machine that `facts` describe, from `file` or measured now and kept there.

    A file that is damaged, or was made for another machine, library, network or list of candidates, is made anew.
    Raises EdgeError MDSE-ENGINE-006 when others could write into its folder, and what `measure` raises.
    """
    private_folder(file.parent)
    wanted = {"facts": dict(facts), "candidates": [asdict(layout) for layout in candidates]}
    kept = _kept(file)
    if kept is not None and {name: kept.get(name) for name in wanted} == wanted:
        chosen = next((layout for layout in candidates if asdict(layout) == kept.get("chosen")), None)
        if chosen is not None:
            return chosen
    if file.exists():
        log.warning("the layout in %s is not of this machine, library and network: it is measured anew", file)
    measured = {layout: measure(layout) for layout in candidates}
    chosen = fastest(measured)
    rates = [{**asdict(layout), "images_per_s": round(found.images_per_s, 1)} for layout, found in measured.items()]
    _keep(file, {**wanted, "chosen": asdict(chosen), "measured": rates})
    log.info("the network runs in %d copies of %d threads", chosen.copies, chosen.threads)
    return chosen


def fastest(measured: Mapping[Layout, Measured]) -> Layout:
    """Return the fastest layout of those with the first one's outputs; the first unless another is clearly faster."""
    first, *others = measured
    best = first
    for layout in others:
        if measured[layout].outputs_digest != measured[first].outputs_digest:
            log.warning("%d copies of %d threads give other outputs: not used", layout.copies, layout.threads)
        elif measured[layout].images_per_s > max(_WORTH * measured[first].images_per_s, measured[best].images_per_s):
            best = layout
    return best


def _kept(file: Path) -> Mapping[str, Any] | None:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _keep(file: Path, document: Mapping[str, Any]) -> None:
    """Write in one step. A disk that refuses costs the next start its measurement, nothing else."""
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        log.warning("the layout could not be kept in %s: %s", file, os.strerror(error.errno or 0))
        partial.unlink(missing_ok=True)
