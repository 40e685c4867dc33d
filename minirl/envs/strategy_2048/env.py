"""2048 as "write a strategy": the model writes a function, and the function plays.

After the idea of Unsloth's 2048 notebook (code as policy). The game runs in this process and the
strategy in :mod:`minirl.sandbox`, asked for one move at a time. The tiles come from seeds that mix
the task with the program's digest: none can be known when it is written, and the score stays a pure
function of task and text (as far as the strategy itself draws no random numbers).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from minirl.envs.base import EnvConfig, Environment, opening, task_rng
from minirl.envs.code.answer import FENCE, Submission, fenced, read_submission
from minirl.envs.registry import register
from minirl.envs.strategy_2048 import solver
from minirl.envs.strategy_2048.dialect import (
    EXAMPLE_FUNCTION,
    FORMS,
    FUNCTIONS,
    NAMES,
    move_named,
    shown,
)
from minirl.envs.strategy_2048.game import MOVES, largest, legal, slide, spawn, start
from minirl.envs.universe import Listed, Universe
from minirl.errors import UnknownGold
from minirl.sandbox import Limits, Session, open_session
from minirl.types import Score, Split, Task

SYSTEM = (
    "Write the Python function that is asked for. Answer with one ```python block that defines it."
)
LIMITS = Limits(cpu_s=20.0, wall_s=20.0, call_s=1.0)  # for all moves on all boards
AT_ONCE = 2  # strategies played at the same time
# How often, at the least, our own strategy wins a board of this size and target (300 boards each,
# 80 for 5 x 5, with 0 to 50 % of 4s). Smaller targets are easier.
GOLD_WINS = {(3, 32): 0.95, (4, 64): 0.999, (4, 128): 0.99, (4, 256): 0.95, (5, 512): 0.98}
SURE = 0.9995  # what the chance to win enough boards must be for a gold answer to be known


class Strategy2048Config(EnvConfig):
    size: int = Field(4, ge=3, le=5)
    """Rows and columns of the board."""
    target: Literal[32, 64, 128, 256, 512, 1024, 2048] = 128
    """The tile that wins a board."""
    boards: int = Field(5, ge=1, le=20)
    """How many boards a strategy plays."""
    wins: int = Field(3, ge=1, le=20)
    """On how many of them it must reach the target to be solved."""
    told: bool = True
    """Whether the strategy is told the legal moves, as a second argument."""
    worked_example: bool = True
    """Show one answer of the right form first. The tasks are the same without it."""

    @model_validator(mode="after")
    def _reachable(self) -> Strategy2048Config:
        if self.wins > self.boards:
            raise ValueError(f"wins must not exceed boards, got {self.wins} > {self.boards}")
        return self


@dataclass(frozen=True, slots=True)
class Variant:
    """How one task tells and deals the game.

    Attributes:
        function, names, form: see :mod:`minirl.envs.strategy_2048.dialect`.
        fours: the share of new tiles that are a 4, in percent.
        tiles: how many tiles stand on the board at the start.
    """

    function: str
    names: str
    form: str
    fours: int
    tiles: int


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one board: the largest tile, the moves made, and why it ended."""

    tile: int
    moves: int
    end: str


@register
class Strategy2048(Environment[Strategy2048Config]):
    """Write a strategy that plays 2048."""

    name = "strategy_2048"
    Config = Strategy2048Config
    levels: ClassVar = {
        "1": {"target": 64},
        "2": {"target": 128},
        "3": {"target": 256, "wins": 2},
        "4": {"target": 128, "told": False},
        "5": {"target": 256, "wins": 2, "told": False},
    }

    def task(self, split: Split, index: int) -> Task:
        variant = self._universe.pick(split, index)
        example = None
        if self.config.worked_example:
            other = Variant(EXAMPLE_FUNCTION, "compass", "rows", 10, 2)
            example = (self._question(other), fenced(self._shown_answer()))
        data = {
            "function": variant.function,
            "names": variant.names,
            "form": variant.form,
            "fours": variant.fours,
            "tiles": variant.tiles,
            "key": self._key(variant),
        }
        prompt = opening(SYSTEM, self._question(variant), example)
        return Task(self.label, split, index, prompt, data)

    def gold(self, task: Task) -> str:
        if _gold_chance(self.config) < SURE:
            raise UnknownGold(
                f"no strategy of ours is sure to reach {self.config.target} on {self.config.wins} "
                f"of {self.config.boards} boards of {self.config.size} x {self.config.size}"
            )
        variant = _variant(task)
        return fenced(solver.winning(variant.function, variant.names, variant.form))

    def decoys(self, task: Task) -> Sequence[str]:
        v = _variant(task)
        winner = solver.winning(v.function, v.names, v.form)
        other = next(name for name in NAMES if name != v.names and NAMES[name] != NAMES[v.names])
        head = f"def {v.function}(board, moves=None):\n    "
        bodies = (
            "pass",
            "return 0",
            "return True",
            "return None",
            "return moves",
            "return board",
            f"return {list(NAMES[v.names])}",
            f"return ' {NAMES[v.names][0]}'",
            f"print({NAMES[v.names][0]!r})",
            "return 1 / 0",
            f"board[0][0] = {self.config.target}\n    return {NAMES[v.names][2]!r}",
            "import os\n    os._exit(0)",
            "class A:\n        def __eq__(self, other):\n            return True\n    return A()",
        )
        return (
            "",
            "Keep the largest tile in a corner.",
            winner,
            f"{FENCE}\n{winner}\n{FENCE}",
            f"{fenced(winner)}\n{fenced(winner)}",
            fenced(winner.replace(f"def {v.function}(", "def other(")),
            fenced(solver.winning(v.function, other, v.form)),
            fenced(solver.first_legal(EXAMPLE_FUNCTION)),
            *(fenced(solver.constant(v.function, v.names, way)) for way in range(4)),
            *(fenced(head + body) for body in bodies),
            "\n".join(message.content for message in task.prompt),
        )

    def alternatives(self, task: Task) -> Sequence[str]:
        gold = self.gold(task)
        v = _variant(task)
        renamed = gold.replace(f"def {v.function}(", "def chosen_move(")
        program = renamed.removeprefix(f"{FENCE}python\n").removesuffix(f"\n{FENCE}")
        return (f"My plan:\n\n{fenced(f'{program}{chr(10)}{v.function} = chosen_move')}\n\nEnjoy.",)

    def score(self, task: Task, text: str) -> Score:
        submission = read_submission(text, task.data["function"])
        if submission is None:
            return _score([], False, self.config)
        digest = hashlib.sha256(submission.source.encode("utf-8", "surrogatepass")).hexdigest()
        seed = ("2048 boards", task.data["key"], digest)
        return _score(
            self._played(submission, _variant(task), seed), submission.strict, self.config
        )

    def score_many(self, pairs: Sequence[tuple[Task, str]]) -> list[Score]:
        """Judge many completions; strategies run beside each other while this process plays."""
        if len(pairs) < 2:
            return [self.score(task, text) for task, text in pairs]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(lambda pair: self.score(*pair), pairs))

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    @cached_property
    def _universe(self) -> Universe[Variant]:
        every = product(FUNCTIONS, NAMES, FORMS, range(0, 55, 5), (2, 3, 4))
        return Listed(self.name, (Variant(*each) for each in every), self._key)

    def _key(self, variant: Variant) -> str:
        """One word for all levels: who meets a wording in training meets it in no test."""
        v = variant
        return f"{v.function} {v.names} {v.form} {v.fours}% of 4s, {v.tiles} tiles"

    def _shown_answer(self) -> str:
        if self.config.told:
            return solver.first_legal(EXAMPLE_FUNCTION)
        return solver.constant(EXAMPLE_FUNCTION, "compass", 2)

    def _question(self, variant: Variant) -> str:
        c, v = self.config, variant
        up, down, left, right = (repr(name) for name in NAMES[v.names])
        told = (
            f"`moves` is the list of the legal moves, in the order {up}, {down}, {left}, {right}.\n"
            if c.told
            else ""
        )
        return (
            f"Write a Python function {v.function}(board{', moves' if c.told else ''}) that plays "
            f"the game 2048 on a board of {c.size} x {c.size} cells.\n"
            f"`board` is {FORMS[v.form]}.\n{told}"
            f"It returns the next move: {up}, {down}, {left} or {right}. All tiles slide that way, "
            "and two equal tiles that meet become one of twice the value. Then a new tile appears "
            f"on a random empty cell: a 4 in {v.fours} % of all cases, else a 2. {v.tiles} tiles "
            "stand on the board at the start.\n"
            f"A board is won when a tile of {c.target} appears, and lost when no move is left, or "
            "when the function returns anything but a move that changes the board. "
            f"It plays {c.boards} boards and has to win {c.wins} of them."
        )

    def _played(
        self, submission: Submission, variant: Variant, seed: tuple[str, ...]
    ) -> list[Played]:
        """The boards played until it is decided whether enough of them are won."""
        played: list[Played] = []
        won = 0
        with open_session(submission.source, submission.function, LIMITS) as strategy:
            for number in range(self.config.boards):
                played.append(self._one_board(strategy, variant, (*seed, str(number))))
                won += played[-1].tile >= self.config.target
                left = self.config.boards - number - 1
                if won == self.config.wins or won + left < self.config.wins:
                    break
        return played

    def _one_board(self, strategy: Session, variant: Variant, seed: tuple[str, ...]) -> Played:
        rng = task_rng(*seed)
        fours = variant.fours / 100
        board = start(self.config.size, variant.tiles, fours, rng)
        moves = 0
        while largest(board) < self.config.target:
            allowed = legal(board)
            if not allowed:
                return Played(largest(board), moves, "no move was left")
            arguments: tuple[Any, ...] = (shown(board, variant.form),)
            if self.config.told:
                names = dict(zip(MOVES, NAMES[variant.names], strict=True))
                arguments = (*arguments, [names[move] for move in allowed])
            outcome = strategy.call(arguments)
            if outcome.error is not None:
                return Played(largest(board), moves, outcome.error)
            move = move_named(outcome.value, variant.names)
            if move not in allowed:
                return Played(largest(board), moves, "that was no legal move")
            board = spawn(slide(board, move), fours, rng)
            moves += 1
        return Played(largest(board), moves, "won")


def _gold_chance(config: Strategy2048Config) -> float:
    """How likely our strategy wins as many boards as it has to, at the least."""
    rates = [p for (size, t), p in GOLD_WINS.items() if size == config.size and t >= config.target]
    p, n = max(rates, default=0.0), config.boards
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(config.wins, n + 1))


def _variant(task: Task) -> Variant:
    d = task.data
    return Variant(d["function"], d["names"], d["form"], d["fours"], d["tiles"])


def _score(played: Sequence[Played], strict: bool, config: Strategy2048Config) -> Score:
    won = sum(p.tile >= config.target for p in played)
    right = won >= config.wins
    solved = right and strict
    reached = [min(1.0, math.log2(p.tile) / math.log2(config.target)) for p in played if strict]
    parts = {
        "strict": float(solved),
        "format": float(strict),
        "lenient": float(right),
        "won": won / len(played) if reached else 0.0,
        "progress": sum(reached) / len(reached) if reached else 0.0,
        "moves": sum(p.moves for p in played) / len(played) if reached else 0.0,
    }
    if not played:
        reason = "no program"
    elif right:
        reason = f"won {won} boards" if solved else "won, but not as the one python block"
    else:
        lost = next(p for p in played if p.tile < config.target)
        reason = f"won {won} of {config.wins}; lost a board at {lost.tile}: {lost.end}"
    return Score(float(solved), solved, parts, reason)
