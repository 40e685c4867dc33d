"""The proof: many samples of the same held-out tasks from base and tuned, and all that follows.

Every sample lies on disk as soon as its part is played (:mod:`minirl.measure.prove.samples`), so
an interrupted proof goes on where it stopped. What the samples do not settle by themselves,
likelihoods and plain text, is computed at the end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from minirl.config import Recipe
from minirl.envs.base import Environment
from minirl.errors import RunDirError
from minirl.measure.prove.adapters import fingerprint, other_adapter
from minirl.measure.prove.divergence import divergence, plain_text
from minirl.measure.prove.diversity import entropy_of
from minirl.measure.prove.figures import compared, counts, curve, difference, rates_of, span
from minirl.measure.prove.matched import matching_temperature
from minirl.measure.prove.regressions import Suite, suites
from minirl.measure.prove.samples import Answers, sample
from minirl.measure.tasks import held_out
from minirl.models.load import LoadedModel
from minirl.models.policy import ModelPolicy
from minirl.models.sampler import SamplingParams
from minirl.rollout import Policy, ScriptedPolicy, play
from minirl.rundir import RunDir, read_json, write_json
from minirl.stats import clustered_rate, ladder
from minirl.types import Task

Progress = Callable[[str, int, int], None]
LIKELIHOODS = 4  # samples a task whose likelihoods are computed
MATCHED = 8  # samples a task at the temperature that matches the base's entropy, and
TRIAL = (24, 4)  # tasks and samples of each trial that looks for it
TRIAL_SEED = 4_000_000_007


@dataclass(frozen=True)
class _Proof:
    """What every part of a proof needs."""

    recipe: Recipe
    loaded: LoadedModel
    env: Environment[Any]
    run: RunDir
    tasks: list[Task]
    on_progress: Progress

    @property
    def samples(self) -> int:
        return self.recipe.prove.samples

    @property
    def seed(self) -> int:
        return self.recipe.seed

    def policy(self, *, use_adapter: bool, temperature: float | None = None) -> ModelPolicy:
        config = self.recipe.prove
        heat = config.temperature if temperature is None else temperature
        return ModelPolicy.of(
            self.loaded,
            SamplingParams(heat, config.top_p),
            batch=self.recipe.sampling.batch,
            use_adapter=use_adapter,
        )

    def play(
        self,
        name: str,
        policy: Policy,
        n: int,
        *,
        env: Environment[Any] | None = None,
        tasks: Sequence[Task] | None = None,
        max_tokens: int | None = None,
    ) -> Answers:
        """Samples of one policy, kept under ``name``."""
        return sample(
            policy,
            env or self.env,
            self.tasks if tasks is None else tasks,
            n,
            self.run.prove_samples / f"{name}.jsonl",
            max_tokens=max_tokens or self.recipe.sampling.max_tokens,
            seed=self.seed,
            on_progress=lambda done, total: self.on_progress(name, done, total),
        )


def prove(
    recipe: Recipe,
    loaded: LoadedModel,
    env: Environment[Any],
    run: RunDir,
    *,
    random_reward: RunDir | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Play, compare, and write prove.json.

    Args:
        recipe: its ``prove`` section says how much; its sampling limit and seed hold.
        loaded: the model with the run's adapter.
        random_reward: a run of the same recipe that was trained on coin flips.
        on_progress: called with (what is played, rollouts at hand, all of them).

    Returns:
        prove.json.

    Raises:
        ConfigError: the environment has fewer held-out tasks.
        RunDirError: the samples on disk are those of another proof.
        ModelError: an adapter does not fit.
        EnvironmentFault: the environment's code failed.
    """
    began = time.monotonic()
    tasks = held_out(env, recipe.prove.tasks, key="prove.tasks")
    others = suites(recipe, env)
    settings = _settings(recipe, env, run)
    _same_settings(run, settings)
    proof = _Proof(recipe, loaded, env, run, tasks, on_progress or (lambda *_: None))

    base = proof.play("base", proof.policy(use_adapter=False), proof.samples)
    tuned = proof.play("tuned", proof.policy(use_adapter=True), proof.samples)
    record: dict[str, Any] = {
        "format": 1,
        "env": env.label,
        "model": recipe.model.name,
        "split": "test",
        **settings,
        **compared(base, tuned, _guesses(proof), seed=proof.seed),
        "checkpoints": _checkpoints(proof, base, tuned),
        "random_reward": _random_reward(proof, base, random_reward) if random_reward else None,
        "matched": _matched(proof, base, tuned),
        "regressions": [_regression(proof, suite) for suite in others],
        **divergence(
            loaded,
            proof.policy(use_adapter=False),
            env,
            tasks,
            {"base": base, "tuned": tuned},
            samples=min(LIKELIHOODS, proof.samples),
            temperature=recipe.prove.temperature,
            seed=proof.seed,
            on_progress=lambda done, total: proof.on_progress("likelihoods", done, total),
        ),
        "plain_text": plain_text(loaded, seed=proof.seed),
    }
    record["seconds"] = time.monotonic() - began
    write_json(run.prove, record)
    return record


def _settings(recipe: Recipe, env: Environment[Any], run: RunDir) -> dict[str, Any]:
    """What the samples on disk depend on."""
    config = recipe.prove
    return {
        "tasks": config.tasks,
        "samples": config.samples,
        "seed": recipe.seed,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_tokens": recipe.sampling.max_tokens,
        "adapter": fingerprint(run.adapter),
    }


def _same_settings(run: RunDir, settings: dict[str, Any]) -> None:
    path = run.prove_samples / "settings.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        return
    begun = read_json(path)
    changed = [
        f"{key}: {begun.get(key)!r} then, {value!r} now"
        for key, value in settings.items()
        if begun.get(key) != value
    ]
    if changed:
        raise RunDirError(
            f"{run.prove_samples} holds samples of another proof: {'; '.join(changed)}",
            fix="repeat its settings to go on with it, or --force to prove anew",
        )


def _guesses(proof: _Proof) -> Answers | None:
    """Reference answers of other tasks; None where the environment has none."""
    if type(proof.env).gold is Environment.gold:
        return None
    policy = ScriptedPolicy(proof.env, "random")
    return proof.play("guess", policy, proof.samples, max_tokens=100_000)  # bytes, not tokens


def _checkpoints(proof: _Proof, base: Answers, tuned: Answers) -> list[dict[str, Any]]:
    """pass@1 and pass@K along the training; its start and end are base and tuned themselves."""
    n = min(proof.recipe.prove.checkpoint_samples, proof.samples)
    if not n:
        return []
    last = proof.recipe.train.steps
    rows = [_along(0, [task[:n] for task in base])]
    for step in proof.run.checkpoint_steps():
        folder = proof.run.checkpoint(step)
        if step >= last or fingerprint(folder) == fingerprint(proof.run.adapter):
            continue
        with other_adapter(proof.loaded, folder):
            answers = proof.play(f"step-{step}", proof.policy(use_adapter=True), n)
        rows.append(_along(step, answers))
    return [*rows, _along(last, [task[:n] for task in tuned])]


def _along(step: int, answers: Answers) -> dict[str, Any]:
    n = len(answers[0])
    at_1, at_k = curve(answers, [1, n])
    return {"step": step, "samples": n, "k": n, "pass_at_1": at_1, "pass_at_k": at_k}


def _random_reward(proof: _Proof, base: Answers, other: RunDir) -> dict[str, Any]:
    """The control: what training on coin flips does to the same model on the same tasks."""
    with other_adapter(proof.loaded, other.adapter):
        name = f"random-reward-{fingerprint(other.adapter)[:12]}"
        n = min(max(1, proof.recipe.prove.checkpoint_samples), proof.samples)
        answers = proof.play(name, proof.policy(use_adapter=True), n)
    ks = ladder(n)
    return {
        "run": str(other.path),
        "samples": n,
        "solved": asdict(clustered_rate(counts(answers))),
        "difference": asdict(difference(base, answers, seed=proof.seed)),
        "pass_at_k": {"k": ks, "tuned": curve(answers, ks)},
    }


def _matched(proof: _Proof, base: Answers, tuned: Answers) -> dict[str, Any] | None:
    """Tuned sampled as hot as it must be to have the base's token entropy (Yue et al., arXiv
    2504.13837, section 4.4): is what it lost in many samples only a matter of temperature?
    """
    wanted, own = (entropy_of(a, seed=proof.seed) for a in (base, tuned))
    if own.high >= wanted.low:
        return None  # it is no narrower

    chosen = proof.run.prove_samples / "matched.json"
    if not chosen.exists():
        found = matching_temperature(
            lambda heat: _entropy_at(proof, heat), wanted.value, proof.recipe.prove.temperature
        )
        write_json(chosen, {"temperature": found})
    heat = float(read_json(chosen)["temperature"])
    n = min(MATCHED, proof.samples)
    answers = proof.play("matched", proof.policy(use_adapter=True, temperature=heat), n)
    ks = ladder(n)
    return {
        "temperature": heat,
        "samples": n,
        "entropy": span(entropy_of(answers, seed=proof.seed)),
        "base_entropy": span(wanted),
        "pass_at_k": {"k": ks, "tuned": curve(answers, ks)},
    }


def _entropy_at(proof: _Proof, heat: float) -> float:
    tasks, n = TRIAL
    groups = play(
        proof.policy(use_adapter=True, temperature=heat),
        proof.env,
        proof.tasks[:tasks],
        n,
        max_tokens=proof.recipe.sampling.max_tokens,
        seed=TRIAL_SEED + proof.seed,
    )
    rollouts = [r for g in groups for r in g.rollouts]
    written = sum(r.tokens_written for r in rollouts)
    return -sum(sum(r.logprobs) for r in rollouts) / max(1, written)


def _regression(proof: _Proof, suite: Suite) -> dict[str, Any]:
    """Base against tuned on another environment."""
    n = proof.recipe.prove.regression_samples
    label = re.sub(r"[^\w.-]+", "-", suite.env.label)
    base, tuned = (
        proof.play(
            f"{label}-{name}",
            proof.policy(use_adapter=name == "tuned"),
            n,
            env=suite.env,
            tasks=suite.tasks,
        )
        for name in ("base", "tuned")
    )
    before, after, change = rates_of(base, tuned, seed=proof.seed)
    return {
        "env": suite.env.label,
        "kind": suite.kind,
        "tasks": len(suite.tasks),
        "samples": n,
        "base": asdict(before),
        "tuned": asdict(after),
        "difference": asdict(change),
    }
