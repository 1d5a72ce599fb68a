"""Starts the daemon, or one of its children, as a bench wants it: some things changed, one kind of process watched.

python -m tests.fault.bench.entry --config FILE ...     with the facts of the bench in the environment
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.fault.bench import changes
from tests.fault.bench.call_filter import watch_calls

CHILD_START = (
    "import sys; root = sys.argv[1]; sys.path.insert(0, root) if root not in sys.path else None; "
    "from tests.fault.bench.entry import run_child; raise SystemExit(run_child( '{module}' , *sys.argv[2:4]))"
)


def facts() -> dict[str, Any]:
    """Return what the bench wants: `root`, `changes`, and `kind` and `address` of the watch ("" for none)."""
    found: dict[str, Any] = json.loads(os.environ[changes.ENVIRONMENT])
    return found


def run_child(module: str, descriptor: str, parent_pid: str) -> int:
    """Run a child of the supervisor (called in its own process)."""
    wanted = facts()
    root, kind = Path(wanted["root"]), module.rpartition(".")[2]
    child = importlib.import_module(module)
    if not wanted["warm"]:
        changes.apply(wanted["changes"], root)
    (root / "pids" / kind).write_text(str(os.getpid()))
    if wanted["kind"] == kind:
        watch_calls(wanted["address"], kind)
    return int(child.main(int(descriptor), int(parent_pid)))


def main(argv: list[str], *, warm: bool = False) -> int:
    """Run the supervisor; `warm`: in a process that was forked, and forks its children."""
    from edge.commands.daemon import main as daemon
    from edge.daemon import child_process

    wanted = facts()
    root = Path(wanted["root"])
    (root / "pids").mkdir(exist_ok=True)
    changes.apply(wanted["changes"], root)
    child_process.START = CHILD_START
    if warm:
        from tests.fault.bench.warm_start import ForkedChild

        child_process.subprocess.Popen = ForkedChild  # type: ignore[attr-defined]  # a stand-in
        os.environ[changes.ENVIRONMENT] = json.dumps(wanted | {"warm": True})
    if wanted["kind"] == "supervisor":
        watch_calls(wanted["address"], "supervisor")
    return daemon(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
