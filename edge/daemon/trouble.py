"""Whose trouble is an error of the operating system: the place's, which passes, or the slide's, which stays.

A share that is away, a disk that is full, a file that another program holds: these are tried again for ever, with
longer pauses. What no table knows (an unreadable sector, an odd answer of a server) is given an hour, and is then taken
for the slide's own.
"""

from __future__ import annotations

import errno

DOUBT_S = 3600.0
OF_THE_PLACE = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS,
    errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY, errno.EAGAIN, errno.EINTR, errno.EDEADLK, errno.ENOLCK,
    errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.EPIPE, errno.ENODEV,
    errno.ENXIO, errno.EREMOTEIO, errno.ESHUTDOWN, errno.ENOENT,
})  # fmt: skip
"""Errors that say nothing of the slide. EACCES and EBUSY: on a share they are a writer's lock."""

OF_THE_CONFIGURATION = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL,
    errno.EACCES, errno.EPERM, errno.EADDRINUSE,
})  # fmt: skip
"""At a place of this machine that the configuration names, at the start: the same after every restart."""

OF_A_FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
FULL_DISK_PAUSE_S = 5.0


def longest_pause_s(error_number: int, scan_s: float = FULL_DISK_PAUSE_S) -> float | None:
    """Return the longest pause after this error, None for no bound of its own.

    Somebody is making room on a full disk at this very moment: work goes on within one scan of it.
    """
    return min(scan_s, FULL_DISK_PAUSE_S) if error_number in OF_A_FULL_DISK else None


def is_of_the_configuration(error: OSError) -> bool:
    """Tell whether a place of this machine is named wrongly or is somebody else's; anything else can pass by itself.

    An error without a number is Python's own: a path that is too long for a socket.
    """
    return error.errno is None or error.errno in OF_THE_CONFIGURATION


def error_number_of(error: BaseException) -> int:
    """Return the number of the operating system's error behind an exception, 0 when there is none."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return cause.errno or 0 if isinstance(cause, OSError) else 0


class Doubts:
    """Since when each slide has failed with an error that nobody can place. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since_s: dict[int, float] = {}

    def is_of_the_slide(self, slide_id: int, error_number: int, now_s: float) -> bool:
        """Note a failure of this slide; tell whether it has to be taken for the slide's own by now."""
        if error_number in OF_THE_PLACE:
            self._since_s.pop(slide_id, None)
            return False
        return now_s - self._since_s.setdefault(slide_id, now_s) >= DOUBT_S

    def forget(self, slide_id: int) -> None:
        """Note that the slide could be read, or is out of our hands."""
        self._since_s.pop(slide_id, None)
