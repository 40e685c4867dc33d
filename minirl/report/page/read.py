"""Reading a run directory while another process may be writing into it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minirl.report.text import visible

TEXT = 2000  # characters kept of a text that is not a sample's


@dataclass(slots=True)
class Reader:
    """Reads what can be read, and notes what could not.

    Attributes:
        root: the run directory.
        notes: sentences for the reader of the page.
    """

    root: Path
    notes: list[str] = field(default_factory=list)

    def json(self, path: Path) -> dict[str, Any] | None:
        """A JSON object; None where there is none, with a note where there is a damaged one."""
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            self._note(path, f"cannot be read ({type(error).__name__}), and is left out")
            return None
        if not isinstance(value, dict):
            self._note(path, "holds no JSON object, and is left out")
            return None
        return value

    def text(self, path: Path) -> str | None:
        """A text file; None where there is none."""
        try:
            return path.read_bytes().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._note(path, f"cannot be read ({type(error).__name__}), and is left out")
            return None

    def lines(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """(offset, record) of each whole line; a torn last line is another process at work, a
        damaged one before it is noted.
        """
        damaged, offset = 0, 0
        try:
            with path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    record = _object(line)
                    if record is None:
                        damaged += 1
                    else:
                        yield offset, record
                    offset += len(line)
        except FileNotFoundError:
            return
        except OSError as error:
            self._note(path, f"cannot be read further ({type(error).__name__})")
        if damaged:
            self._note(path, f"has {damaged} damaged line{'s' * (damaged > 1)}, left out")

    def _note(self, path: Path, what: str) -> None:
        self.notes.append(f"{path.relative_to(self.root)} {what}.")


def record_at(path: Path, offset: int) -> dict[str, Any] | None:
    """One line of a JSONL file again; None where the file has changed meanwhile."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return _object(file.readline())
    except OSError:
        return None


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def shown(text: str, limit: int = TEXT) -> str:
    """:func:`minirl.report.text.visible`, quickly where there is nothing to do."""
    if len(text) <= limit and text.isascii() and text.replace("\n", "").isprintable():
        return text
    return visible(text, limit)


def cleaned(value: Any) -> Any:
    """Data from a file as the page may hold it: texts made visible, numbers finite and of six
    figures.
    """
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else number(value)
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, dict):
        return {shown(str(k), 200): cleaned(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(v) for v in value]
    return shown(str(value))


def rounded(value: float) -> float | None:
    """Six significant figures; None for what JSON cannot say."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
