"""Speaking to systemd as sd_notify(3) describes: READY, RELOADING, STATUS, WATCHDOG, STOPPING, EXTEND_TIMEOUT.

Without systemd: nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

EXTEND_BY_S = 60.0


class Notifier:
    """Sends notifications to the socket that systemd named, if it named one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        period_us = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(period_us) / 1e6 if ours and period_us.isdigit() else None
        self._fed_at_s = self._extended_at_s = float("-inf")
        self._status = ""

    def ready(self, status: str) -> None:
        """Say that the daemon has started."""
        self._send(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that the configuration is read anew; `ready` follows."""
        monotonic_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_us}")

    def extend_start(self, now_s: float, by_s: float = EXTEND_BY_S) -> None:
        """Say that the start goes on and needs more time; the watchdog is fed with it. At most once a second."""
        if now_s - self._extended_at_s >= 1.0:
            self._extended_at_s = now_s
            self._send(f"EXTEND_TIMEOUT_USEC={int(by_s * 1e6)}\nWATCHDOG=1")

    def stopping(self) -> None:
        """Say that the daemon is ending on purpose."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; sent only when it changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def feed_watchdog(self, now_s: float) -> None:
        """Tell systemd that the loop turns, three times per watchdog period."""
        if self.watchdog_s is not None and now_s - self._fed_at_s >= self.watchdog_s / 3:
            self._fed_at_s = now_s
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            # A full queue of systemd must not stop the loop: the next message comes soon.
            connection.setblocking(False)
            try:
                connection.sendto(text.encode("utf-8"), address)
            except (BlockingIOError, FileNotFoundError, ConnectionRefusedError):
                return
