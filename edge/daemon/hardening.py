"""What a process of the daemon gives up by itself: writable-and-executable memory, and outliving its parent.

The unit file cannot say these: OpenVINO's worker makes code at run time, so `MemoryDenyWriteExecute=` stays off there,
and only supervisor, scanners and deliverers refuse it for themselves (prctl(2), PR_SET_MDWE, Linux 6.3).
"""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
PR_SET_MDWE = 65
PR_MDWE_REFUSE_EXEC_GAIN = 1
PR_MDWE_NO_INHERIT = 2  # Linux 6.6: without it the worker would inherit the refusal


def process_control(option: int, value: int) -> bool:
    """Call prctl(option, value, 0, 0, 0); False when the kernel refuses or does not know the option."""
    library = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    return bool(library.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) == 0)


def refuse_executable_memory() -> bool:
    """Refuse memory that is writable and executable from now on, for this process alone; False when not available."""
    return process_control(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT)


def die_with_parent(parent_pid: int) -> None:
    """End this process when its parent ends; ends it at once when the parent is gone already."""
    process_control(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)
