"""Daemons that start in milliseconds: forked from an interpreter that has imported everything already.

A sweep starts thousands of daemons, and nine tenths of a start are imports. Supervisor and children stay processes of
their own, with the calls, descriptors and signals they have otherwise; only `exec` and the imports are spared.

    with WarmInterpreter() as warm:
        process = warm.start(argv, environment, log)       behaves as subprocess.Popen does
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fault.bench.registry import REPOSITORY

POLL_S = 0.005
IMPORTED = (
    "edge.commands.daemon", "edge.config_places", "edge.daemon.environment", "edge.logs", "encodings.ascii",
    "edge.daemon.scanner", "edge.daemon.worker", "edge.daemon.deliver",
    "tests.fault.bench.entry", "tests.fault.bench.warm_start", "tests.fault.fake_analyzer",
)  # fmt: skip
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE)


class Nursery:
    """One interpreter that has imported everything, and is there as long as this process and its forks are.

    Each site of a bench has a copy of it (WarmInterpreter), forked in milliseconds.
    """

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.fault.bench.warm_start", str(theirs.fileno())]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
        with theirs:
            self._process = subprocess.Popen(command, env=environment, pass_fds=(theirs.fileno(),), cwd=REPOSITORY)

    def end(self) -> None:
        """End it; copies that still run go on until their connections are closed."""
        self._socket.close()
        self._process.wait()

    def fork(self) -> socket.socket:
        """Return the connection to a new copy, which ends when it is closed."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._socket, [b"x"], [theirs.fileno()])
        return ours


@cache
def nursery() -> Nursery:
    """Return the nursery of this process and of those that are forked from it later on."""
    made = Nursery()
    atexit.register(made.end)
    return made


class WarmInterpreter:
    """The parent of the daemons. It ends with the bench, and they with it.

    `own`: with a nursery of its own, for a bench whose mounts no process sees that was there before.
    """

    def __init__(self, *, own: bool = False) -> None:
        self._own = Nursery() if own else None
        self._socket = (self._own or nursery()).fork()
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> WarmInterpreter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.shutdown(socket.SHUT_WR)
        self._answers.read()  # until it has ended
        self._answers.close()
        self._socket.close()
        if self._own is not None:
            self._own.end()

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request and return its answer."""
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(self._answers.readline())

    def start(self, argv: list[str], environment: dict[str, str], log: Path) -> WarmProcess:
        """Start a daemon; its standard output and error go to the end of `log`."""
        return WarmProcess(self, self.ask({"argv": argv, "environment": environment, "log": str(log)}))


class WarmProcess:
    """A daemon, as subprocess.Popen shows one."""

    def __init__(self, warm: WarmInterpreter, pid: int) -> None:
        self._warm = warm
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._warm.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end_s = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (status := self.poll()) is None:
            if time.monotonic() > end_s:
                raise subprocess.TimeoutExpired("daemon", timeout or 0.0)
            time.sleep(POLL_S)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedChild:
    """Stands for the subprocess.Popen of edge.daemon.child_process: the child of a supervisor, forked from it."""

    def __init__(self, command: list[str], *, pass_fds: tuple[int, ...], **_: Any) -> None:
        from tests.fault.bench.entry import run_child

        module = next(word.strip("'") for word in command[3].split() if word.startswith("'edge.daemon."))
        descriptor, parent_pid = command[-2:]
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                become_fresh(keep=pass_fds)
                status = run_child(module, descriptor, parent_pid)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 70
            finally:
                os._exit(status)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def become_fresh(*, keep: tuple[int, ...]) -> None:
    """Give up what a process that was started anew would not have: descriptors, signal handlers, loggers."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - descriptors are numbers
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))
    for logger in (logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))):
        logger.handlers.clear()


def serve(connection: socket.socket) -> None:
    """Start daemons and tell how they ended, until the bench is gone."""
    with connection.makefile("rb") as requests:
        for line in requests:
            request = json.loads(line)
            if "poll" in request:
                pid, status = os.waitpid(request["poll"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
            else:
                answer = os.fork()
                if answer == 0:
                    run_daemon(request)
            connection.sendall(json.dumps(answer).encode() + b"\n")


def run_daemon(request: dict[str, Any]) -> None:
    """Run the supervisor in this process, and end it."""
    from edge.daemon.hardening import die_with_parent
    from tests.fault.bench import entry

    status = 70
    try:
        die_with_parent(os.getppid())
        become_fresh(keep=())
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environ.clear()
        os.environ.update(request["environment"])
        status = entry.main(request["argv"], warm=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 70
    finally:
        os._exit(status)


def copy_for_each(requests: socket.socket) -> None:
    """Fork a copy of this process for each connection that is sent, until nobody is left who could send one."""
    gc.freeze()  # what is here stays, and is not touched in every copy
    copies = set()
    while True:
        message, connections, _, _ = socket.recv_fds(requests, 1, 1)
        if not message:
            break
        copy = os.fork()
        if copy == 0:
            try:
                requests.close()
                serve(socket.socket(fileno=connections[0]))
            finally:
                os._exit(0)
        os.close(connections[0])
        copies = {pid for pid in {*copies, copy} if os.waitpid(pid, os.WNOHANG)[0] == 0}
    for pid in copies:
        os.waitpid(pid, 0)


def main() -> None:
    """Import what a daemon and its children need, then make copies."""
    for module in IMPORTED:
        importlib.import_module(module)
    copy_for_each(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
