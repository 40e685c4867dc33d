"""minirl against a stock TRL script: step time, rollouts, training pass and memory, side by side.

    python -m benchmarks.grpo [--prompt short long fewshot] [--group-size 4 8 16] [--pairs 5]
                              [--rewards coin|verifier] [--json FILE] [--threads N]
    python -m benchmarks.grpo --to-target [--target 0.6] [--seeds 0 1]

Both sides have the same model, tasks, seed, hyperparameters and number of completions. Each is a
process of its own; they take their steps in turn, one sleeps while the other works, and who goes
first alternates. The first step of each is a warm-up and is left out. Every ratio says how many
times better minirl is: median [least, most] over the pairs.

With ``--rewards coin``, the default, rewards are coin flips, the same ones on both sides: hardly a
group is without signal, so nothing is won by leaving such groups out, and the model stays as it is,
about. With ``verifier`` it is the task that decides, and the share of idle rows is in the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.prompts import SIZES, Kind, env_section
from benchmarks.ratios import machine, ratios
from benchmarks.sides import SideFailed, both, in_turn
from benchmarks.target import time_to_target
from benchmarks.worker import Step, mean
from minirl.config import Recipe

WARM_UP = 1
# Rows of a forward and backward pass hold this many tokens at most: some 12 GB on the stock side,
# for the small default model in fp32.
TOKENS = 3500
PROMPT_TOKENS: dict[Kind, int] = {"short": 64, "long": 410, "fewshot": 400}

HEADER = (
    "prompt",
    "G",
    "prompt tokens",
    "written a row, stock / minirl",
    "idle rows, %",
    "step, s",
    "step time",
    "rollout tokens/s",
    "training tokens/s",
    "peak memory, GB",
    "peak memory",
)


def recipe_of(kind: Kind, group_size: int, chosen: argparse.Namespace, micro: int | None) -> Recipe:
    """What both sides train."""
    return Recipe.model_validate(
        {
            "seed": chosen.seed,
            "env": env_section(kind, chosen.size),
            "model": {
                "name": chosen.model,
                "precision": chosen.precision,
                "backend": chosen.backend,
            },
            "sampling": {
                "max_tokens": chosen.max_tokens,
                "batch": max(64, chosen.groups * group_size),
            },
            "train": {
                "steps": WARM_UP + chosen.pairs,
                "prompts_per_step": chosen.groups,
                "group_size": group_size,
                "micro_batch": micro,
                "rewards": chosen.rewards,
                "save_every": 1 + WARM_UP + chosen.pairs,  # checkpoints are not compared
            },
            "stream": {"resample_rounds": 0},  # as many completions on both sides
        }
    )


def rows_at_once(kind: Kind, rows: int, max_tokens: int) -> int:
    """The largest micro-batch that divides ``rows`` and stays within :data:`TOKENS`."""
    most = max(1, TOKENS // (PROMPT_TOKENS[kind] + max_tokens))
    return next(n for n in range(min(most, rows), 0, -1) if rows % n == 0)


def measure(kind: Kind, group_size: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """One line of the table, with everything that it was made from."""
    rows = chosen.groups * group_size
    micro = chosen.micro_batch or rows_at_once(kind, rows, chosen.max_tokens)
    theirs = recipe_of(kind, group_size, chosen, micro)
    # minirl cuts a step by tokens instead (train.token_budget).
    ours = recipe_of(kind, group_size, chosen, None)
    with both(theirs, ours, chosen.threads) as (stock, minirl):
        facts = {side.name: side.facts for side in (stock, minirl)}
        warm_up = list(in_turn(stock, minirl, WARM_UP))
        pairs = list(in_turn(stock, minirl, chosen.pairs))
    return {
        "prompt": kind,
        "group_size": group_size,
        "recipe": {"stock": theirs.model_dump(mode="json"), "minirl": ours.model_dump(mode="json")},
        "facts": facts,
        "warm_up": [_as_pair(*pair) for pair in warm_up],
        "pairs": [_as_pair(*pair) for pair in pairs],
        "ratios": {name: asdict(ratio) for name, ratio in ratios(pairs).items()},
        "row": row(kind, group_size, pairs),
    }


def _as_pair(stock: Step, minirl: Step) -> dict[str, Any]:
    return {"stock": asdict(stock), "minirl": asdict(minirl)}


def row(kind: str, group_size: int, pairs: Sequence[tuple[Step, Step]]) -> str:
    """A case's line of the table."""
    found = ratios(pairs)

    def two(of: Any, form: str) -> str:
        stock, minirl = (mean([of(pair[side]) for pair in pairs]) for side in (0, 1))
        return f"{stock:{form}} / {minirl:{form}}"

    cells = (
        kind,
        str(group_size),
        f"{pairs[0][0].prompt_tokens:.0f}",
        two(lambda s: s.written / s.rows, ".1f"),
        two(lambda s: 100 * s.idle, ".0f"),
        two(lambda s: s.seconds, ".1f"),
        *(str(found[name]) for name in ("step", "rollouts", "training")),
        two(lambda s: s.peak_bytes / 1e9, ".2f"),
        str(found["memory"]),
    )
    return "| " + " | ".join(cells) + " |"


def about(facts: dict[str, Any], chosen: argparse.Namespace) -> str:
    """A line on what it was measured on and with."""
    here = machine()
    return (
        f"{here['cpu']}, {here['cores']} cores (load {here['load']}), torch {facts['torch']}, "
        f"threads: {facts['threads']}, {facts['device']}, {facts['dtype']}; {chosen.model}, "
        f"{chosen.groups} groups, at most {chosen.max_tokens} tokens written, rewards: "
        f"{chosen.rewards}, {facts['loaded_bytes'] / 1e9:.2f} GB once minirl's side is loaded; "
        f"n = {chosen.pairs} pairs."
    )


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = list(SIZES)
    parser.add_argument("--prompt", nargs="+", choices=[*kinds, "all"], default=["all"])
    parser.add_argument("--groups", type=int, default=4, help="tasks a step")
    parser.add_argument("--group-size", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rewards", choices=["coin", "verifier"], default="coin")
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--micro-batch", type=int, help="rows at once on the stock side")
    parser.add_argument("--size", type=int, help="sentences of `long`, or examples of `fewshot`")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16"])
    parser.add_argument("--backend", default="auto", choices=["auto", "transformers", "unsloth"])
    parser.add_argument("--threads", type=int, help="of each side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every step here")
    parser.add_argument("--to-target", action="store_true", help="time to a solved rate instead")
    parser.add_argument("--target", type=float, default=0.6, help="mean of the last three steps")
    parser.add_argument("--recipe", default="quickstart", help="what --to-target trains")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--max-steps", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    chosen = parser.parse_args(words)
    chosen.prompt = kinds if "all" in chosen.prompt else chosen.prompt
    return chosen


def main(words: Sequence[str] | None = None) -> int:
    chosen = parse(words)
    try:
        done = time_to_target(chosen) if chosen.to_target else _cases(chosen)
    except SideFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine(), **done}, indent=1) + "\n")
    return 0


def _cases(chosen: argparse.Namespace) -> dict[str, Any]:
    cases: list[dict[str, Any]] = []
    for kind in chosen.prompt:
        for group_size in chosen.group_size:
            cases.append(measure(kind, group_size, chosen))
            if len(cases) == 1:
                print("| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER), sep="\n")
            print(cases[-1]["row"], flush=True)
    print("", about(cases[0]["facts"]["minirl"], chosen), sep="\n")
    return {"cases": cases}


if __name__ == "__main__":
    sys.exit(main())
