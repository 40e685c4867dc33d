"""How long minirl and a stock TRL script take to the same solved rate, on the same recipe.

``python -m benchmarks.grpo --to-target`` runs it. Tasks, model and hyperparameters are the recipe's
on both sides. minirl replaces groups without signal where the recipe says so, which TRL does not
do; what that costs is on minirl's clock. Each side's clock counts its own steps only.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.sides import Side, both
from benchmarks.worker import Step, mean
from minirl.config import Recipe, load_recipe
from minirl.config.shipped import find_recipe

WINDOW = 3  # steps whose mean solved rate must reach the target


@dataclass
class Way:
    """One side's way to the target."""

    side: Side
    steps: list[Step] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(s.seconds for s in self.steps)

    def solved(self) -> float:
        """Of the last steps; each step is counted as the stream drew its tasks."""
        return mean([s.solved for s in self.steps[-WINDOW:]])

    def arrived(self, target: float) -> bool:
        return len(self.steps) >= WINDOW and self.solved() >= target

    def summary(self, target: float) -> dict[str, Any]:
        return {
            "arrived": self.arrived(target),
            "seconds": self.seconds,
            "solved": self.solved(),
            "steps": [asdict(s) for s in self.steps],
        }


def time_to_target(chosen: argparse.Namespace) -> dict[str, Any]:
    """Print a line a seed, and return everything that was measured.

    Raises:
        SideFailed: a side has ended before.
    """
    print(
        "| seed | solved at the end, stock / minirl | steps | seconds | times as fast |",
        "|---|---|---|---|---|",
        sep="\n",
        flush=True,
    )
    return {"target": chosen.target, "seeds": [_seed(seed, chosen) for seed in chosen.seeds]}


def recipe_of(seed: int, chosen: argparse.Namespace) -> Recipe:
    """The recipe as it is shipped, with room for enough steps and no checkpoints in between."""
    path = find_recipe(chosen.recipe)
    changes = [
        f"seed={seed}",
        f"model.name={chosen.model}",
        f"model.precision={chosen.precision}",
        f"model.backend={chosen.backend}",
        f"train.steps={chosen.max_steps}",
        f"train.save_every={chosen.max_steps + 1}",
        *chosen.set,
    ]
    return load_recipe(path, changes)


def _seed(seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    recipe = recipe_of(seed, chosen)
    with both(recipe, recipe, chosen.threads) as sides:
        ways = [Way(side) for side in sides]
        for turn in range(recipe.train.steps):
            going = [way for way in ways if not way.arrived(chosen.target)]
            for way in going if turn % 2 == 0 else reversed(going):
                way.steps.append(way.side.step())
    stock, minirl = ways
    print(line(seed, stock, minirl, chosen.target), flush=True)
    return {
        "seed": seed,
        "recipe": recipe.model_dump(mode="json"),
        **{way.side.name: way.summary(chosen.target) for way in ways},
    }


def line(seed: int, stock: Way, minirl: Way, target: float) -> str:
    """A seed's line of the table; where the stock side did not arrive, its ratio is a bound."""
    ratio = f"{stock.seconds / minirl.seconds:.2f}"
    if not minirl.arrived(target):
        ratio = "minirl did not arrive"
    elif not stock.arrived(target):
        ratio = f"more than {ratio}"
    cells = (
        str(seed),
        f"{stock.solved():.2f} / {minirl.solved():.2f}",
        f"{len(stock.steps)} / {len(minirl.steps)}",
        f"{stock.seconds:.0f} / {minirl.seconds:.0f}",
        ratio,
    )
    return "| " + " | ".join(cells) + " |"
