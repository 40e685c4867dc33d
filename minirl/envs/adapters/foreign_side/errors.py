"""What this side refuses; the other side makes a MinirlError of it."""

from __future__ import annotations


class Refused(Exception):
    """``kind`` is ``missing`` (a package), ``config`` (an option) or ``unfit`` for adapting."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
