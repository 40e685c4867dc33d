"""What commands do before the work: find the recipe, open the run directory, load model and
environment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import minirl

if TYPE_CHECKING:
    from minirl.config import Recipe
    from minirl.envs.base import Environment
    from minirl.models.load import LoadedModel
    from minirl.report.console import Output
    from minirl.rundir import RunDir
    from minirl.types import Task

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """A checked recipe with its run directory; nothing heavy is loaded yet.

    Attributes:
        recipe: as it runs; recipe.toml holds it as it was stated.
        settled: what this machine decided where the recipe leaves it open (``section.key`` ->
            value); it stays with the run.
    """

    recipe: Recipe
    run: RunDir
    env: Environment[Any]
    settled: Mapping[str, Any] = field(default_factory=dict)


def read_recipe(
    name: str, *, overrides: Sequence[str], env: str | None, seed: int | None
) -> Recipe:
    """The recipe with the command line's changes. Another environment starts without the options
    of the recipe's own.
    """
    from minirl.config import find_recipe, load_recipe

    changes = []
    if env is not None:
        changes += ["env.options={}", f"env.name={json.dumps(env)}"]
    changes += overrides
    if seed is not None:
        changes.append(f"seed={seed}")
    return load_recipe(find_recipe(name), changes)


def open_env(recipe: Recipe) -> Environment[Any]:
    """The recipe's environment; what it has to say of itself is said."""
    from minirl.envs import make_env
    from minirl.report.console import notices

    env = make_env(recipe.env.name, recipe.env.options)
    if env.notice:
        notices().say(f"note: {env.notice}")
    return env


def first_task(env: Environment[Any], index: int = 0) -> Task:
    """A train task; a failure of the environment's own code is told as such."""
    return guarded(env, "task", env.task, "train", index)


def guarded(env: Environment[Any], what: str, call: Callable[..., T], *args: Any) -> T:
    """Call the environment's own code outside of the engine, which guards its own calls.

    Raises:
        EnvironmentFault: it failed with anything but an error of ours.
    """
    from minirl.errors import EnvironmentFault, MinirlError

    try:
        return call(*args)
    except MinirlError:
        raise
    except Exception as error:
        raise EnvironmentFault(
            f"environment {env.label} failed in {what}(): {type(error).__name__}: {error}",
            fix="mend the environment's code (--debug shows where)",
        ) from error


def check(recipe: Recipe, run: RunDir, *, evaluation: bool, resume: bool, force: bool) -> Session:
    """Check everything that can be checked cheaply; nothing is written yet."""
    claim(recipe, run, resume=resume, force=force)
    _trackers_installed(recipe)
    env = open_env(recipe)
    first_task(env)
    if evaluation:
        from minirl.measure.tasks import held_out

        guarded(env, "task", held_out, env, recipe.eval.tasks)
    session = Session(recipe, run, env)
    return _as_begun(session) if resume else session


def _trackers_installed(recipe: Recipe) -> None:
    import importlib.util

    from minirl.errors import MissingExtraError

    for tracker in recipe.train.report_to:
        if importlib.util.find_spec(tracker) is None:
            raise MissingExtraError(
                f"train.report_to names {tracker}, which is not installed",
                fix=f"pip install {tracker}, or leave it out: metrics.jsonl is written anyway",
            )


def claim(recipe: Recipe, run: RunDir, *, resume: bool, force: bool) -> None:
    """Check that the run may be gone on with, or that its place is free; changes nothing."""
    from minirl.errors import ConfigError
    from minirl.rundir import RunDir

    if resume and force:
        raise ConfigError("--resume and --force contradict each other", fix="give one of them")
    if resume:
        _same_recipe(RunDir.open(run.path).read_config(), recipe.model_dump(mode="json"))
    elif only_probed(run) and not force:
        same_probe(run, recipe, going_on=run.probe_journal.exists())
    else:
        run.ensure_free(force=force)


def only_probed(run: RunDir) -> bool:
    """Whether the run has a probe and nothing else yet: training may take its place."""
    kept = (run.probe, run.probe_journal, run.ladder, run.ladder_probes)
    return run.exists and not run.begun and any(path.exists() for path in kept)


def same_probe(run: RunDir, recipe: Recipe, *, going_on: bool = False) -> None:
    """Check that the run's probe is one of this recipe: what it depends on has not changed.

    Args:
        going_on: with more samples, for which the seed, G and the design count, too.

    Raises:
        ConfigError: it is of another one.
    """
    from minirl.errors import ConfigError

    def concerned(raw: dict[str, Any]) -> dict[str, Any]:
        sampling = {k: raw["sampling"][k] for k in ("temperature", "top_p", "top_k", "max_tokens")}
        found = {"env": raw["env"], "model": raw["model"], "sampling": sampling}
        if going_on:
            found |= {"seed": raw["seed"], "probe": raw["probe"]}
            found["train"] = {"group_size": raw["train"]["group_size"]}
        return found

    stored, asked = run.read_config(), recipe.model_dump(mode="json")
    changed = [
        f"{key}: {old!r} in the probe, {new!r} now"
        for key, old, new in differences(concerned(stored), concerned(asked))
    ]
    if changed:
        raise ConfigError(
            f"{run.path} was probed with another recipe:\n"
            + "\n".join(f"  - {line}" for line in changed),
            fix="--force starts it anew, or choose another --name",
        )


def probe_session(recipe: Recipe, run: RunDir, env: Environment[Any], *, force: bool) -> Session:
    """A session that probes: a run of the name may be there, if it is of this recipe.

    Raises:
        RunDirError: something else is in the way.
        ConfigError: the run is of another recipe.
    """
    first_task(env)
    if not run.exists:
        run.ensure_free(force=False)
    elif run.begun or not force:
        same_probe(run, recipe, going_on=not force)
    return Session(recipe, run, env)


def _same_recipe(stored: dict[str, Any], asked: dict[str, Any]) -> None:
    from minirl.errors import ConfigError

    changed = [
        f"{key}: {old!r} in the run, {new!r} now"
        for key, old, new in differences(stored, asked)
        if key != "description"
    ]
    if changed:
        raise ConfigError(
            "--resume needs the recipe that the run was started with:\n"
            + "\n".join(f"  - {line}" for line in changed),
            fix="repeat the options of the first call, or start another run with --name",
        )


def differences(old: Any, new: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, old value, new value) of everything in which two nested tables differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        dotted = {k: f"{prefix}.{k}" if prefix else k for k in keys}
        return [d for k in keys for d in differences(old.get(k), new.get(k), dotted[k])]
    return [] if old == new else [(prefix, old, new)]


def load(session: Session, console: Output, *, adapter: Path | None = None) -> LoadedModel:
    """Load the model, saying what is being done and what came of it.

    Args:
        adapter: the saved adapter, where there is one.
    """
    from minirl.models.load import Use, load_model

    recipe = session.recipe
    loaded = load_model(
        recipe.model,
        seed=recipe.seed,
        adapter=adapter,
        progress=console.say,
        use=Use(recipe.sampling, recipe.train.gradient_checkpointing),
    )
    total, trainable = (loaded.count(trainable=t) / 1e6 for t in (False, True))
    runs_on = "" if loaded.choice.backend == "transformers" else f" ({loaded.choice.backend})"
    console.say(
        f"{recipe.model.name}: {total:.0f} M parameters, {trainable:.1f} M of them trainable, "
        f"{str(loaded.dtype).removeprefix('torch.')} on {loaded.device}{runs_on}"
    )
    return loaded


def with_settings(session: Session, settings: Mapping[str, Any]) -> Session:
    """The session with other values of ``section.key``, for this run only."""
    from minirl.config import change

    return replace(
        session,
        recipe=change(session.recipe, settings),
        settled={**session.settled, **settings},
    )


def _as_begun(session: Session) -> Session:
    """The session with what was settled when the run began."""
    from minirl.errors import ConfigError
    from minirl.rundir import read_json

    path = session.run.environment
    begun = read_json(path) if path.exists() else {}
    played = begun.get("env", session.env.label)
    if played != session.env.label:
        raise ConfigError(
            f"{session.run.path} was begun on another environment",
            expected=played,
            got=session.env.label,
            fix="make what it was begun with available again (a data set that was in reach?), "
            "or start another run with --name",
        )
    return with_settings(session, begun.get("settled", {}))


def precision_name(dtype: Any) -> str:
    """A number format of torch in the recipe's words."""
    names = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
    return names[str(dtype).removeprefix("torch.")]


def describe_machine(session: Session, loaded: LoadedModel) -> dict[str, Any]:
    """Versions, hardware, seed and git state, for environment.json."""
    import importlib.metadata
    import os
    import platform

    import torch

    names = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy")
    return {
        "seed": session.recipe.seed,
        "settled": dict(session.settled),
        "env": session.env.label,
        "versions": {"minirl": minirl.__version__}
        | {n: importlib.metadata.version(n) for n in names},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": str(loaded.device),
        "gpu": torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else None,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "backend": loaded.choice.backend,
        "engine": loaded.choice.engine,
        "git": git_state(),
    }


def git_state() -> str | None:
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
    from minirl.config import apply_override, parse_recipe
    from minirl.errors import ConfigError
    from minirl.rundir import RunDir

    for override in overrides:
        if not any(override.partition("=")[0].strip().startswith(s) for s in sections):
            raise ConfigError(
                f"--set {override} would change what the run was trained with",
                expected=f"only keys of {', '.join(sections)}",
            )
    run = RunDir.open(run_path(name, runs))
    stated = parse_recipe(run.read_config(), source=str(run.config))
    session = _as_begun(Session(stated, run, open_env(stated)))
    raw = session.recipe.model_dump(mode="json")
    for override in overrides:
        apply_override(raw, override)
    return replace(session, recipe=parse_recipe(raw, source=str(run.config)))
