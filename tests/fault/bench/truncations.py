"""Images cut at every byte: 200 a format, each cut at byte 0, 1, 2 ... to its last, all refused by the real child.

`torn` counts beginnings that were accepted. Sound images are decoded between, so that an earlier picture is at hand.
"""

from __future__ import annotations

from pathlib import Path

from tests.fault.bench.contract import Bench, Outcome
from tests.fault.decode_batches import REFUSED
from tests.fault.decode_child import ChildLostError, DecodeChild
from tests.fault.image_seeds import Seed, seeds

FORMATS = ("jpeg", "png", "bmp")
IMAGES_PER_FORMAT = 200
IMAGES_PER_RUN = 10
RUNS = IMAGES_PER_FORMAT * len(FORMATS) // IMAGES_PER_RUN


def sound_images(number: int) -> list[Seed]:
    """Return the images of a run, all of one format: the runs take the formats in turn."""
    wanted = FORMATS[number % len(FORMATS)]
    return [seed for seed in seeds(500_000 + number, IMAGES_PER_RUN) if seed.format == wanted][:IMAGES_PER_RUN]


def run_cuts(number: int, work: Path, decoder: str = "open_strict") -> Outcome:
    """Cut each image of the run at every byte."""
    images = sound_images(number)
    points = accepted = lost = 0
    child = DecodeChild(work, decoder)
    try:
        for seed in images:
            lost += child.decode([seed.data]) == [REFUSED]
            rows = child.decode([seed.data], cuts=True)
            points += len(rows)
            accepted += sum(row != REFUSED for row in rows)
    except ChildLostError as error:
        return Outcome(points, lost, 0, accepted, 1, str(error))
    finally:
        child.close()
    refused = 100 * (points - accepted) / points
    note = f"{len(images)} {images[0].format} images cut at {points} places, {refused:g} % refused"
    return Outcome(points, lost, 0, accepted, 0, note)


def run_partial(number: int, work: Path) -> Outcome:
    return run_cuts(number, work, "open_partial")


BENCHES = (
    Bench("images_cut_at_every_byte", "10 images", RUNS, run_cuts),
    Bench("decoder_that_returns_partial_images", "10 images", 1, run_partial, control_of="images_cut_at_every_byte"),
)
