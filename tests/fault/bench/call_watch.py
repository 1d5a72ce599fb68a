"""The watching side: counts a process's calls that change something, and makes one of them end badly.

    with CallWatch(root) as watch:
        ... start a process that calls call_filter.watch_calls(watch.address, kind) ...
        watch.arm(Fault(number=17, error=0))     the 17th call from now on kills its process
        watch.hit                                what was hit, None as long as nothing was

Counted are calls on files below `root` and messages to another process. Everything else passes uncounted.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import select
import selectors
import signal
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.fault.bench.call_filter import CALL_NAMES

RECEIVE, SEND, SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104
CONTINUE = 1
SYNC_WAKE_UP = 1
NOTE = struct.Struct("<QIIiIQ6Q")  # id, pid, flags | number, arch, instruction, six arguments
REPLY = struct.Struct("<QqiI")  # id, value, error, flags
PATH_ARGUMENTS = {
    "open": (None, 0), "creat": (None, 0), "truncate": (None, 0), "rename": (None, 1), "mkdir": (None, 0),
    "rmdir": (None, 0), "link": (None, 1), "unlink": (None, 0), "symlink": (None, 1), "chmod": (None, 0),
    "openat": (0, 1), "mkdirat": (0, 1), "unlinkat": (0, 1), "renameat": (2, 3), "linkat": (2, 3),
    "symlinkat": (1, 2), "fchmodat": (0, 1), "renameat2": (2, 3),
}  # fmt: skip
"""Call -> the arguments that hold the folder's descriptor (None: none) and the path that changes."""
PATH_BYTES_MAX = 4096
AT_FDCWD = -100


@dataclass(frozen=True, slots=True)
class Call:
    """One counted call: its name, and the file below the root or `message`."""

    name: str
    target: str

    def __str__(self) -> str:
        return f"{self.name} {self.target}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the `number`th counted call (1-based) and the `more` after it: an error, or death when 0."""

    number: int
    error: int
    more: int = 0

    def __str__(self) -> str:
        kind = errno.errorcode[self.error] if self.error else "SIGKILL"
        return f"{kind} at call {self.number}" + (f" and the {self.more} after it" if self.more else "")


class CallWatch:
    """Answers the kernel's questions in a thread of its own."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root.resolve()}/"
        self.address = f"mds-edge-watch-{secrets.token_hex(8)}"
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self.count = 0
        self.calls: list[Call] | None = None
        self.hit: Call | None = None
        self.pids: dict[str, int] = {}
        self._selector = selectors.DefaultSelector()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind("\0" + self.address)
        self._server.listen(16)
        self._selector.register(self._server, selectors.EVENT_READ, self._accept)
        self._stop, self._stopping = socket.socketpair()
        self._selector.register(self._stopping, selectors.EVENT_READ, None)
        self._owners: dict[int, int] = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> CallWatch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.send(b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, int):
                os.close(key.fileobj)
        self._selector.close()
        for end in (self._server, self._stop, self._stopping):
            end.close()

    def arm(self, fault: Fault | None, *, record: bool = False) -> None:
        """Begin to count anew; `fault` None counts alone. `record` keeps every call in `calls`."""
        with self._lock:
            self._fault, self.count, self.hit = fault, 0, None
            self.calls = [] if record else None

    def disarm(self) -> None:
        """Let every call pass from now on."""
        with self._lock:
            self._fault = None

    @property
    def listeners(self) -> int:
        """How many processes the watch still hears of."""
        return len(self._owners)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data(key.fileobj)

    def _accept(self, server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            text, listeners, _, _ = socket.recv_fds(connection, 100, 1)
            kind, _, pid = text.decode().partition(" ")
            if not listeners:
                return
            self.pids[kind] = int(pid)
            self._owners[listeners[0]] = int(pid)
            with contextlib.suppress(OSError):  # before Linux 6.6: the same, slower
                fcntl.ioctl(listeners[0], SET_FLAGS, SYNC_WAKE_UP)
            self._selector.register(listeners[0], selectors.EVENT_READ, self._answer)
            connection.send(b"x")

    def _answer(self, listener: int) -> None:
        note = bytearray(NOTE.size)
        try:
            fcntl.ioctl(listener, RECEIVE, note)
        except OSError as gone:
            # ENOENT: the caller died before it was asked, perhaps the last one. Anything else: nobody is left to ask.
            if gone.errno != errno.ENOENT or is_abandoned(listener):
                self._selector.unregister(listener)
                del self._owners[listener]
                os.close(listener)
            return
        identity, pid, _, number, _, _, *arguments = NOTE.unpack(note)
        error = self._decide(pid, self._owners[listener], CALL_NAMES[number], arguments)
        reply = REPLY.pack(identity, 0, -error, 0) if error else REPLY.pack(identity, 0, 0, CONTINUE)
        try:
            fcntl.ioctl(listener, SEND, bytearray(reply))
        except OSError as gone:
            if gone.errno != errno.ENOENT:
                raise

    def _decide(self, pid: int, owner: int, name: str, arguments: list[int]) -> int:
        """Return the error that the call gets, 0 to let it pass; kills the process where that is the fault."""
        if process_of(pid) != owner:
            return 0  # a child that inherited the watch and has one of its own kind to be watched
        target = self._target(pid, name, arguments)
        if target is None:
            return 0
        with self._lock:
            self.count += 1
            call = Call(name, target)
            if self.calls is not None:
                self.calls.append(call)
            fault = self._fault
            if fault is None or not fault.number <= self.count <= fault.number + fault.more:
                return 0
            if fault.error and name == "sendto":
                return 0  # a socket between two processes knows none of these errors
            self.hit = self.hit or call
            if fault.error:
                return fault.error
            os.kill(owner, signal.SIGKILL)
            return errno.EINTR

    def _target(self, pid: int, name: str, arguments: list[int]) -> str | None:
        if name == "sendto":
            # The supervisor also answers the bench's own questions, as often as they are asked.
            return None if self.pids.get("supervisor") else "message"
        try:
            if name in PATH_ARGUMENTS:
                folder, path = PATH_ARGUMENTS[name]
                text = text_at(pid, arguments[path])
                if not text.startswith("/"):
                    text = f"{folder_of(pid, None if folder is None else arguments[folder])}/{text}"
            else:
                text = os.readlink(f"/proc/{pid}/fd/{ctypes.c_int32(arguments[0]).value}")  # noqa: PTH115 - no file
        except OSError:
            return None  # it is gone, or the call is a wrong one that fails by itself
        return text.removeprefix(self._root) if text.startswith(self._root) else None


def is_abandoned(listener: int) -> bool:
    """Tell whether no process is left that the listener could hear of: it would be ready to read for ever."""
    poll = select.poll()
    poll.register(listener, 0)  # POLLHUP is always told
    return bool(poll.poll(0))


def process_of(task: int) -> int:
    """Return the process that a task (a thread) belongs to; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{task}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Tgid:"))


def text_at(pid: int, address: int) -> str:
    """Return the text at an address of another process; raises OSError."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        room = min(PATH_BYTES_MAX, 4096 - address % 4096)
        content = memory.read(room)
        if b"\0" not in content:
            content += memory.read(PATH_BYTES_MAX)
    return os.fsdecode(content.partition(b"\0")[0])


def folder_of(pid: int, descriptor: int | None) -> str:
    """Return the folder that a relative path begins in; raises OSError."""
    number = AT_FDCWD if descriptor is None else ctypes.c_int32(descriptor).value
    return os.readlink(f"/proc/{pid}/cwd" if number == AT_FDCWD else f"/proc/{pid}/fd/{number}")  # noqa: PTH115
