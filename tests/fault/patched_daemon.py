"""The daemon as a test starts it: watched by a socket of the test's own, with one part made wrong where it is told.

    python -m tests.fault.patched_daemon NAME --config FILE ...

NAME is a function of tests/fault/wrong_parts.py, or `nothing`: the product as it is. The patch lives in these processes
alone: the supervisor's is applied here, every child applies it before its own main. The notification socket
comes in MDS_EDGE_TEST_NOTIFY: with NOTIFY_SOCKET itself the daemon would take the test for a unit, and refuse it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from edge.daemon import child_process
from edge.daemon.systemd import Notifier
from tests.fault import wrong_parts

NOTIFY = "MDS_EDGE_TEST_NOTIFY"


def apply(name: str) -> None:
    """Make the named part wrong in this process and in every child it will start."""
    if name == "nothing":
        return
    getattr(wrong_parts, name)()
    mark = "from {module} import main; "
    if "patched_daemon" not in child_process.START:
        child_process.START = child_process.START.replace(
            mark, f"from tests.fault.patched_daemon import apply; apply({name!r}); {mark}"
        )


def notify_test() -> None:
    """Let the daemon feed the watchdog of the test."""
    told = json.loads(os.environ.get(NOTIFY, "{}"))
    proper = Notifier.__init__

    def init(self: Notifier, environment: Mapping[str, str]) -> None:
        proper(self, {**environment, **told})

    Notifier.__init__ = init  # type: ignore[method-assign]  # replaced for the test


def main() -> int:
    notify_test()
    apply(sys.argv[1])
    from edge.commands.daemon import main as run

    return run(sys.argv[2:])


if __name__ == "__main__":
    raise SystemExit(main())
