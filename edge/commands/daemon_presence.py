"""Whether a daemon is there to be asked, for the commands that otherwise take its lock and read its books."""

from __future__ import annotations

import os
from pathlib import Path

from edge.errors import EdgeError


def is_daemon_there(socket_path: Path) -> bool:
    """Return whether a daemon listens at the socket.

    Raises EdgeError MDSE-DELIVERY-021 where that cannot be told: this user may not ask, or too many ask at once. It is
    no absence, and the books are not ours to open.
    """
    from edge.daemon.control_client import is_daemon_listening

    try:
        return is_daemon_listening(socket_path)
    except OSError as error:
        raise EdgeError("MDSE-DELIVERY-021", where=str(socket_path), reason=error.strerror or str(error)) from error


def is_state_of_another(state_dir: Path) -> bool:
    """Return whether the state folder belongs to another user; one that is not there yet belongs to nobody."""
    try:
        return state_dir.stat().st_uid != os.geteuid()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # whoever may not even look at it does not own it
