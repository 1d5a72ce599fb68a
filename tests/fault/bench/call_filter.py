"""The watched side: a process asks before each system call that changes a file (seccomp(2), user notification).

`watch_calls(address, kind)` is called in the process to be watched. From then on the kernel stops each of its calls of
CHANGING before it is done and tells the bench (call_watch.py), which lets it pass, makes it fail, or kills the process.
strace could do the same, but counts each kind of call by itself and cannot tell an `openat` that creates a file from
the hundreds that read one; here one number names one call, and what is not watched runs at full speed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct

SYS_SECCOMP = 317
CALL_NAMES = {
    1: "write", 2: "open", 18: "pwrite64", 20: "writev", 44: "sendto", 74: "fsync", 75: "fdatasync",
    76: "truncate", 77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir", 85: "creat", 86: "link", 87: "unlink",
    88: "symlink", 90: "chmod", 91: "fchmod", 257: "openat", 258: "mkdirat", 263: "unlinkat", 264: "renameat",
    265: "linkat", 266: "symlinkat", 268: "fchmodat", 285: "fallocate", 296: "pwritev", 316: "renameat2",
}  # fmt: skip
"""x86-64. `open` and `openat` count only when they may create or cut a file. `sendmsg` hands over the listener."""
OPENS = {2: 1, 257: 2}  # call -> which argument holds the flags
CREATES = os.O_CREAT | os.O_TRUNC
AUDIT_ARCH_X86_64 = 0xC000003E
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
FLAG_NEW_LISTENER = 8
PR_SET_NO_NEW_PRIVS = 38
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, ARCH, ARGUMENTS = 0, 4, 16


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def filter_code() -> bytes:
    """Return the BPF program: notify of the calls of CALL_NAMES, allow the rest."""

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("<HBBI", code, if_true, if_false, value)

    steps = [step(LOAD, ARCH), step(JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0), step(RETURN, ALLOW), step(LOAD, NUMBER)]
    for call in CALL_NAMES:
        if call in OPENS:
            flags = ARGUMENTS + 8 * OPENS[call]
            steps.append(step(JUMP_EQUAL, call, 0, 4))
            steps += [step(LOAD, flags), step(JUMP_SET, CREATES, 0, 1), step(RETURN, NOTIFY), step(RETURN, ALLOW)]
        else:
            steps += [step(JUMP_EQUAL, call, 0, 1), step(RETURN, NOTIFY)]
    return b"".join([*steps, step(RETURN, ALLOW)])


def watch_calls(address: str, kind: str) -> None:
    """Put this process (and what it starts) under watch and hand the listener to the bench at the abstract `address`.

    Raises OSError where the kernel refuses, RuntimeError on another processor.
    """
    if platform.machine() != "x86_64":
        raise RuntimeError(f"the numbers of the system calls are those of x86-64, this is {platform.machine()}")
    library = ctypes.CDLL(None, use_errno=True)
    bench = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bench.connect("\0" + address)
    zero = ctypes.c_ulong(0)
    if library.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    code = filter_code()
    program = Program(len(code) // 8, code)
    listener = library.syscall(SYS_SECCOMP, 1, FLAG_NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp(SECCOMP_SET_MODE_FILTER)")
    socket.send_fds(bench, [f"{kind} {os.getpid()}".encode()], [listener])
    bench.recv(1)  # the bench has taken it
    bench.close()
    os.close(listener)
