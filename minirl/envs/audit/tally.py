"""Counting what a check tried, and what failed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from minirl.envs.audit.report import CheckResult, Example

T = TypeVar("T")


class Tally:
    """The counts of one check while it runs."""

    def __init__(self, check: str, title: str, *, note: bool = False, budget_s: float = 60.0):
        self.check, self.title, self.note = check, title, note
        self.tries = self.failures = 0
        self.detail = ""
        self.example: Example | None = None
        self.failed: bool | None = None  # set by a check that judges a rate
        self._ends = time.monotonic() + budget_s

    def count(self, example: Example | None) -> None:
        """One more try; it failed if there is an example."""
        self.tries += 1
        if example is not None:
            self.failures += 1
            self.example = self.example or example

    def within(self, items: Iterable[T]) -> Iterator[T]:
        """``items`` until the check's time is up."""
        for item in items:
            if time.monotonic() > self._ends:
                self.detail = "cut short: its time was up"
                return
            yield item

    def result(self) -> CheckResult:
        failed = self.failures > 0 if self.failed is None else self.failed
        detail = self.detail or ("" if self.tries else "there was nothing to try")
        return CheckResult(
            self.check,
            self.title,
            self.tries,
            self.failures,
            failed and not self.note,
            detail,
            self.example,
        )
