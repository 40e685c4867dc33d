"""What commands do before the work: find the recipe, open the run directory, load model and
environment.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import minirl

if TYPE_CHECKING:
    from rich.console import Console

    from minirl.config import ModelConfig, Recipe
    from minirl.envs.base import Environment
    from minirl.models.load import LoadedModel
    from minirl.rundir import RunDir


@dataclass(frozen=True, slots=True)
class Session:
    """A checked recipe with its run directory; nothing heavy is loaded yet."""

    recipe: Recipe
    run: RunDir
    env: Environment[Any]


def read_recipe(
    name: str, *, overrides: Sequence[str], env: str | None, seed: int | None
) -> Recipe:
    """The recipe with the command line's changes."""
    from minirl.config import find_recipe, load_recipe

    changes = list(overrides)
    if env is not None:
        changes.append(f"env.name={json.dumps(env)}")
    if seed is not None:
        changes.append(f"seed={seed}")
    return load_recipe(find_recipe(name), changes)


def open_env(recipe: Recipe) -> Environment[Any]:
    """The recipe's environment."""
    from minirl.envs import make_env

    return make_env(recipe.env.name, recipe.env.options)


def start(
    recipe: Recipe, path: Path, *, resume: bool, force: bool, needs_eval: bool = False
) -> Session:
    """Check everything that can be checked cheaply, then make or reopen the run directory."""
    from minirl.errors import ConfigError
    from minirl.rundir import RunDir

    if resume and force:
        raise ConfigError("--resume and --force contradict each other", fix="give one of them")
    env = open_env(recipe)
    env.task("train", 0)
    if needs_eval:
        from minirl.measure.tasks import held_out

        held_out(env, recipe.eval.tasks)
    config = recipe.model_dump(mode="json")
    if resume:
        run = RunDir.open(path)
        _same_recipe(run.read_config(), config)
    else:
        run = RunDir.create(path, recipe_toml=recipe.to_toml(), config=config, force=force)
    return Session(recipe, run, env)


def _same_recipe(stored: dict[str, Any], asked: dict[str, Any]) -> None:
    from minirl.errors import ConfigError

    changed = [
        f"{key}: {old!r} in the run, {new!r} now"
        for key, old, new in _differences(stored, asked, "")
        if key != "description"
    ]
    if changed:
        raise ConfigError(
            "--resume needs the recipe that the run was started with:\n"
            + "\n".join(f"  - {line}" for line in changed),
            fix="repeat the options of the first call, or start another run with --name",
        )


def _differences(old: Any, new: Any, prefix: str) -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        dotted = {k: f"{prefix}.{k}" if prefix else k for k in keys}
        return [d for k in keys for d in _differences(old.get(k), new.get(k), dotted[k])]
    return [] if old == new else [(prefix, old, new)]


def load(session: Session, console: Console, *, adapter: Path | None = None) -> LoadedModel:
    """Load the model, saying what is being done and what came of it; writes environment.json."""
    from minirl.models.load import load_model
    from minirl.rundir import write_json

    recipe = session.recipe
    loaded = load_model(
        _settled_model(session),
        seed=recipe.seed,
        adapter=adapter,
        progress=lambda text: console.print(text, highlight=False, markup=False),
    )
    total, trainable = (loaded.count(trainable=t) / 1e6 for t in (False, True))
    console.print(
        f"{recipe.model.name}: {total:.0f} M parameters, {trainable:.1f} M of them trainable, "
        f"{str(loaded.dtype).removeprefix('torch.')} on {loaded.device}",
        highlight=False,
        markup=False,
    )
    write_json(session.run.environment, describe_machine(recipe, loaded))
    return loaded


def _settled_model(session: Session) -> ModelConfig:
    """The model's config, with the precision that the run began with where the recipe leaves it
    open.
    """
    config = session.recipe.model
    if config.precision == "auto" and session.run.environment.exists():
        begun = json.loads(session.run.environment.read_text(encoding="utf-8"))["dtype"]
        names: dict[str, Any] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
        return config.model_copy(update={"precision": names[begun]})
    return config


def describe_machine(recipe: Recipe, loaded: LoadedModel) -> dict[str, Any]:
    """Versions, hardware, seed and git state, for environment.json."""
    import importlib.metadata
    import os
    import platform

    import torch

    names = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy")
    return {
        "seed": recipe.seed,
        "versions": {"minirl": minirl.__version__}
        | {n: importlib.metadata.version(n) for n in names},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": str(loaded.device),
        "gpu": torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else None,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "git": _git_state(),
    }


def _git_state() -> str | None:
    """Commit of the source checkout that this code runs from; None for an installed package."""
    import shutil
    import subprocess

    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(top), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def run_path(name: str, runs: Path) -> Path:
    """A run's directory, by its name under ``runs`` or by its own path."""
    return Path(name) if "/" in name else runs / name


def reopen(
    name: str, runs: Path, overrides: Sequence[str], *, sections: tuple[str, ...]
) -> Session:
    """An existing run with its own recipe; ``overrides`` may touch ``sections`` alone.

    Raises:
        RunDirError: no such run.
        ConfigError: an override of what the run was trained with.
    """
    from minirl.config import load_recipe
    from minirl.errors import ConfigError
    from minirl.rundir import RunDir

    for override in overrides:
        if not any(override.partition("=")[0].strip().startswith(s) for s in sections):
            raise ConfigError(
                f"--set {override} would change what the run was trained with",
                expected=f"only keys of {', '.join(sections)}",
            )
    run = RunDir.open(run_path(name, runs))
    recipe = load_recipe(run.path / "recipe.toml", overrides)
    return Session(recipe, run, open_env(recipe))
