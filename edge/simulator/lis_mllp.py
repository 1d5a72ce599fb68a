"""The simulated LIS's door for MLLP: listens on the loopback, takes frames, answers each at once."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from datetime import UTC, datetime

from edge.simulator.lis import Reception, SimulatedLis, ack_bytes

START, END = b"\x0b", b"\x1c\r"
FRAME_BYTES_MAX = 16 * 1_048_576


class MllpDoor:
    """Accepts connections and serves them from `poll`, in the one thread of the simulator."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._server = socket.create_server((host, port))
        self.port = int(self._server.getsockname()[1])
        self._buffers: dict[socket.socket, bytearray] = {}
        self._count = 0

    def poll(self, lis: SimulatedLis, wait_s: float) -> tuple[Reception, ...]:
        """Serve what has arrived, waiting at most so long for the first byte; return what was read."""
        receptions: list[Reception] = []
        for ready in select.select([self._server, *self._buffers], [], [], wait_s)[0]:
            if ready is self._server:
                self._buffers[self._server.accept()[0]] = bytearray()
            else:
                receptions += self._serve(ready, lis)
        return tuple(receptions)

    def close(self) -> None:
        """Close the door and every connection."""
        for connection in (*self._buffers, self._server):
            connection.close()

    def _serve(self, connection: socket.socket, lis: SimulatedLis) -> list[Reception]:
        buffer = self._buffers[connection]
        try:
            data = connection.recv(65_536)
            buffer += data
            receptions = list(self._answered(buffer, lis, connection.sendall))
        except OSError:
            data, receptions = b"", []
        if not data or len(buffer) > FRAME_BYTES_MAX:
            connection.close()
            del self._buffers[connection]
        return receptions

    def _answered(self, buffer: bytearray, lis: SimulatedLis, send: Callable[[bytes], None]) -> list[Reception]:
        found = []
        while (end := buffer.find(END)) >= 0:
            content = bytes(buffer[:end]).partition(START)[2]
            del buffer[: end + len(END)]
            self._count += 1
            reception = lis.receive(f"mllp-{self._count}.hl7", content)
            send(START + ack_bytes(reception, datetime.now(UTC)) + END)
            found.append(reception)
        return found
