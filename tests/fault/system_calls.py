"""What a command asks of the kernel: its network calls and the files it makes, as strace saw them, with children."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = "network,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
_SOCKET = re.compile(r"\bsocket(?:pair)?\((\w+)")
_FAMILY = re.compile(r"sa_family=(\w+)")
_MADE = re.compile(r'\b(?:openat|open|creat|mkdir|mkdirat)\((?:AT_FDCWD, |\d+<[^>]*>, )?"([^"]+)"(.*)')
_NETWORK = re.compile(r"\b(?:socket|socketpair|connect|bind|sendto|sendmsg|recvfrom|recvmsg|listen|accept4?)\(")


def missing_for_tracing() -> str:
    """Return why system calls cannot be traced here; "" where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "this machine does not let strace trace"


@dataclass(frozen=True, slots=True)
class SystemCalls:
    """`network`: how many network calls there were; `foreign`: those of another family than AF_UNIX; `made`: absolute
    names of files and folders that were made (or opened to be made).
    """

    network: int
    foreign: tuple[str, ...]
    made: tuple[str, ...]


def traced_command(log: Path, command: Sequence[str]) -> list[str]:
    """Return the command under strace; the log is written to `log`."""
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "256", "-o", str(log), "-e", f"trace={CALLS}", *command]


def read_system_calls(log: Path) -> SystemCalls:
    """Read a log of strace."""
    network, foreign, made = 0, [], set()
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if _NETWORK.search(line):
                network += 1
                families = {*_SOCKET.findall(line), *_FAMILY.findall(line)}
                foreign += [line.strip()] if families - {"AF_UNIX", "AF_LOCAL"} else []
            elif (match := _MADE.search(line)) and is_made(line, match[2]) and match[1].startswith("/"):
                made.add(match[1])
    return SystemCalls(network, tuple(foreign), tuple(sorted(made)))


def is_made(line: str, rest: str) -> bool:
    """Tell whether the call makes its name (or would, were it not there) and did not fail."""
    makes = "mkdir" in line or "creat(" in line or "O_CREAT" in rest
    return makes and " = -1 " not in rest


def made_outside(calls: SystemCalls, *allowed: Path) -> list[str]:
    """Return what was made outside the allowed folders and the kernel's own."""
    ours = tuple(f"{os.path.realpath(path)}/" for path in allowed)
    kernel = ("/proc/", "/dev/", "/sys/")
    strangers = [name for name in calls.made if not f"{os.path.realpath(name)}/".startswith((*ours, *kernel))]
    # Python keeps what it compiled beside its sources, where it may write there (in an installation it may not).
    return [name for name in strangers if "/__pycache__" not in name]
