"""How fast an environment makes tasks and scores completions, on one core.

    python -m benchmarks.envs [ENV[:LEVEL]…] [--all] [--repeats N] [--json] [--check]

Tasks: a fresh environment makes the first tasks of both splits, what it prepares for them included.
Scores: gold completions, and decoys, are timed apart, and the slower of the two counts; of several
turns it is the whole episode that is a completion. Each figure is the median of the repeats, in
process CPU time, so that other work on the machine matters little. With --check the exit code is 1
where a level stays under a floor.

With --all the environments of several turns, with a tool, a database or a sandbox are measured as
well, on fewer tasks and without a floor. What a sandbox of its own process works is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from minirl.envs import Environment, make_env, recite
from minirl.envs.base import Turns
from minirl.types import Split, Task

TASKS_PER_S = 5_000  # the floors of --check
SCORES_PER_S = 20_000
ENVS = (
    "arithmetic",
    "countdown",
    "json_extraction",
    "list_edits",
    "number_puzzles",
    "regex_synthesis",
    "sort_words",
    "string_edits",
    "sudoku",
    "word_problems",
)
# Reported and without a floor: several turns, a tool, a database, a sandbox.
OTHERS = ("calculator", "code", "gridworld", "mastermind", "minesweeper", "sql", "word_guess")


@dataclass(frozen=True, slots=True)
class Amount:
    """How much one timing does."""

    tasks: Mapping[Split, int]
    scored: int  # tasks whose completions are scored
    scores: int  # completions in one timing, repeated where there are fewer


FULL = Amount({"train": 2048, "test": 1024}, 512, 4096)
LITTLE = Amount({"train": 128, "test": 64}, 32, 64)


@dataclass(frozen=True, slots=True)
class Speed:
    """Rates of one level, in tasks and in completions a second of one core."""

    env: str
    tasks: float
    gold: float
    decoys: float

    @property
    def scores(self) -> float:
        return min(self.gold, self.decoys)


def measure(spec: str, repeats: int, amount: Amount) -> Speed:
    """The median rates of one level."""
    env = make_env(spec)
    tasks = _tasks(env, amount)[: amount.scored]
    gold = [(task, env.gold(task)) for task in tasks]
    decoys = [(task, decoy) for task in tasks[:64] for decoy in env.decoys(task)]
    return Speed(
        spec,
        tasks=_rate(lambda: len(_tasks(make_env(spec), amount)), repeats),
        gold=_rate(lambda: _scores(env, gold, amount.scores), repeats),
        decoys=_rate(lambda: _scores(env, decoys, amount.scores), repeats),
    )


def _tasks(env: Environment[Any], amount: Amount) -> list[Task]:
    made = []
    for split, most in amount.tasks.items():
        size = env.size(split) if split == "test" else None  # train starts again past its end
        made += [env.task(split, i) for i in range(most if size is None else min(size, most))]
    return made


def _scores(env: Environment[Any], pairs: Sequence[tuple[Task, Turns]], scores: int) -> int:
    for i in range(scores):
        task, written = pairs[i % len(pairs)]
        if isinstance(written, str) and env.max_turns == 1:
            env.score(task, written)
        else:
            recite(env, task, written)
    return scores


def _rate(work: Callable[[], int], repeats: int) -> float:
    rates = []
    for _ in range(repeats):
        start = time.process_time()
        done = work()
        rates.append(done / (time.process_time() - start))
    return statistics.median(rates)


def specs(names: Sequence[str]) -> list[str]:
    """Every level of the named environments; a level that is named stands for itself."""
    levels = []
    for name in names:
        own = [] if ":" in name else list(make_env(name).levels)
        levels += [f"{name}:{level}" for level in own] or [name]
    return levels


def _has_floor(spec: str) -> bool:
    return spec.partition(":")[0] not in OTHERS


def table(speeds: Sequence[Speed]) -> str:
    lines = ["| level | tasks/s | gold scores/s | decoy scores/s |", "|---|---:|---:|---:|"]
    lines += [f"| {s.env} | {s.tasks:,.0f} | {s.gold:,.0f} | {s.decoys:,.0f} |" for s in speeds]
    floored = [s for s in speeds if _has_floor(s.env)] or speeds
    made, scored = min(floored, key=lambda s: s.tasks), min(floored, key=lambda s: s.scores)
    worst = (
        f"Slowest: {made.env} makes {made.tasks:,.0f} tasks/s, "
        f"{scored.env} scores {scored.scores:,.0f} completions/s."
    )
    return "\n".join([*lines, "", worst])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("envs", nargs="*", metavar="ENV")
    parser.add_argument("--all", action="store_true", help="those without a floor as well")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--check", action="store_true", help="exit 1 where a floor is missed")
    chosen = parser.parse_args()
    named = chosen.envs or [*ENVS, *(OTHERS if chosen.all else ())]
    speeds = [
        measure(spec, chosen.repeats, FULL if _has_floor(spec) else LITTLE) for spec in specs(named)
    ]
    slow = [
        s.env
        for s in speeds
        if _has_floor(s.env) and (s.tasks < TASKS_PER_S or s.scores < SCORES_PER_S)
    ]
    if chosen.json:
        floors = {"tasks": TASKS_PER_S, "scores": SCORES_PER_S}
        print(json.dumps({"levels": [asdict(s) for s in speeds], "floors": floors, "slow": slow}))
    else:
        print(table(speeds))
        if slow:
            print(f"Under {TASKS_PER_S:,} tasks/s or {SCORES_PER_S:,} scores/s: {', '.join(slow)}.")
    return 1 if slow and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
