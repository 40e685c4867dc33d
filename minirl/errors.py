"""What can go wrong, each with what was expected, what came and what to do about it.

Every error that a user can cause is a :class:`MinirlError`. Each subclass is a standard exception
too, so that library users catch what they already know (``except ValueError``).
"""

from __future__ import annotations


class MinirlError(Exception):
    """A failure that minirl understands.

    Args:
        message: what went wrong, in one sentence.
        expected: what would have been right.
        got: what came instead.
        fix: what to do now; a command where there is one.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.got = got
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.message]
        for label, text in (("expected", self.expected), ("got", self.got), ("fix", self.fix)):
            if text:
                lines.append(f"  {label + ':':<10}{text}")
        return "\n".join(lines)


class ConfigError(MinirlError, ValueError):
    """A recipe, an override or an option that cannot be used."""

    exit_code = 2


class EnvironmentFault(MinirlError, RuntimeError):
    """An environment that breaks its contract (never raised for malformed model output)."""


class UnknownGold(MinirlError, LookupError):
    """No right answer is known for a task; some environments of other libraries ship none."""


class UnknownNameError(ConfigError, LookupError):
    """A name (environment, model, recipe) that nothing is registered under."""


class ModelError(MinirlError, RuntimeError):
    """A model that cannot be found, fetched or loaded."""


class EndpointError(MinirlError, RuntimeError):
    """A served model that cannot be reached, fails or refuses."""


class MissingExtraError(MinirlError, ImportError):
    """A feature whose optional packages are not installed."""


class SandboxError(MinirlError, RuntimeError):
    """The sandbox cannot run on this machine (never raised for what a program does)."""


class ExportError(MinirlError, RuntimeError):
    """What was exported is not the model that was trained."""


class OutOfMemory(MinirlError, MemoryError):
    """The card's or the machine's memory did not suffice."""


class NothingToLearn(MinirlError, RuntimeError):
    """A probe's verdict is against the training that was asked for."""


class RunDirError(MinirlError, OSError):
    """A run directory that is in the way, missing, locked or not whole."""

    def __str__(self) -> str:  # OSError would print errno and filename instead
        return MinirlError.__str__(self)


class DiskFullError(RunDirError):
    """No space left where minirl was writing."""


class Interrupted(MinirlError):
    """Ctrl-C, with what is on disk now and how to go on."""

    exit_code = 130
