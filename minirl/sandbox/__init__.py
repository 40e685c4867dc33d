"""Running programs that a model wrote, without letting them do anything but compute.

    outcomes, = run_jobs([Job("def f(x): return x + 1", "f", ((1,), (2,)))])

A program sees the arguments of one call at a time and never the expected answers: only arguments
go over the wall and only plain data comes back, bounded and parsed strictly, and ``same_value``
compares it here. Two engines. *monty* interprets a subset of Python in a Rust process that knows
no system. *process* is CPython in a process of its own: an empty environment, another user where
we are root, resource limits, no new file descriptor or process, and (Linux, x86-64 and ARM64) a
seccomp filter that answers all but some thirty harmless system calls with "not permitted"; there
are no files to read, write or leave behind, and nothing to send a signal to. *auto*, the default,
asks monty first, and CPython where monty says something that CPython may not say.

What is **not** guaranteed:

- Nothing stands against a hole in the kernel, in CPython's allowed calls or in monty. For programs
  of an adversary rather than of a model in training, put a virtual machine around all of this.
- The time limits are real time: on an overloaded machine an honest program can run into
  ``wall_s``. Memory is bounded for one program, not for all that run at once together.
- A program may use what it remembers of earlier calls, read the clock, and measure its own time.
  One that returns a constant is scored as a constant: ask with inputs that tell them apart.
- monty is not CPython. An answer that it gives is taken; known differences (lazy iterators) are
  run in CPython instead, unknown ones would show as wrong answers. ``engine="process"`` is exact.
- On macOS the filter is a sandbox profile and memory is not limited; it has not been tried there.
  Without either filter the process engine refuses to start, unless MINIRL_WEAK_SANDBOX=1 says that
  resource limits are enough: then a program can still delete and signal what its user may.
- Windows has the monty engine only. A process that was forked after monty had started has the
  process engine only, and *auto* uses that.

``guarantees()`` tries on this machine what a program must not be able to do.
"""

from minirl.sandbox.guarantees import Guarantees, guarantees
from minirl.sandbox.job import ERRORS, Job, Limits, Outcome
from minirl.sandbox.pool import Engine, Pool, Session, open_session, run_jobs
from minirl.sandbox.values import same_value

__all__ = [
    "ERRORS",
    "Engine",
    "Guarantees",
    "Job",
    "Limits",
    "Outcome",
    "Pool",
    "Session",
    "guarantees",
    "open_session",
    "run_jobs",
    "same_value",
]
