"""A policy by itself on the held-out tasks: what a served model, which has no adapter, is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from minirl.config import Recipe
from minirl.envs.base import Environment
from minirl.measure.evaluate import play_in_parts, summarise
from minirl.measure.tasks import held_out
from minirl.rollout import Policy
from minirl.rundir import RunDir, write_json, write_text
from minirl.types import json_line


def evaluate_alone(
    policy: Policy,
    env: Environment[Any],
    recipe: Recipe,
    run: RunDir,
    *,
    describe: Callable[[], dict[str, Any]],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Play the held-out tasks; write samples.jsonl and eval.json, where ``tuned`` and all that
    compares are null.

    Args:
        describe: what else eval.json says of the policy, asked at the end.
        on_progress: called with (policy name, finished episodes, all episodes).

    Returns:
        What eval.json holds.
    """
    tasks = held_out(env, recipe.eval.tasks)
    groups = play_in_parts(policy, env, tasks, recipe, "base", on_progress)
    record = {
        "env": env.label,
        "model": recipe.model.name,
        "temperature": recipe.eval.temperature,
        "base": asdict(summarise(groups)),
        "tuned": None,
        "difference": None,
        "gained": None,
        "lost": None,
        "mcnemar_p": None,
        **describe(),
    }
    lines = [json_line({"policy": "base", **r.as_record()}) for g in groups for r in g.rollouts]
    write_text(run.samples, "\n".join(lines) + "\n")
    write_json(run.eval, record)  # last: it marks the step as done
    return record
