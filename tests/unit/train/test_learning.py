"""GRPO lifts a tiny model's held-out solved rate from about 0.3 to 0.9, and not if it were wrong.

The task's answer is one digit and the end of the turn: two tokens. The model is cold-started on
examples in which the digit is often wrong and the turn often goes on, so that both tokens have to
be learned. A turn that goes on is cut off after its second token, so a loss mask that is shifted by
one, in either direction, leaves one of the two decisions out of the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from minirl.config import Recipe
from minirl.envs.base import EnvConfig, Environment, split_of, task_rng
from minirl.measure.evaluate import evaluate
from minirl.models.load import load_model
from minirl.models.tiny import Example, make_model
from minirl.rundir import RunDir
from minirl.train.bridge import RolloutBridge
from minirl.train.grpo import train
from minirl.train.trainer import Trainer
from minirl.types import Message, Score, Split, Task


class FirstDigit(Environment[EnvConfig]):
    """Write the first digit of a four-digit number, and nothing else."""

    name: ClassVar[str] = "first_digit"

    def __init__(self) -> None:
        super().__init__(EnvConfig())
        numbers = list(range(1000, 10_000))
        task_rng("first_digit").shuffle(numbers)
        self.numbers = {s: [n for n in numbers if split_of(str(n)) == s] for s in ("train", "test")}

    def task(self, split: Split, index: int) -> Task:
        number = str(self.numbers[split][index % self.size(split)])
        return Task(self.name, split, index, (Message("user", number),), {"digit": number[0]})

    def gold(self, task: Task) -> str:
        return str(task.data["digit"])

    def decoys(self, task: Task) -> list[str]:
        return [self.gold(task) + "!", "", "x"]

    def score(self, task: Task, text: str) -> Score:
        solved = text == task.data["digit"]
        return Score(float(solved), solved)

    def size(self, split: Split) -> int:
        return len(self.numbers[split])


ENV = FirstDigit()


def noisy_example(i: int) -> Example:
    """The right digit eight times in ten, a stray mark after it one time in three."""
    task = ENV.task("train", i % ENV.size("train"))
    rng = task_rng("noise", i)
    digit = task.data["digit"] if rng.random() < 0.8 else str(rng.randint(1, 9))
    return task.prompt, digit + ("!" if rng.random() < 0.35 else "")


@pytest.fixture(scope="module")
def cold_started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    make_model(path, noisy_example, goal=0.25, seed=0, most_steps=300)
    return path


def _learn(model: Path, tmp_path: Path) -> tuple[float, float, float]:
    """(base, tuned) held-out solved rates, and the low end of tuned's interval."""
    recipe = Recipe.model_validate(
        {
            "env": {"name": "first_digit"},
            "model": {"name": str(model), "precision": "fp32"},
            "sampling": {"max_tokens": 2},
            "train": {
                "steps": 100,
                "prompts_per_step": 8,
                "group_size": 8,
                "learning_rate": 3e-3,
                "mask_truncated": False,
                "save_every": 1000,
            },
            "eval": {"tasks": 400},
        }
    )
    run = RunDir.create(tmp_path / "run", recipe_toml=recipe.to_toml(), config={}, force=False)
    loaded = load_model(recipe.model, seed=0)
    train(recipe, run, loaded, ENV)
    result = evaluate(recipe, loaded, ENV, run)
    return result.base.solved.value, result.tuned.solved.value, result.tuned.solved.low


def test_it_learns(cold_started: Path, tmp_path: Path) -> None:
    base, tuned, low = _learn(cold_started, tmp_path)
    print(f"held-out solved rate {base:.3f} -> {tuned:.3f}")
    assert 0.2 < base < 0.4
    assert tuned >= 0.9
    assert low > 0.87


def _flip_advantages(monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[..., torch.Tensor] = Trainer._compute_loss

    def wrong(self: Trainer, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        return right(self, model, {**inputs, "advantages": -inputs["advantages"]})

    monkeypatch.setattr(Trainer, "_compute_loss", wrong)


def _shift_masks(monkeypatch: pytest.MonkeyPatch, by: int) -> None:
    right = RolloutBridge.__call__

    def wrong(self: RolloutBridge, prompts: Any, trainer: Any) -> dict[str, list[Any]]:
        out = right(self, prompts, trainer)
        masks = out["env_mask"]
        out["env_mask"] = [[0, *m[:-1]] if by > 0 else [*m[1:], 0] for m in masks]
        return out

    monkeypatch.setattr(RolloutBridge, "__call__", wrong)


@pytest.mark.parametrize("fault", ["advantage's sign", "mask one late", "mask one early"])
def test_a_planted_fault_keeps_it_from_learning(
    fault: str, cold_started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "advantage's sign":
        _flip_advantages(monkeypatch)
    else:
        _shift_masks(monkeypatch, 1 if fault == "mask one late" else -1)
    base, tuned, _ = _learn(cold_started, tmp_path)
    print(f"{fault}: held-out solved rate {base:.3f} -> {tuned:.3f}")
    assert tuned < 0.8
