"""Runs `python -m training` where the kernel ends every process that asks it for a socket.

    python -m tests.training.no_sockets VERB ...

A filter on system calls, so that nothing goes round it: no library in C, and no thread of one.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

# Number of socket(2) by architecture.
SOCKET = {"x86_64": 41, "aarch64": 198}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def forbid_sockets() -> None:
    """For this process and all that it starts, for good."""
    code = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (LOAD, 0, 0, 0),  # the call's number
            (JUMP_IF_EQUAL, 0, 1, SOCKET[platform.machine()]),
            (RETURN, 0, 0, KILL_PROCESS),
            (RETURN, 0, 0, ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    forbid_sockets()
    if sys.argv[1:] == ["--socket"]:
        import socket

        socket.socket()
    from training.cli import main

    sys.exit(main(sys.argv[1:]))
