"""The control socket: AF_UNIX, 0660, one JSON object a line, one answer a line. Never blocks the loop.

Who calls is taken from the kernel (SO_PEERCRED), not from what the caller says.
"""

from __future__ import annotations

import json
import logging
import selectors
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.daemon.trouble import is_of_the_configuration
from edge.errors import EXIT_TRY_LATER, EdgeError

log = logging.getLogger("mds_edge.daemon")
SOCKET_MODE = 0o660
CLIENTS_MAX = 16
WAITING_MAX = 128
REQUEST_BYTES_MAX = 65_536
PEER = struct.Struct("3i")
Answer = Callable[[Mapping[str, Any], int], dict[str, Any]]


class ControlServer:
    """Listens on the socket and answers through `answer(request, uid)`, which may raise EdgeError."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, answer: Answer) -> None:
        self._path = path
        self._selector = selector
        self._answer = answer
        self._clients: dict[socket.socket, Client] = {}
        self._listener = listen(path)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        """Take every caller that waits: a full queue would turn the next one away."""
        for _ in range(WAITING_MAX):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            # The oldest gives way: callers that connect and say nothing must not shut the others out.
            self._close(next(iter(self._clients)))
        connection.setblocking(False)
        client = Client(uid_of_peer(connection))
        self._clients[connection] = client
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._on_ready(connection))

    def _on_ready(self, connection: socket.socket) -> None:
        client = self._clients.get(connection)
        if client is None:
            return  # it gave way to a newer one within this very turn of the loop
        try:
            if client.unsent:
                sent = connection.send(client.unsent)
                del client.unsent[:sent]
            else:
                data = connection.recv(65_536)
                if not data:
                    self._close(connection)
                    return
                client.received += data
        except BlockingIOError:
            pass
        except OSError:
            self._close(connection)
            return
        self._answer_lines(connection, client)

    def _answer_lines(self, connection: socket.socket, client: Client) -> None:
        while not client.unsent and b"\n" in client.received:
            line, _, rest = bytes(client.received).partition(b"\n")
            client.received = bytearray(rest)
            client.unsent += self._reply(line, client.uid)
        if len(client.received) > REQUEST_BYTES_MAX:
            self._close(connection)
            return
        events = selectors.EVENT_WRITE if client.unsent else selectors.EVENT_READ
        self._selector.modify(connection, events, lambda: self._on_ready(connection))

    def _reply(self, line: bytes, uid: int) -> bytes:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise EdgeError("MDSE-DAEMON-012", reason="it is not an object")
            reply = self._answer(request, uid)
        except (ValueError, RecursionError) as error:
            reply = failure(EdgeError("MDSE-DAEMON-012", reason=f"it is not JSON ({type(error).__name__})"))
        except EdgeError as error:
            reply = failure(error)
        except OSError as error:
            reply = {"ok": False, "error": f"{type(error).__name__}: {error}", "exit": EXIT_TRY_LATER}
        return json.dumps(reply, ensure_ascii=True).encode("ascii") + b"\n"

    def _close(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._clients[connection]
        connection.close()

    def close(self) -> None:
        """Close every connection and take the socket away."""
        for connection in list(self._clients):
            self._close(connection)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)


class Client:
    """One connection: who it is, what it said so far, what it has still to be told."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.received = bytearray()
        self.unsent = bytearray()


def failure(error: EdgeError) -> dict[str, Any]:
    """Return the reply that tells of an error."""
    return {"ok": False, "error": str(error), "code": error.code, "exit": error.exit_status}


def uid_of_peer(connection: socket.socket) -> int:
    """Return the user id of the process at the other end, as the kernel knows it."""
    _, uid, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    return int(uid)


def listen(path: Path) -> socket.socket:
    """Bind and listen; raises EdgeError MDSE-DAEMON-013 (a person has to act) or -019 (it can pass).

    We hold the lock of the state folder: a socket file at this path is what a killed predecessor left behind.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if path.is_socket():
            path.unlink()
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)
        listener.listen(WAITING_MAX)
    except OSError as error:
        listener.close()
        code = "MDSE-DAEMON-013" if is_of_the_configuration(error) else "MDSE-DAEMON-019"
        raise EdgeError(code, where=str(path), reason=error.strerror or str(error)) from error
    listener.setblocking(False)
    return listener


def try_socket(path: Path) -> None:
    """Make the socket and take it away again, before a configuration that names it is used; raises as `listen`."""
    listen(path).close()
    path.unlink(missing_ok=True)
