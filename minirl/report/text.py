"""Model text made safe to print. It is hostile: it may hold terminal commands or reorder what is
shown.
"""

from __future__ import annotations

import unicodedata

_KEPT = {"\n", "\t"}


def visible(text: str, limit: int = 4000) -> str:
    """``text`` with control and format characters (ESC, NUL, bidi overrides, …) written out as
    escapes.

    At most ``limit`` characters are kept, and the cut is said.
    """
    cut = text[:limit]
    shown = "".join(c if c in _KEPT or not _is_control(c) else _escape(c) for c in cut)
    rest = len(text) - len(cut)
    return shown + (f"… [{rest:,} more characters]" if rest else "")


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _escape(char: str) -> str:
    return (
        char.encode("ascii", "backslashreplace").decode()
        if ord(char) > 127
        else f"\\x{ord(char):02x}"
    )


_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], low: float = 0.0, high: float = 1.0) -> str:
    """A line of bars, one a value, between ``low`` and ``high``."""
    span = high - low
    scaled = [(min(max(v, low), high) - low) / span for v in values]
    return "".join(_BARS[round(s * (len(_BARS) - 1))] for s in scaled)


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s`` or ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
