"""Giving up every right but to compute. Runs in the child, before the first line of the program.

Two layers. Limits that any POSIX system keeps: no new file descriptor (so no file, socket or
pipe), no new process, CPU seconds, address space. Then the operating system's own filter: on
Linux seccomp with a short list of allowed system calls, each other one answered by EPERM; on
macOS a sandbox profile that denies everything.

The seccomp filter is a classic BPF program (linux/filter.h, linux/seccomp.h): load a word of
``struct seccomp_data``, compare, jump, return a verdict.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Mapping

NOBODY = 65534
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # REFUSE answers EPERM
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER_MODE = 22, 38, 2

# The calls that computing needs: memory, clocks, random bytes, waiting, the pipe it has, its end.
CALLS = {
    "x86_64": {
        "audit": 0xC000003E,
        "read": 0, "write": 1, "close": 3, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
        "brk": 12, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25,
        "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60, "gettimeofday": 96,
        "getrusage": 98, "times": 100, "gettid": 186, "futex": 202, "restart_syscall": 219,
        "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231,
        "getrandom": 318,
    },
    "aarch64": {
        "audit": 0xC00000B7,
        "read": 63, "write": 64, "close": 57, "lseek": 62, "mmap": 222, "mprotect": 226,
        "munmap": 215, "brk": 214, "rt_sigprocmask": 135, "rt_sigreturn": 139, "sched_yield": 124,
        "mremap": 216, "madvise": 233, "nanosleep": 101, "getpid": 172, "exit": 93,
        "gettimeofday": 169, "getrusage": 165, "times": 153, "gettid": 178, "futex": 98,
        "restart_syscall": 128, "clock_gettime": 113, "clock_getres": 114,
        "clock_nanosleep": 115, "exit_group": 94, "getrandom": 278,
    },
}  # fmt: skip


def filter_program(machine: str) -> bytes | None:
    """The seccomp filter for ``machine``; None where its numbers are not known."""
    if machine not in CALLS:
        return None
    numbers = dict(CALLS[machine])
    audit = numbers.pop("audit")
    lines = [
        (LOAD_WORD, 0, 0, 4),  # seccomp_data.arch: another ABI has other numbers
        (JUMP_IF_EQUAL, 1, 0, audit),
        (RETURN, 0, 0, KILL),
        (LOAD_WORD, 0, 0, 0),  # seccomp_data.nr
    ]
    for place, number in enumerate(numbers.values()):
        lines.append((JUMP_IF_EQUAL, len(numbers) - place, 0, number))
    lines += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def confine(limits: Mapping[str, float], *, filtered: bool = True) -> bool:
    """Give up all rights for good. Returns whether the system's own filter is in force.

    Args:
        limits: ``cpu_s``, and ``memory_bytes`` of address space beyond what is in use now.
        filtered: False leaves the filter out; the tests try the limits by themselves.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    in_use = _address_space()
    if os.geteuid() == 0:
        _become_nobody()
    cpu_s = limits["cpu_s"]
    signal.setitimer(signal.ITIMER_PROF, cpu_s)  # to the millisecond; the limit in whole seconds
    _limit(resource.RLIMIT_CPU, math.ceil(cpu_s) + 1)
    if in_use is not None:
        _limit(resource.RLIMIT_AS, in_use + int(limits["memory_bytes"]))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        _limit(kind, 0)
    _limit(resource.RLIMIT_NOFILE, 0)  # what is open stays open; nothing new can be
    if not filtered:
        return False
    return _macos_profile(libc) if sys.platform == "darwin" else _seccomp(libc)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _address_space() -> int | None:
    """Bytes of address space in use; None where the limit on it means nothing (macOS)."""
    if sys.platform != "linux":
        return None
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _become_nobody() -> None:
    """Root is exempt from limits on processes; an unprivileged user is not."""
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except (OSError, AttributeError):
        # A container without the right to change users: the filter alone must hold then.
        return


def _seccomp(libc: ctypes.CDLL) -> bool:
    code = filter_program(platform.machine())
    if code is None or libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    return bool(libc.prctl(PR_SET_SECCOMP, FILTER_MODE, ctypes.c_char_p(program), 0, 0) == 0)


def _macos_profile(libc: ctypes.CDLL) -> bool:
    error = ctypes.c_char_p()
    profile = b"(version 1)(deny default)"
    return bool(libc.sandbox_init(profile, ctypes.c_uint64(0), ctypes.byref(error)) == 0)
