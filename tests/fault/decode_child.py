"""The decode child as the supervisor has it (`ChildProcess`, frames, budgets), driven with files of images."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from pathlib import Path

from edge.daemon.channel import Message
from edge.daemon.child_process import ChildProcess
from edge.daemon.worker import ALLOW_TEST_ANALYZER
from tests.fault.decode_batches import pack, rows_of
from tests.fault.site import REPOSITORY

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BUDGET_S = 300.0


class ChildLostError(Exception):
    """The child died, hung, or said that something unforeseen happened."""


class DecodeChild:
    """One worker process with a batch decoder. `work` is a folder for the files of images."""

    def __init__(self, work: Path, decoder: str = "open_strict") -> None:
        before = {name: os.environ.get(name) for name in (ALLOW_TEST_ANALYZER, "OPENCV_LOG_LEVEL")}
        os.environ |= {ALLOW_TEST_ANALYZER: "1", "OPENCV_LOG_LEVEL": "SILENT"}
        try:
            self._child = ChildProcess("decoder", "edge.daemon.worker")
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        self._file = work / f"images-{self._child.pid}"
        self._child.send({"kind": "begin", "test_analyzer": f"tests.fault.decode_batches:{decoder}"})
        assert REPOSITORY.is_dir()
        if self._answer().kind != "ready":
            raise ChildLostError("it did not open")

    @property
    def rss_bytes(self) -> int:
        """The resident memory of the process."""
        return int(Path(f"/proc/{self._child.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    def decode(self, images: Sequence[bytes], *, cuts: bool = False) -> list[bytes]:
        """Return a row per image (see decode_batches); raises ChildLostError."""
        self._file.write_bytes(pack(images))
        self._child.send({"kind": "analyze", "pack": str(self._file), "cuts": cuts})
        message = self._answer()
        if message.kind != "analyzed":
            raise ChildLostError(str(message.header.get("text", message.kind))[:300])
        return rows_of(message.blobs[0])

    def _answer(self) -> Message:
        end_s = time.monotonic() + BUDGET_S
        while (left_s := end_s - time.monotonic()) > 0:
            select.select([self._child.socket], [], [], left_s)
            try:
                for message in self._child.receive():
                    return message
            except EOFError as error:
                self._child.kill(time.monotonic())
                self._child._process.wait(10)
                raise ChildLostError(self._child.how_it_ended()) from error
        raise ChildLostError("it was silent beyond its budget")

    def close(self) -> None:
        self._child.kill(time.monotonic())
        self._child._process.wait(10)
        self._child.close()
        self._file.unlink(missing_ok=True)
