"""Every shipped recipe is whole, says what it needs, and runs two steps with the tiny model in
place of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minirl.cli.main import main
from minirl.cli.session import open_env
from minirl.config import Recipe, list_recipes, load_recipe
from minirl.measure.tasks import held_out
from minirl.models.catalogue import CATALOGUE, resolve_model
from minirl.models.tiny import MAX_LENGTH

RECIPES = list_recipes()
ON_A_CPU = [n for n in RECIPES if n == "quickstart" or n.endswith(("tiny", "-cpu"))]
ON_A_CARD = [name for name in RECIPES if name not in ON_A_CPU]

NAME = re.compile(r"([a-z0-9_]+)-([a-z]+[0-9.]*)-([0-9.]+[bm])-(t4|[0-9]+gb)")
MEMORY = re.compile(r'([0-9.]+) GB predicted \(minirl plan (\S+) --gpu "([^"]+)"\)')
TIME = re.compile(r"about ([0-9.]+) (min|h) of training")
LICENCES = {
    "qwen": "Apache-2.0",
    "smollm": "Apache-2.0",
    "llama": "Llama 3.2 Community License",
    "gemma": "Gemma Terms of Use",
}

# One small model in place of each recipe's own; the environment and how it trains stay.
SMALL = {
    "model.name": "tiny",
    "model.precision": "fp32",
    "model.load_in_4bit": "false",
    "model.max_seq_length": MAX_LENGTH,
    "sampling.max_tokens": 24,
    "train.steps": 2,
    "train.prompts_per_step": 2,
    "train.group_size": 4,
    "train.micro_batch": 4,
    "eval.tasks": 6,
}
# One token a character: some prompts are too long for it.
SHORTER = {
    "sql-llama3.2-3b-12gb": {"env.options.worked_example": "false", "env.options.max_turns": 1},
    "sql-smollm2-135m-cpu": {"env.options.more_examples": 1},
}


def overrides(name: str) -> list[str]:
    every = {**SMALL, **SHORTER.get(name, {})}
    return [word for key, value in every.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """gsm8k then holds the same problems on every machine."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def header(name: str) -> dict[str, str]:
    """The entries of the comment that a recipe begins with: ``#   key   text``."""
    top = RECIPES[name].read_text(encoding="utf-8").partition("\n\n")[0]
    entries: dict[str, str] = {}
    key = ""
    for line in top.splitlines()[2:]:
        begun = re.fullmatch(r"#   ([a-z]+) +(\S.*)", line)
        if begun:
            key, text = begun.groups()
            entries[key] = text
        else:
            entries[key] += " " + line.lstrip("# ")
    return entries


def test_recipes_ship() -> None:
    assert {"quickstart", "tiny"} <= RECIPES.keys()
    assert len(ON_A_CARD) >= 15


def test_together_they_cover_cards_models_and_tasks() -> None:
    matches = [NAME.fullmatch(name) for name in ON_A_CARD]
    assert all(matches), "a recipe for a card is called TASK-MODEL-SIZE-CARD"
    tasks, families, sizes, cards = zip(*(m.groups() for m in matches if m), strict=True)
    assert {"arithmetic", "countdown", "gsm8k"} <= set(tasks)
    assert set(cards) == {"t4", "8gb", "12gb", "16gb", "24gb"}
    assert {
        ("qwen3", "0.6b"), ("qwen3", "1.7b"), ("qwen3", "4b"), ("qwen3", "8b"),
        ("llama3.2", "1b"), ("llama3.2", "3b"), ("gemma3", "1b"), ("gemma3", "4b"),
        ("smollm2", "360m"), ("smollm3", "3b"),
    } <= set(zip(families, sizes, strict=True))  # fmt: skip


def test_sql_code_a_game_and_reasoning_gym_have_recipes_for_a_cpu_and_for_a_card() -> None:
    games = {"gridworld", "mastermind", "minesweeper", "word_guess"}
    for names in (ON_A_CPU, [n for n in ON_A_CARD if n.endswith(("12gb", "16gb"))]):
        envs = {load_recipe(RECIPES[name]).env.name.partition(":")[0] for name in names}
        assert {"sql", "code", "reasoning-gym"} <= envs
        assert envs & games


@pytest.mark.parametrize("name", RECIPES)
def test_it_says_what_it_is_and_can_be_evaluated(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES[name])
    assert 20 < len(recipe.description) < 200
    assert "#" in RECIPES[name].read_text(), "a recipe explains its choices in comments"
    assert len(held_out(open_env(recipe), recipe.eval.tasks)) == recipe.eval.tasks
    resolved = tmp_path / "resolved.toml"
    resolved.write_text(recipe.to_toml())
    assert load_recipe(resolved) == recipe


@pytest.mark.parametrize("name", ON_A_CARD)
def test_the_name_says_what_is_inside(name: str) -> None:
    match = NAME.fullmatch(name)
    assert match is not None
    task, family, size, _ = match.groups()
    recipe = load_recipe(RECIPES[name])
    assert recipe.env.name.partition(":")[0].replace("-", "_") == task
    model = recipe.model.name.lower()
    assert model not in CATALOGUE
    assert "/" in model
    squeezed = model.replace("-", "")
    assert family in squeezed
    assert f"{family}{size}" in squeezed


@pytest.mark.parametrize("name", ON_A_CARD)
def test_the_header_states_hardware_licence_memory_time_and_what_to_expect(name: str) -> None:
    said = header(name)
    assert list(said) == ["hardware", "model", "licence", "memory", "time", "expect"]
    recipe = load_recipe(RECIPES[name])
    card = name.rpartition("-")[2]
    assert ("T4" if card == "t4" else card.replace("gb", " GB")) in said["hardware"]
    assert recipe.model.name in said["model"]
    assert ("4 bits" if recipe.model.load_in_4bit else "16 bits") in said["model"]
    (licence,) = (text for maker, text in LICENCES.items() if f"-{maker}" in name)
    assert licence in said["licence"]
    memory = MEMORY.match(said["memory"])
    assert memory is not None
    assert memory[2] == name
    assert "not measured" in said["time"]
    assert "not measured by us" in said["expect"]
    assert f"minirl sample {name} --policy base" in said["expect"]


@pytest.mark.parametrize("name", ON_A_CARD)
def test_a_recipe_for_a_card_is_sensible_there(name: str) -> None:
    recipe = load_recipe(RECIPES[name])
    train, sampling = recipe.train, recipe.sampling
    assert recipe.model.backend == "auto"
    assert recipe.model.precision == "auto"
    assert sampling.engine == "auto"
    assert 5e-6 <= train.learning_rate <= 2e-4
    assert recipe.model.max_seq_length is not None
    env = open_env(recipe)
    longest = max(sum(len(m.content) for m in env.task("train", i).prompt) for i in range(200))
    # Three characters a token is few for English; the template takes some tokens as well.
    assert longest / 3 + 60 + sampling.max_tokens <= recipe.model.max_seq_length


@pytest.mark.parametrize("name", ON_A_CARD)
def test_its_memory_is_what_plan_predicts_and_fits_the_card(name: str) -> None:
    from minirl.plan import card_target, find_card, plan_run

    said = header(name)
    memory, hours = MEMORY.match(said["memory"]), TIME.match(said["time"])
    assert memory is not None
    assert hours is not None
    card = find_card(memory[3])
    on_the_name = {"t4": "T4"}.get(name.rpartition("-")[2], name.rpartition("-")[2])
    assert on_the_name in (card.name, f"{round(card.memory / 2**30)}gb")
    plan = plan_run(load_recipe(RECIPES[name]), target=card_target(card))
    assert plan.fits, plan.advice
    assert "sampling.batch" not in plan.settled, "the recipe's own batch must fit"
    assert plan.total / 1e9 == pytest.approx(float(memory[1]), rel=0.03)
    assert plan.pace is not None
    minutes = float(hours[1]) * (60 if hours[2] == "h" else 1)
    assert plan.pace.run / 60 == pytest.approx(minutes, rel=0.15, abs=1)


def finished(name: str, result: dict[str, Any], run: Path) -> None:
    """What two steps must leave behind."""
    recipe = load_recipe(RECIPES[name])
    assert result["eval"]["base"]["solved"]["n"] == 6
    assert (run / "adapter" / "adapter_model.safetensors").stat().st_size > 0
    metrics = (run / "train" / "metrics.jsonl").read_text().splitlines()
    assert len(metrics) == 2
    rollouts = (run / "train" / "rollouts.jsonl").read_text().splitlines()
    assert len(rollouts) >= 2 * 2 * 4
    stored = Recipe.model_validate(json.loads((run / "config.json").read_text()))
    assert stored.train.steps == 2
    assert stored.env.name == recipe.env.name
    assert stored.model.lora_targets == recipe.model.lora_targets


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "quickstart"])
def test_two_steps_on_the_tiny_model(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resolve_model("tiny")
    with pytest.raises(SystemExit) as stop:
        main(["run", name, "--no-probe", "--runs", str(tmp_path), "--json", *overrides(name)])
    out, err = capsys.readouterr()
    assert not stop.value.code, err
    finished(name, json.loads(out), tmp_path / name)


def test_two_steps_in_a_process_of_its_own(tmp_path: Path) -> None:
    resolve_model("tiny")
    command = [sys.executable, "-m", "minirl", "run", "quickstart", "--runs", str(tmp_path)]
    done = subprocess.run(
        [*command, "--json", *overrides("quickstart")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    finished("quickstart", json.loads(done.stdout), tmp_path / "quickstart")
    probe = json.loads((tmp_path / "quickstart" / "probe.json").read_text())
    assert probe["group_size"] == 4
    assert probe["samples"] >= 24 * 4
