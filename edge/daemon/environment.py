"""The environment as it is in effect, not as the unit meant it: variables that change what runs are looked at.

The unit sets two variables and isolates Python. `systemctl edit`, a wrapper script or a shell may undo that; the values
are taken from the process itself, printed at start, and a start under the unit is refused where they do harm.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from edge.errors import EdgeError

FORBIDDEN = ("LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT")
"""Variables that put other code into the process or its children."""
WANTED = {"ORT_DISABLE_TELEMETRY": "1"}
PIXELS = "OPENCV_IO_MAX_IMAGE_PIXELS"
PIXELS_MAX = 16_777_216


def environment_faults(environment: Mapping[str, str], *, isolated: bool) -> list[str]:
    """Return what is wrong with the environment, in words. `isolated`: Python ignores its variables (-I)."""
    faults = []
    for name in FORBIDDEN:
        if environment.get(name) and not (isolated and name.startswith("PYTHON")):
            faults.append(f"{name} is set")
    for name, value in WANTED.items():
        if environment.get(name) != value:
            faults.append(f"{name} is {environment.get(name)!r}, not {value!r}")
    pixels = environment.get(PIXELS, "")
    if not pixels.isdecimal() or not 0 < int(pixels) <= PIXELS_MAX:
        faults.append(f"{PIXELS} is {pixels!r}, not a number up to {PIXELS_MAX}")
    faults += [f"{name} changes how images are read" for name in environment if is_opencv_override(name)]
    if not isolated:
        faults.append("Python is not isolated (-I)")
    return faults


def is_opencv_override(name: str) -> bool:
    """Tell whether the variable switches a decoder or a limit of OpenCV other than the one that the unit sets."""
    return name.startswith("OPENCV_IO_") and name != PIXELS


def check_environment(environment: Mapping[str, str]) -> list[str]:
    """Return the faults; raises EdgeError MDSE-DAEMON-018 when there are any and systemd started us as a service.

    Started by hand, as a test or a demonstration does, the faults are only told.
    """
    faults = environment_faults(environment, isolated=bool(sys.flags.isolated))
    if faults and environment.get("INVOCATION_ID"):
        raise EdgeError("MDSE-DAEMON-018", reason="; ".join(faults))
    return faults
