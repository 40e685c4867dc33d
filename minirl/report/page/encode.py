"""Rollouts as compact rows of the page's JSON. ``static/samples.js`` reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from minirl.report.page.read import number, rounded, shown
from minirl.report.page.tokens import Decoder, matching

TEXT = 4000  # characters kept of one message
SCALE = 24.0  # steps of log(1 - logprob): 4 % finer than the next, whatever the size
# Digits, one a character: of the printable characters that neither JSON nor HTML has to escape.
DIGITS = "".join(chr(c) for c in range(33, 127) if chr(c) not in '"\\<>&')
_CODES = np.frombuffer(DIGITS.encode(), dtype=np.uint8)
ROLES = {"system": "s", "user": "u", "assistant": "a", "tool": "t"}


class Table:
    """Values that many rows share, held once each."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Its place; added where it is new."""
        key = json.dumps(value)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


class Encoder:
    """Rows, and the tables that they point into."""

    def __init__(self, decoders: Sequence[Decoder]) -> None:
        self._decoders = decoders
        self._cache: dict[str, tuple[str, str]] = {}
        self.tasks, self.prompts, self.reasons, self.parts = Table(), Table(), Table(), Table()

    def row(self, source: int, step: int | None, record: Mapping[str, Any]) -> list[Any]:
        """source, step, task, prompt, solved, value, stop, tokens, parts, reason, turns; a number
        for what stands in a table.
        """
        parts = record.get("parts")
        names = parts if isinstance(parts, dict) else {}
        return [
            source,
            step,
            self.tasks.place(shown(str(record.get("task", "?")), 200)),
            self.prompts.place([_message(m) for m in _dicts(record.get("prompt"))]),
            int(bool(record.get("solved"))),
            rounded(number(record.get("value")) or 0.0),
            shown(str(record.get("stop", "?")), 40),
            number(record.get("tokens")) or 0,
            [
                [self.parts.place(shown(str(k), 100)), rounded(number(v) or 0.0)]
                for k, v in list(names.items())[:40]
            ],
            self.reasons.place(shown(str(record.get("reason", "")), 500)),
            self._turns(record),
        ]

    def _turns(self, record: Mapping[str, Any]) -> list[Any]:
        messages = _dicts(record.get("messages"))
        runs = written_runs(record)
        turns = [_message(m) for m in messages]
        mine = [i for i, m in enumerate(messages) if m.get("role") == "assistant"]
        if len(mine) != len(runs):
            # Which tokens belong to which turn is unknown: all get the mean of all.
            runs = [([], [x for _, costs in runs for x in costs])] * len(mine)
        for i, (ids, costs) in zip(mine, runs, strict=True):
            turns[i] += self._shading(ids, costs, str(messages[i].get("content", "")), turns[i])
        return turns

    def _shading(
        self, ids: Sequence[int], costs: Sequence[float], content: str, turn: list[Any]
    ) -> list[Any]:
        """The mean log-probability and, where tokens can be told apart, lengths, digits, and which
        are special. The turn's text becomes that of its tokens.
        """
        mean = digits([sum(costs) / len(costs)]) if costs else None
        pieces = matching(self._decoders, ids, costs, content) if ids else None
        if pieces is None:
            return [mean]
        kept, end = 0, len(pieces)
        for at, piece in enumerate(pieces):
            kept += len(piece.text)
            if kept > TEXT:
                end = at
                break
        seen = [self._seen(p.text) for p in pieces[:end]]
        text = "".join(shown for shown, _ in seen)
        if end < len(pieces):
            rest = sum(len(p.text) for p in pieces[end:] if not p.special)
            text += f"… [{rest:,} more characters]"
        turn[1] = text
        return [
            mean,
            "".join(length for _, length in seen),
            digits([p.logprob for p in pieces[:end]]),
            [at for at, piece in enumerate(pieces[:end]) if piece.special],
        ]

    def _seen(self, text: str) -> tuple[str, str]:
        """A token's text made visible, and the digits of its length; tokens repeat."""
        found = self._cache.get(text)
        if found is None:
            visible = shown(text, TEXT)
            found = self._cache[text] = visible, length_digits(units(visible))
        return found


def written_runs(record: Mapping[str, Any]) -> list[tuple[list[int], list[float]]]:
    """(ids, log-probabilities) of each stretch that the policy wrote; empty where the columns do
    not fit each other.
    """
    ids, mask, costs = (_list(record.get(k)) for k in ("completion_ids", "loss_mask", "logprobs"))
    if not len(ids) == len(mask) == len(costs):
        return []
    if not ({*map(type, ids)} <= {int} and {*map(type, costs)} <= {int, float}):
        return []
    if not all(map(math.isfinite, costs)) or not all(0 <= i < 2**31 for i in ids):
        return []
    rows = zip(ids, costs, mask, strict=True)
    stretches = [(bool(m), list(run)) for m, run in groupby(rows, lambda row: bool(row[2]))]
    return [([r[0] for r in run], [r[1] for r in run]) for m, run in stretches if m]


def digits(logprobs: Sequence[float]) -> str:
    """Log-probabilities, one character each."""
    levels = np.rint(SCALE * np.log1p(np.maximum(0.0, -np.array(logprobs, dtype=np.float64))))
    return _CODES[np.minimum(levels, len(DIGITS) - 1).astype(np.intp)].tobytes().decode()


def length_digits(length: int) -> str:
    """A length in characters; the last digit stands for itself and goes on."""
    last = len(DIGITS) - 1
    return DIGITS[last] * (length // last) + DIGITS[length % last]


def units(text: str) -> int:
    """Length as JavaScript counts it, in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _message(message: Mapping[str, Any]) -> list[Any]:
    """role, text, tool calls."""
    role = str(message.get("role", "?"))
    calls = []
    for call in _dicts(message.get("tool_calls"))[:40]:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = json.dumps(function.get("arguments"), ensure_ascii=False, indent=1)
        calls.append([shown(str(function.get("name", "?")), 200), shown(arguments, TEXT)])
    return [ROLES.get(role, "?"), shown(str(message.get("content", "")), TEXT), calls]
