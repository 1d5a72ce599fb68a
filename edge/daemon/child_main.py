"""What every child does first: take its channel, tie its life to the supervisor's, leave signals to it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

from edge.daemon.channel import Channel
from edge.daemon.hardening import die_with_parent, refuse_executable_memory


def run_child(descriptor: int, parent_pid: int, body: Callable[[Channel], None], *, makes_code: bool = False) -> int:
    """Run a child's body until the supervisor closes the channel; return the exit status.

    `makes_code` is True for the worker alone: its inference library writes machine code at run time.
    """
    die_with_parent(parent_pid)
    # Ctrl-C in a terminal reaches the whole group; the supervisor alone decides when a child ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if not makes_code:
        refuse_executable_memory()
    connection = socket.socket(fileno=descriptor)
    try:
        body(Channel(connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0
    finally:
        connection.close()
    return 0
