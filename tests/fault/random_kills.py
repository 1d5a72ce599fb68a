"""Kill the daemon and its children at random moments, again and again, and prove that nothing is lost or sent twice.

    python -m tests.fault.random_kills --kills 200                       with an arithmetic stand-in for the models
    python -m tests.fault.random_kills --kills 200 --bundle DIR --key PEM --cells DIR     with the real pipeline

Every kill is SIGKILL to the supervisor, a scanner, the worker or the deliverer, at a random time after the start.
After the last one the daemon runs to the end undisturbed; then files and journal are read. Exit status 1 on any fault.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.fault.site import Site, findings_of, write_slide

VICTIMS = ("supervisor", "supervisor", "scanner", "worker", "deliver")


def absolute_path(text: str) -> Path:
    """Return the path as a configuration wants it."""
    return Path(text).resolve()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "random_kills", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--slides-per-kill", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bundle", type=absolute_path, help="a real bundle (default: the arithmetic stand-in)")
    parser.add_argument("--key", type=absolute_path, help="public key of the bundle")
    parser.add_argument("--cells", type=absolute_path, help="folder of real cell images for the real pipeline")
    parser.add_argument("--pause-s", type=float, default=0.8, help="longest pause before a kill")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    arguments = parser.parse_args(argv)
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="mds-edge-kills-"))
    root.mkdir(parents=True, exist_ok=True)
    result = run_kills(root, arguments)
    print(json.dumps(result, indent=1))  # noqa: T201 - a bench prints
    if not arguments.keep:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if any(result["faults"].values()) else 0


def run_kills(root: Path, arguments: argparse.Namespace) -> dict[str, dict[str, int]]:
    chance = random.Random(arguments.seed)
    site = site_for(root, arguments)
    images = sorted(arguments.cells.rglob("*.jpg")) if arguments.cells else []
    names: list[str] = []
    killed: Counter[str] = Counter()
    started = time.monotonic()
    try:
        site.start()
        site.wait_ready()
        while sum(killed.values()) < arguments.kills:
            for _ in range(int(arguments.slides_per_kill + chance.random())):
                names.append(f"K{len(names):05d}")
                contents = tuple(path.read_bytes() for path in chance.sample(images, 6)) if images else ()
                write_slide(site.export, names[-1], cells=6 if images else 3, contents=contents)
            time.sleep(chance.random() * arguments.pause_s)
            killed[kill_one(site, chance.choice(VICTIMS))] += 1
        finish(site, names)
        status = site.stop()
    finally:
        site.close()
    faults = findings_of(site, names) | {"bad_exit_status": int(status != 0)}
    counts = {"kills": sum(killed.values()), "slides": len(names), "seconds": int(time.monotonic() - started)}
    return {"runs": counts, "killed": dict(killed), "faults": faults}


def site_for(root: Path, arguments: argparse.Namespace) -> Site:
    # A slide is not guilty of these crashes: the limit on attempts is set as high as it goes.
    if arguments.bundle is None:
        return Site(root, attempts=10)
    key = f'public_key = "{arguments.key}"' if arguments.key else ""
    return Site(root, attempts=10, test_analyzer="", bundle=arguments.bundle, key=key, worker_budget_s=300)


def kill_one(site: Site, victim: str) -> str:
    """Kill the process if it is there (a child may be between two lives); the supervisor otherwise."""
    children = site.children()
    if victim in children:
        try:
            os.kill(children[victim], signal.SIGKILL)
        except ProcessLookupError:
            pass
        else:
            return victim
    site.kill()
    site.start()
    site.wait_ready()
    return "supervisor"


def finish(site: Site, names: list[str]) -> None:
    """Wait until nothing is left to do."""

    def is_done() -> bool:
        states = site.ask("status")["slides"]
        return bool(states["CLOSED"] + states["QUARANTINED"] + states["HELD"] + states["LATE"] >= len(names))

    site.wait_for(is_done, "every slide has come to an end", deadline_s=60 + len(names))


if __name__ == "__main__":
    sys.exit(main())
