"""The plan builder: a child that builds, proves and keeps the GPU's plan while slides run on the CPU.

    from the supervisor   begin {bundle, public_key, device, plans}
    to the supervisor     progress {elapsed_s, last_build_s} · built {facts} · failed {code, text}

A build uses the whole GPU and may crash or hang: here it can take nothing with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.daemon.channel import Channel
from edge.daemon.child_main import run_child
from edge.daemon.worker import failure_of, test_module, trusted_key

if TYPE_CHECKING:
    from edge.engines.tensorrt_plan import ProgressReport


def build(settings: Mapping[str, Any], report: ProgressReport, **injected: Any) -> dict[str, Any]:
    """Build the plan that the settings name and return its facts; raises EdgeError, OSError.

    `injected`: `usable` libraries and `tools` in the place of this machine's, for tests.
    """
    from edge.bundle.reader import open_bundle
    from edge.engines.choose import choose_engine
    from edge.engines.installed import libraries_of_machine, require_gpu
    from edge.engines.plan_cache import plan_facts
    from edge.gpu_plans import TOOLS, build_proved_plan, has_plan

    device = str(settings["device"])
    require_gpu(device)
    bundle = open_bundle(Path(settings["bundle"]), public_key=trusted_key(settings["public_key"]))
    choice = choose_engine(bundle.manifest.engines, injected.get("usable") or libraries_of_machine(), device)
    tools = injected.get("tools") or TOOLS
    if has_plan(bundle, choice, Path(settings["plans"]), carried=False, tools=tools):
        return {"file": "found: built by hand or by an earlier run"}
    made = build_proved_plan(bundle, choice, Path(settings["plans"]), report=report, tools=tools)
    return plan_facts(made.key) | {
        "file": str(made.path),
        "plan_bytes": made.plan_bytes,
        "build_s": round(made.build_s, 1),
        "golden_cells": made.proof.cells,
        "removed": list(made.removed),
    }


def serve(channel: Channel) -> None:
    """Take the one order, build, answer, end."""
    message = channel.receive()
    if message is None:
        return
    settings = dict(message.header)

    def report(elapsed_s: float, last_s: float | None) -> None:
        channel.send({"kind": "progress", "elapsed_s": round(elapsed_s, 1), "last_build_s": last_s})

    try:
        module = test_module(settings)
        facts = build(settings, report) if module is None else module.build_test_plan(settings, report)
    except Exception as error:  # noqa: BLE001 - the border of the process: whatever it is, the supervisor must hear it
        channel.send(failure_of(error) | {"kind": "failed"})
        return
    channel.send({"kind": "built", **facts})


def main(descriptor: int, parent_pid: int) -> int:
    """Run as a child of the supervisor."""
    return run_child(descriptor, parent_pid, serve, makes_code=True)
