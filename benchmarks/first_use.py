"""Measures what a newcomer meets: the size of the CPU install, how fast help appears, how long the demo takes.

    python benchmarks/first_use.py            # writes benchmarks/first_use.json

Creates a virtual environment in a temporary folder, installs `.[cpu]` from this checkout and removes it again.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
UNWANTED = ("tensorflow", "keras", "torch", "nvidia", "tensorrt", "cuda", "pycuda")
HELP_ROUNDS = 7


def folder_mb(folder: Path) -> float:
    """Return the size of all files below `folder`, in MB of 10^6 bytes, links not followed."""
    sizes = (os.lstat(Path(root) / name).st_size for root, _, names in os.walk(folder) for name in names)
    return round(sum(sizes) / 1e6, 1)


def seconds_of(command: list[str]) -> float:
    """Run a command that must succeed and return its wall-clock seconds."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def machine() -> dict[str, object]:
    """Return what the figures depend on: processor, cores, system, Python."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.system() + " " + platform.release(),
        "python": platform.python_version(),
    }


def measure(folder: Path) -> dict[str, object]:
    """Install into `folder` and measure; returns the figures of `first_use.json`."""
    venv.create(folder, with_pip=True)
    binaries = folder / "bin"
    install_s = seconds_of([str(binaries / "pip"), "install", "-q", f"{REPOSITORY}[cpu]"])
    packages = json.loads(subprocess.check_output([str(binaries / "pip"), "list", "--format=json"]))
    unwanted = [p["name"] for p in packages if p["name"].lower().startswith(UNWANTED)]
    help_s = [seconds_of([str(binaries / "edge-run"), "--help"]) for _ in range(HELP_ROUNDS)]
    demo_s = seconds_of([str(binaries / "edge-demo"), "--keep", str(folder / "demo")])
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "install_mb": folder_mb(folder / "lib"),
        "install_s": round(install_s, 1),
        "packages": len(packages),
        "unwanted_packages": unwanted,
        "help_s_median": round(statistics.median(help_s), 3),
        "help_s_max": round(max(help_s), 3),
        "demo_s": round(demo_s, 1),
    }


def main() -> int:
    """Measure and write the JSON file."""
    with tempfile.TemporaryDirectory(prefix="mds-edge-first-use-") as folder:
        figures = measure(Path(folder))
    target = REPOSITORY / "benchmarks" / "first_use.json"
    target.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return 0 if not figures["unwanted_packages"] else 1


if __name__ == "__main__":
    sys.exit(main())
