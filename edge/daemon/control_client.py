"""The client's end of the daemon's control socket: one request, one reply, each one line of JSON.

    request   {"command": "finalize", "slide": "di60/A0042_S1", "by": "K. Sato", "reason": "reviewed"}
    reply     {"ok": true, ...facts}   or   {"ok": false, "error": "one line for people", "exit": 75}

Used by `edge-result` and `edge-journal`. The caller's user id is taken by the daemon from the socket itself.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.errors import EdgeError

DEFAULT_SOCKET = Path("/run/mds-edge/control.sock")
REPLY_BYTES_MAX = 16_777_216
TIMEOUT_S = 30.0


def reply_from_daemon(
    socket_path: Path, request: Mapping[str, object], *, timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """Send one request and return the reply, whether it says ok or not.

    Raises:
        EdgeError: MDSE-DELIVERY-021 no daemon listens or it does not answer within `timeout_s`,
            MDSE-DELIVERY-022 the answer is not a reply.
    """
    where = str(socket_path)
    try:
        line = _exchange(socket_path, json.dumps(request).encode("utf-8") + b"\n", timeout_s)
    except TimeoutError as error:
        raise EdgeError("MDSE-DELIVERY-021", where=where, reason=f"no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise EdgeError("MDSE-DELIVERY-021", where=where, reason=error.strerror or str(error)) from error
    if not line.endswith(b"\n"):
        reason = "it is too long" if len(line) > REPLY_BYTES_MAX else "it ended before its line did"
        raise EdgeError("MDSE-DELIVERY-022", where=where, reason=reason)
    try:
        reply = json.loads(line)
    except ValueError as error:
        raise EdgeError("MDSE-DELIVERY-022", where=where, reason="it is not JSON") from error
    if not isinstance(reply, dict) or not isinstance(reply.get("ok"), bool):
        raise EdgeError("MDSE-DELIVERY-022", where=where, reason="it does not say whether it is ok")
    return reply


def is_daemon_listening(socket_path: Path) -> bool:
    """Return whether something accepts connections at the socket (for commands that otherwise take the lock)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5.0)
        try:
            connection.connect(str(socket_path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def _exchange(socket_path: Path, line: bytes, timeout_s: float) -> bytes:
    """Return what was answered up to the first line end, the end of the connection or the size limit."""
    deadline_s = time.monotonic() + timeout_s
    answer = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(socket_path))
        connection.sendall(line)
        while b"\n" not in answer[-65_536:] and len(answer) <= REPLY_BYTES_MAX:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            connection.settimeout(left_s)
            block = connection.recv(65_536)
            if not block:
                break
            answer += block
    return bytes(answer[: answer.index(b"\n") + 1]) if b"\n" in answer else bytes(answer)
