"""For a control: an analyzer that keeps memory and a descriptor of every slide."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tests.fault.fake_analyzer import FakeAnalyzer

KEPT_BYTES = 64 * 1024


class LeakingAnalyzer(FakeAnalyzer):
    def __init__(self) -> None:
        super().__init__()
        self._kept: list[tuple[bytearray, int]] = []

    def analyze(self, order: Mapping[str, Any]) -> tuple[bytes, bytes]:
        self._kept.append((bytearray(b"x" * KEPT_BYTES), os.open(os.devnull, os.O_RDONLY)))
        return super().analyze(order)


def open_leaking_analyzer(settings: Mapping[str, Any]) -> LeakingAnalyzer:
    return LeakingAnalyzer()
