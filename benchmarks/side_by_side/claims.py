"""What the comparison is to show: ratios with their bars, each computed round by round from the measured figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.side_by_side.contestants import FP32_LIMIT, INT8_LIMIT, ONE_IMAGE, PIPELINE, PLAIN
from benchmarks.side_by_side.spread import ratios, spread, verdict

Rounds = Sequence[Mapping[str, Any]]
JUDGED_ROUNDS = 5
"""A ratio is judged on at least so many rounds."""
JUDGED_COLD = 3
"""A cold start is long, and is judged on fewer."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A ratio of two figures ("contestant.kind", higher is better) and its bar by image size."""

    name: str
    text: str
    over: str
    under: tuple[str, ...]
    bars: Mapping[int, float]
    inverse: bool = False
    percent: bool = False


CLAIMS = (
    Claim("slide_plain", "slide throughput over the plain way", f"{PIPELINE}.slide", (f"{PLAIN}.slide",),
          {299: 4.5, 128: 3.5}),
    Claim("latency_keras", "one image alone: time of keras.predict over that of our int8 file in OpenVINO",
          f"{ONE_IMAGE}.latency", (f"{PLAIN}.latency",), {299: 8.0, 128: 8.0}, inverse=True),
    Claim("latency_shipped", "one image alone: time of keras.predict over that of the shipped engine's whole batch",
          f"{PIPELINE}.latency", (f"{PLAIN}.latency",), {}, inverse=True),
    Claim("ort_best", "engine over ONNX Runtime's best int8", f"{PIPELINE}.rate", ("ort_u8.rate",),
          {299: 1.25, 128: 1.25}),
    Claim("ort_signed", "engine over ONNX Runtime on the same int8 file", f"{PIPELINE}.rate", ("ort_s8.rate",), {}),
    Claim("openvino_fp32", "engine over the faster of OpenVINO's two fp32 patterns", f"{PIPELINE}.rate",
          ("openvino_fp32.rate", "openvino_fp32_async.rate"), {299: 2.7, 128: 2.7}),
    Claim("openvino_default", "engine over OpenVINO at its default precision (bfloat16 where the processor has it)",
          f"{PIPELINE}.rate", ("openvino_default_async.rate",), {}),
    Claim("openvino_int8", "engine over OpenVINO's async sample on the same int8 file", f"{PIPELINE}.rate",
          ("openvino_int8_async.rate",), {}),
    Claim("litert", "engine over LiteRT int8", f"{PIPELINE}.rate", ("litert_int8.rate",), {}),
    Claim("tf_function", "engine over tf.function", f"{PIPELINE}.rate", ("tf_function.rate",), {}),
    Claim("end_to_end", "slides from JPEG files to published results, of the engine-only rate", f"{PIPELINE}.slide",
          (f"{PIPELINE}.rate",), {299: 0.90, 128: 0.80}, percent=True),
)  # fmt: skip
LIMITS = Claim("limits", "the machine's int8 matrix rate over its fp32 matrix rate", f"{INT8_LIMIT}.rate",
               (f"{FP32_LIMIT}.rate",), {})  # fmt: skip
LIMIT = Claim("int8_limit", "engine, of the machine's measured int8 matrix rate", f"{PIPELINE}.rate",
              (f"{INT8_LIMIT}.rate",), {299: 0.70}, percent=True)  # fmt: skip
COLD = Claim("cold_plain", "cold process to score: seconds of the plain way over ours", PIPELINE, (PLAIN,),
             {299: 7.0, 128: 7.0}, inverse=True)  # fmt: skip


def figure(rounds: Rounds, name: str) -> dict[int, float]:
    """Return a figure by round number; rounds that could not measure it are left out."""
    return {row["round"]: row["values"][name] for row in rounds if name in row["values"]}


def best(rounds: Rounds, names: Sequence[str]) -> dict[int, float]:
    """Return the highest of several figures, round by round."""
    found = [figure(rounds, name) for name in names]
    numbers = set().union(*found)
    return {number: max(values[number] for values in found if number in values) for number in numbers}


def judged(size_px: int, rounds: Rounds, giga_operations: float, giga_per_product: float) -> list[dict[str, Any]]:
    """Return every claim of one size: its ratio over the rounds, its bar and the verdict.

    `giga_operations`: of one image through the network. `giga_per_product`: of one matrix product of the limit.
    """
    steal = {row["round"]: row["steal"] for row in rounds}
    rows = [row for claim in (*CLAIMS, LIMITS) if (row := _row(claim, size_px, _of(claim, rounds), steal)) is not None]
    products = figure(rounds, LIMIT.under[0])
    limit = {number: value * giga_per_product / giga_operations for number, value in products.items()}
    found = ratios(figure(rounds, LIMIT.over), limit)
    return [*rows, *([row] if (row := _row(LIMIT, size_px, found, steal)) is not None else [])]


def judged_cold(size_px: int, rounds: Rounds) -> list[dict[str, Any]]:
    """Return the claim about cold starts; each of its rounds is a pair of processes."""
    steal = {row["round"]: row["steal"] for row in rounds}
    row = _row(COLD, size_px, _of(COLD, rounds), steal, least_rounds=JUDGED_COLD)
    return [] if row is None else [row]


def _of(claim: Claim, rounds: Rounds) -> dict[int, float]:
    over, under = figure(rounds, claim.over), best(rounds, claim.under)
    return ratios(under, over) if claim.inverse else ratios(over, under)


def _row(
    claim: Claim,
    size_px: int,
    found: Mapping[int, float],
    steal: Mapping[int, float],
    least_rounds: int = JUDGED_ROUNDS,
) -> dict[str, Any] | None:
    if not found:
        return None
    bar = claim.bars.get(size_px)
    row = {"claim": claim.name, "text": claim.text, "size_px": size_px, "percent": claim.percent}
    row |= {"ratio": spread(list(found.values())).as_words(), "bar": bar}
    return {**row, "verdict": verdict(found, steal, bar, least_rounds)}
