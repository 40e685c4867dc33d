"""What this machine's sandbox refuses: tried, not assumed."""

from __future__ import annotations

from dataclasses import dataclass, field

from minirl.errors import SandboxError
from minirl.sandbox import interpreter
from minirl.sandbox.job import Job, Limits
from minirl.sandbox.pool import Pool

# What is tried, in words, and the attempt. Refused means EPERM, EACCES, EMFILE or EAGAIN; an
# attempt on something that does not exist is let through when the answer is "not there".
ATTEMPTS = {
    "reading files": "os.open('/', os.O_RDONLY)",
    "writing files": "os.mkdir('/nowhere/minirl')",
    "deleting files": "os.unlink('/nowhere/minirl')",
    "network": "socket.socket()",
    "new processes": "os.fork() or os._exit(0)",
    "other programs": "os.execv('/nowhere/minirl', ['minirl'])",
    "signals to others": "os.kill(os.getppid(), 0)",
    "raised limits": "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "much memory": "bytearray(4 * 2**30)",
}
REFUSALS = "{errno.EPERM, errno.EACCES, errno.EMFILE, errno.EAGAIN, errno.ENOMEM}"


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What is in force here."""

    monty: bool
    """Whether pydantic-monty is installed: no access to the system at all, in any case."""
    process: bool
    """Whether the process engine starts."""
    refused: dict[str, bool] = field(default_factory=dict)
    """For the process engine: each of :data:`ATTEMPTS`, and whether it was refused."""
    why: str = ""
    """Why the process engine does not start."""

    @property
    def whole(self) -> bool:
        """Whether the process engine refused all that was tried."""
        return self.process and all(self.refused.values())


def guarantees(*, filtered: bool = True) -> Guarantees:
    """Start a process engine, try to break out of it and say what was refused."""
    monty = interpreter.installed()
    pool = Pool(1, filtered=filtered)
    try:
        jobs = [
            Job(_source(attempt), "attempt", ((),), Limits(2, 10)) for attempt in ATTEMPTS.values()
        ]
        outcomes = [outcome for (outcome,) in pool.run(jobs, "process")]
    except SandboxError as error:
        return Guarantees(monty, process=False, why=error.message)
    finally:
        pool.close()
    # A process that was killed in the attempt did not get through either.
    refused = {what: o.value is not True for what, o in zip(ATTEMPTS, outcomes, strict=True)}
    return Guarantees(monty, process=True, refused=refused)


def _source(attempt: str) -> str:
    return f"""
import errno, os, resource, socket

def attempt():
    try:
        {attempt}
    except MemoryError:
        return False
    except (OSError, ValueError) as error:
        return getattr(error, "errno", errno.EPERM) not in {REFUSALS}
    return True
"""
