"""A notification socket in place of systemd's: it keeps when the daemon fed the watchdog, and what it said."""

from __future__ import annotations

import itertools
import secrets
import socket
import threading
import time

PERIOD_S = 6.0
"""The daemon under test is told to feed within this time; the unit allows 30 s."""


class WatchdogSocket:
    """Listens from its making to `close()`; times are monotonic seconds."""

    def __init__(self) -> None:
        self._name = f"mds-edge-test-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self._name)
        self._socket.settimeout(0.2)
        self._open = True
        self.fed_at_s: list[float] = []
        self.said: list[str] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": "@" + self._name, "WATCHDOG_USEC": str(int(PERIOD_S * 1e6))}

    def _listen(self) -> None:
        while self._open:
            try:
                text = self._socket.recv(4096).decode()
            except TimeoutError:
                continue
            except OSError:
                return
            if "WATCHDOG=1" in text:
                self.fed_at_s.append(time.monotonic())
            else:
                self.said.append(text)

    def longest_pause_s(self, since_s: float, until_s: float) -> float:
        """Return the longest time without a ping between two moments, both ends counted."""
        marks = [since_s, *(at for at in list(self.fed_at_s) if since_s < at < until_s), until_s]
        return max(later - earlier for earlier, later in itertools.pairwise(marks))

    def times_late(self, since_s: float, until_s: float) -> int:
        """Return how often the period passed without a ping."""
        marks = [since_s, *(at for at in list(self.fed_at_s) if since_s < at < until_s), until_s]
        return sum(later - earlier > PERIOD_S for earlier, later in itertools.pairwise(marks))

    def close(self) -> None:
        self._open = False
        self._thread.join(2.0)
        self._socket.close()
