"""A child as the supervisor sees it: started, spoken to without blocking, timed, ended, replaced.

The child is a fresh interpreter in isolated mode (`python -I`), so that neither PYTHONPATH nor the working folder can
slip code in; the folder from which this package itself was loaded is the only one added. It is never joined without a
limit: a process that even SIGKILL does not end (a hung share keeps it in the kernel) is abandoned and counted.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.daemon.channel import READ_BYTES, FrameReader, Message, frame_from_message
from edge.errors import EdgeError

TERMINATE_GRACE_S = 2.0
KILL_GRACE_S = 5.0
UNSENT_BYTES_MAX = 64 * 1024 * 1024
PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent
START = (
    "import sys; root = sys.argv[1]; sys.path.insert(0, root) if root not in sys.path else None; "
    "from {module} import main; raise SystemExit(main(int(sys.argv[2]), int(sys.argv[3])))"
)


class ChildProcess:
    """One running child. `now_s` arguments are monotonic seconds.

    States: running -> terminating (SIGTERM sent) -> killed (SIGKILL sent) -> abandoned (neither helped) or gone.
    """

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [sys.executable, "-I", "-c", START.format(module=module), str(PACKAGE_ROOT)]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        ours.setblocking(False)
        self.socket = ours
        self._reader = FrameReader()
        self._unsent = bytearray()
        self.state = "running"
        self._deadline_s = 0.0
        self.work_deadline_s: float | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes wait to be sent."""
        return bool(self._unsent)

    def expect_within(self, budget_s: float | None, now_s: float) -> None:
        """Set how long the child may take until it is heard of again (None: it may be silent)."""
        self.work_deadline_s = None if budget_s is None else now_s + budget_s

    def is_overdue(self, now_s: float) -> bool:
        """Tell whether the child is silent beyond its budget."""
        return self.state == "running" and self.work_deadline_s is not None and now_s > self.work_deadline_s

    def send(self, header: Mapping[str, object], blobs: tuple[bytes, ...] = ()) -> None:
        """Queue a message and send what the socket takes now; raises EdgeError MDSE-DAEMON-010 when too much waits."""
        frame = frame_from_message(header, blobs)
        if len(self._unsent) + len(frame) > UNSENT_BYTES_MAX:
            raise EdgeError("MDSE-DAEMON-010", where=self.name, reason="the child does not read its messages")
        self._unsent += frame
        self.flush()

    def flush(self) -> None:
        """Send as much as the socket takes. A child that is gone is noticed when its channel is read."""
        while self._unsent:
            try:
                sent = self.socket.send(memoryview(self._unsent)[:READ_BYTES])
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                self._unsent.clear()
                return
            del self._unsent[:sent]

    def receive(self) -> Iterator[Message]:
        """Yield the messages that have arrived; raises EOFError when the child closed its end.

        Whoever stops in the middle gets the rest from the next call (see `has_unheard`).
        """
        yield from self._reader.feed(b"")
        while True:
            try:
                data = self.socket.recv(READ_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError as error:
                raise EOFError(self.name) from error
            if not data:
                raise EOFError(self.name)
            yield from self._reader.feed(data)

    @property
    def has_unheard(self) -> bool:
        """Whether bytes were read that no message was made of yet."""
        return self._reader.holds_bytes

    def stop(self, now_s: float) -> None:
        """Ask the child to end: SIGTERM now, SIGKILL after the grace time (see `advance`)."""
        if self.state == "running":
            self._signal(signal.SIGTERM)
            self.state, self._deadline_s = "terminating", now_s + TERMINATE_GRACE_S

    def kill(self, now_s: float) -> None:
        """End the child at once: nothing it holds needs an orderly end."""
        if self.state in ("running", "terminating"):
            self._signal(signal.SIGKILL)
            self.state, self._deadline_s = "killed", now_s + KILL_GRACE_S

    def advance(self, now_s: float) -> None:
        """Notice the end of the process, or go on to the harder means; never waits."""
        if self.state == "gone":
            return
        if self._process.poll() is not None:
            self.state = "gone"
        elif self.state == "terminating" and now_s > self._deadline_s:
            self.kill(now_s)
        elif self.state == "killed" and now_s > self._deadline_s:
            self.state = "abandoned"

    def how_it_ended(self) -> str:
        """Return the exit status or the signal in words."""
        status = self._process.returncode
        if status is None:
            return "still there after SIGKILL"
        return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"

    def close(self) -> None:
        """Close our end of the channel."""
        self.socket.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
