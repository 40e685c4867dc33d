"""A clock that can be put forward for one process.

It stands in for ``time.time`` and its kin and for ``datetime.datetime`` and ``datetime.date``, for
code that is imported after :meth:`Clock.install`. What it cannot see: a name bound before, the
monotonic clocks, a clock asked by C code (``numpy.datetime64("now")``, SQLite's ``now``), files'
times, other processes.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

HOUR, DAY = 3600, 86_400


class Clock:
    """The machine's clock, ``offset`` seconds ahead."""

    def __init__(self) -> None:
        self.offset = 0.0

    def install(self) -> None:
        """Replace the clocks of this process; there is no way back."""
        real = time.time
        real_ns = time.time_ns
        plain_localtime, plain_gmtime, plain_ctime = time.localtime, time.gmtime, time.ctime
        plain_strftime = time.strftime

        def now() -> float:
            return real() + self.offset

        swaps: dict[str, Any] = {
            "time": now,
            "time_ns": lambda: real_ns() + int(self.offset) * 10**9,
            "localtime": lambda secs=None: plain_localtime(now() if secs is None else secs),
            "gmtime": lambda secs=None: plain_gmtime(now() if secs is None else secs),
            "ctime": lambda secs=None: plain_ctime(now() if secs is None else secs),
            "strftime": lambda form, t=None: plain_strftime(
                form, plain_localtime(now()) if t is None else t
            ),
        }
        for name, swap in swaps.items():
            setattr(time, name, swap)
        _swap_dates(now)


def _swap_dates(now: Any) -> None:
    class _Any(type):
        """What was made before the swap is still an instance."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, cls.__mro__[1])

    class Datetime(datetime.datetime, metaclass=_Any):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(now(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(now(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(now())

    class Date(datetime.date, metaclass=_Any):
        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(now())

    Datetime.__name__ = Datetime.__qualname__ = "datetime"
    Date.__name__ = Date.__qualname__ = "date"
    for name, swap in (("datetime", Datetime), ("date", Date)):
        setattr(datetime, name, swap)
