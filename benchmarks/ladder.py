"""What the probe says of a ladder of levels, and what training them anyway does.

    python -m benchmarks.ladder --runs runs/ladder

For each level: `minirl probe`, then `minirl run` with the same settings for the same number of
steps, whatever the verdict was. Prints the table of docs/ladder.md. What is done already in the
folder is taken from there, so an interrupted call goes on.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from minirl.envs import make_env
from minirl.rundir import RunDir, read_json, read_jsonl
from minirl.stats import Interval, wilson_interval

RECIPE = "quickstart"
# Level and longest reply: rungs of two environments.
LADDER = {
    "sort_words:5": 32,
    "sort_words:4": 24,
    "sort_words:3": 24,
    "arithmetic:4": 24,
    "arithmetic:2": 24,
}
# Many groups in a step and none drawn again, so that the first step, which the base model plays,
# shows the share with signal; few such steps, so the learning rate is twice the recipe's.
GROUPS, STEPS, LEARNING_RATE = 24, 3, 4e-4
HELD_OUT = 200  # or as many as there are


def settings(level: str) -> list[str]:
    """The recipe's changes for a level."""
    size = make_env(level).size("test")
    changes = {
        "eval.tasks": HELD_OUT if size is None else min(size, HELD_OUT),
        "sampling.max_tokens": LADDER[level],
        "train.prompts_per_step": GROUPS,
        "train.steps": STEPS,
        "train.learning_rate": LEARNING_RATE,
        "sampling.batch": 256,
        "stream.resample_rounds": 0,
    }
    return ["--env", level, *(w for k, v in changes.items() for w in ("--set", f"{k}={v}"))]


def minirl(*words: str) -> None:
    """Run a command as a user would; its failure ends the benchmark."""
    print("$ minirl", *words, file=sys.stderr, flush=True)
    subprocess.run(
        [sys.executable, "-m", "minirl", *words, "--json"], check=True, stdout=sys.stderr
    )


def measure(level: str, runs: Path) -> dict[str, Any]:
    """Probe and train one level where that is still to do, and read what came of it."""
    name = level.replace(":", "-")
    probed, trained = RunDir(runs / f"{name}-probe"), RunDir(runs / name)
    place = ("--runs", str(runs))
    if not probed.probe.exists():
        minirl("probe", RECIPE, *settings(level), "--name", probed.path.name, *place)
    if not trained.eval.exists():
        again = ("--resume",) if trained.exists else ()
        minirl("run", RECIPE, *settings(level), "--name", name, "--no-probe", *place, *again)
    steps = read_jsonl(trained.metrics)
    return {
        "level": level,
        "probe": read_json(probed.probe),
        "eval": read_json(trained.eval),
        "observed": observed([round(s["signal"] * GROUPS) for s in steps]),
    }


def observed(with_signal: list[int]) -> tuple[int, int]:
    """(groups with signal, groups) that the base model itself played: those of the first step, and
    of further ones while no group had any, for then there was no gradient either.
    """
    steps = next((i for i, k in enumerate(with_signal) if k), len(with_signal) - 1) + 1
    return sum(with_signal[:steps]), steps * GROUPS


def agrees(predicted: Interval, value: float, seen: Interval, observed: float) -> bool:
    """Whether two shares agree: the 95 % interval of their difference holds 0 (Newcombe 1998,
    Statistics in Medicine 17:873, method 10, from the intervals of the two).
    """
    difference = observed - value
    low = difference - math.hypot(observed - seen.low, predicted.high - value)
    high = difference + math.hypot(seen.high - observed, value - predicted.low)
    return low <= 0 <= high


def row(result: dict[str, Any]) -> str:
    """One line of the table."""
    probe, evaluation = result["probe"], result["eval"]
    signal = probe["signal"][str(probe["group_size"])]
    with_signal, groups = result["observed"]
    seen, found = wilson_interval(with_signal, groups), with_signal / groups
    fits = agrees(Interval(signal["low"], signal["high"]), signal["value"], seen, found)
    gain = evaluation["difference"]
    cells = [
        result["level"],
        probe["verdict"].replace("_", " "),
        f"{probe['samples']:,}",
        share(probe["solved"]),
        share(signal),
        f"{percent(found)} {bounds(seen.low, seen.high)} (n = {groups})" + ("" if fits else " (!)"),
        f"{percent(evaluation['base']['solved']['value'])} → "
        f"{percent(evaluation['tuned']['solved']['value'])}",
        f"{100 * gain['value']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]",
    ]
    return "| " + " | ".join(cells) + " |"


def share(interval: dict[str, float]) -> str:
    return f"{percent(interval['value'])} {bounds(interval['low'], interval['high'])}"


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def bounds(low: float, high: float) -> str:
    return f"[{100 * low:.0f}, {100 * high:.0f}]"


HEADER = (
    "level",
    "verdict",
    "samples",
    "solved, %",
    "expected groups with signal, %",
    "observed, %",
    "held-out solved, %",
    "gain, points",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=Path, default=Path("runs/ladder"))
    parser.add_argument("--levels", nargs="+", default=list(LADDER), choices=list(LADDER))
    chosen = parser.parse_args()
    rows = [row(measure(level, chosen.runs)) for level in chosen.levels]
    print("| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER), *rows, sep="\n")


if __name__ == "__main__":
    main()
