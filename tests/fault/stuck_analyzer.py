"""The arithmetic analyzer with slides that get stuck as native code does, and tell when they began.

A file that begins with one of these words, followed by a path and a space, writes the monotonic time there and then

    NOTE    goes on as any other
    SLEEP   never returns, and would end at a polite signal
    NATIVE  never returns from a C function that holds the interpreter's lock, deaf to SIGTERM
"""

from __future__ import annotations

import ctypes
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fault.fake_analyzer import FakeAnalyzer

FOREVER_S = 3600


class StuckAnalyzer(FakeAnalyzer):
    def analyze(self, order: Mapping[str, Any]) -> tuple[bytes, bytes]:
        for file in sorted(Path(order["folder"]).glob("*.jpg")):
            get_stuck(file.read_bytes())
        return super().analyze(order)


def get_stuck(content: bytes) -> None:
    word, _, rest = content.partition(b" ")
    if word not in (b"NOTE", b"SLEEP", b"NATIVE"):
        return
    Path(rest.split(b" ")[0].decode()).write_text(str(time.monotonic()))
    if word == b"SLEEP":
        time.sleep(FOREVER_S)
    elif word == b"NATIVE":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ctypes.PyDLL(None).sleep(FOREVER_S)


def open_stuck_analyzer(_settings: Mapping[str, Any]) -> StuckAnalyzer:
    return StuckAnalyzer()
