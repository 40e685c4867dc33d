"""Every shipped recipe is whole, and runs two steps with the tiny model in place of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minirl.cli.session import open_env
from minirl.config import Recipe, list_recipes, load_recipe
from minirl.measure.tasks import held_out
from minirl.models.catalogue import resolve_model

RECIPES = list_recipes()


def test_recipes_ship() -> None:
    assert {"quickstart", "tiny"} <= RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_it_says_what_it_is_and_can_be_evaluated(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES[name])
    assert 20 < len(recipe.description) < 200
    assert "#" in RECIPES[name].read_text(), "a recipe explains its choices in comments"
    assert len(held_out(open_env(recipe), recipe.eval.tasks)) == recipe.eval.tasks
    resolved = tmp_path / "resolved.toml"
    resolved.write_text(recipe.to_toml())
    assert load_recipe(resolved) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_two_steps_on_the_tiny_model(name: str, tmp_path: Path) -> None:
    resolve_model("tiny")
    recipe = load_recipe(RECIPES[name])
    changes = {
        "model.name": "tiny",
        "model.precision": "fp32",
        "train.steps": 2,
        "train.prompts_per_step": 2,
        "train.group_size": 4,
        "train.micro_batch": 4,
        "eval.tasks": 6,
    }
    command = [sys.executable, "-m", "minirl", "run", name, "--runs", str(tmp_path), "--json"]
    for key, value in changes.items():
        command += ["--set", f"{key}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["eval"]["base"]["solved"]["n"] == 6
    run = tmp_path / name
    assert (run / "adapter" / "adapter_model.safetensors").stat().st_size > 0
    assert len((run / "train" / "metrics.jsonl").read_text().splitlines()) == 2
    stored = Recipe.model_validate(json.loads((run / "config.json").read_text()))
    assert stored.train.steps == 2
    assert stored.env == recipe.env
