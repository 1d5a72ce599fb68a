"""Mutated images through the real decode child: nothing crashes, and no picture is another's or in part another's.

A run is 100,000 images: damaged forms of drawn and real cells, a sound one after every 25. Asked of the child:

    other       0 deaths, hangs, unforeseen errors; resident memory within its cap
    lost        a sound image is decoded to the pixels that it has in a fresh process (PNG and BMP: to its own pixels)
    torn        what is accepted decodes to the same pixels in a second process that sees accepted images alone, in the
                reverse order, and (a few) in a process that sees nothing else
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.decode_batches import REFUSED, digest_of
from tests.fault.decode_child import ChildLostError, DecodeChild
from tests.fault.image_mutators import mutated
from tests.fault.image_seeds import Seed, seeds

IMAGES_PER_RUN = 100_000
BATCH = 2_500
SOUND_EVERY = 25
ALONE_PER_RUN = 3
RSS_MAX_BYTES = 300 * 1024 * 1024


@dataclass
class Tally:
    accepted: int = 0
    sound_lost: int = 0
    torn: int = 0
    other: int = 0
    rss_max: int = 0
    notes: list[str] = field(default_factory=list)


def known_rows(sound: list[Seed], work: Path) -> list[bytes]:
    """Return what each sound image decodes to in a fresh process; where its pixels are known, in truth."""
    child = DecodeChild(work)
    try:
        rows = child.decode([seed.data for seed in sound])
    finally:
        child.close()
    return [
        row if seed.pixels is None else b"\x01" + digest_of(seed.pixels)
        for row, seed in zip(rows, sound, strict=True)
    ]  # fmt: skip


def run_images(number: int, work: Path, *, decoder: str = "open_strict", images: int = IMAGES_PER_RUN) -> Outcome:
    """Decode the images of run `number` in children that use `decoder`."""
    chance = random.Random(f"mutated images {number}")
    sound = seeds(number)
    known = known_rows(sound, work)
    tally = Tally(sound_lost=known.count(REFUSED))
    first, second = DecodeChild(work, decoder), DecodeChild(work, decoder)
    alone: list[tuple[bytes, bytes]] = []
    try:
        for start in range(0, images, BATCH):
            batch, places = batch_of(sound, min(BATCH, images - start), chance)
            try:
                accepted = judge_batch(first, batch, {at: known[which] for at, which in places.items()}, tally)
                compare_again(second, accepted, tally)
            except ChildLostError as error:
                (work / f"batch-{start}.txt").write_text(str(error))
                tally.other += 1
                tally.notes.append(f"run {number}, batch at {start}: {error}")
                first.close(), second.close()
                first, second = DecodeChild(work, decoder), DecodeChild(work, decoder)
                continue
            alone += chance.sample(accepted, min(1, len(accepted))) if len(alone) < ALONE_PER_RUN else []
    finally:
        first.close()
        second.close()
    for image, row in alone:
        compare_alone(image, row, decoder, work, tally)
    if tally.rss_max > RSS_MAX_BYTES:
        tally.other += 1
    note = f"{tally.accepted} accepted, memory at most {tally.rss_max >> 20} MiB" + "".join(tally.notes[:3])
    return Outcome(images, tally.sound_lost, 0, tally.torn, tally.other, note)


def batch_of(sound: list[Seed], count: int, chance: random.Random) -> tuple[list[bytes], dict[int, int]]:
    """Return images, and at which places which sound one stands."""
    batch, places = [], {}
    for at in range(count):
        which = chance.randrange(len(sound))
        if at % SOUND_EVERY == SOUND_EVERY - 1:
            places[at] = which
            batch.append(sound[which].data)
        else:
            batch.append(mutated(sound[which], sound, chance))
    return batch, places


def judge_batch(
    child: DecodeChild, batch: list[bytes], known: dict[int, bytes], tally: Tally
) -> list[tuple[bytes, bytes]]:
    """Decode a batch; check the sound images; return every accepted image with its row."""
    rows = child.decode(batch)
    tally.rss_max = max(tally.rss_max, child.rss_bytes)
    tally.sound_lost += sum(rows[at] != row for at, row in known.items())
    accepted = [(image, row) for image, row in zip(batch, rows, strict=True) if row != REFUSED]
    tally.accepted += len(accepted) - len(known)
    return accepted


def compare_again(child: DecodeChild, accepted: list[tuple[bytes, bytes]], tally: Tally) -> None:
    """Decode what was accepted in the reverse order: a picture that depends on what came before differs."""
    rows = child.decode([image for image, _ in reversed(accepted)])
    tally.rss_max = max(tally.rss_max, child.rss_bytes)
    tally.torn += sum(row != again for (_, row), again in zip(reversed(accepted), rows, strict=True))


def compare_alone(image: bytes, row: bytes, decoder: str, work: Path, tally: Tally) -> None:
    child = DecodeChild(work, decoder)
    try:
        tally.torn += child.decode([image]) != [row]
    finally:
        child.close()


def run_leaky(number: int, work: Path) -> Outcome:
    return run_images(number, work, decoder="open_leaky", images=BATCH)


BENCHES = (
    Bench("mutated_images", "100,000 images", 100, run_images),
    Bench("decoder_that_shows_the_picture_before", "2,500 images", 1, run_leaky, control_of="mutated_images"),
)
