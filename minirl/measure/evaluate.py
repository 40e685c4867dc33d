"""The first evaluation: base (adapter off) against tuned (adapter on), paired on the same held-out
tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from minirl.config import Recipe
from minirl.envs.base import Environment
from minirl.measure.tasks import held_out
from minirl.rollout import Policy, play
from minirl.rundir import RunDir, write_json, write_text
from minirl.stats import Difference, Rate, clustered_rate, mcnemar_exact, paired_difference
from minirl.types import Group, StopReason, Task, json_line

if TYPE_CHECKING:
    from minirl.models.load import LoadedModel

SAMPLING_SEED = 1_000_000_007  # apart from every training step's


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """One policy on the held-out tasks.

    Attributes:
        solved: solved rate over tasks, with its interval.
        lenient: the rate at which the right answer stood anywhere last, whatever the form; None
            where the environment does not report it.
        truncated: share of rollouts that hit the token limit.
        mean_tokens: mean tokens a rollout.
    """

    solved: Rate
    lenient: Rate | None
    truncated: float
    mean_tokens: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Base against tuned on the same tasks with the same sampling seeds.

    Attributes:
        difference: tuned minus base, paired by task.
        gained, lost: tasks that only tuned, only base solved (with one sample a task), and
        mcnemar_p: McNemar's exact p for them; None with several samples a task.
    """

    env: str
    temperature: float
    base: PolicyResult
    tuned: PolicyResult
    difference: Difference
    gained: int | None
    lost: int | None
    mcnemar_p: float | None

    def as_record(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    recipe: Recipe,
    loaded: LoadedModel,
    env: Environment[Any],
    run: RunDir,
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Play the held-out tasks with both policies; write eval.json and samples.jsonl.

    Args:
        on_progress: called with (policy name, finished episodes, all episodes).
    """
    from minirl.models.policy import ModelPolicy
    from minirl.models.sampler import SamplingParams

    tasks = held_out(env, recipe.eval.tasks)
    groups: dict[str, list[Group]] = {}
    for name in ("base", "tuned"):
        policy = ModelPolicy.of(
            loaded,
            SamplingParams(recipe.eval.temperature),
            batch=recipe.sampling.batch,
            use_adapter=name == "tuned",
        )
        groups[name] = play_in_parts(policy, env, tasks, recipe, name, on_progress)
    result = compare(env.label, recipe, groups["base"], groups["tuned"])
    lines = [
        json_line({"policy": name, **r.as_record()})
        for name, played in groups.items()
        for g in played
        for r in g.rollouts
    ]
    write_text(run.samples, "\n".join(lines) + "\n")
    write_json(run.eval, result.as_record())  # last: it marks the step as done
    return result


def play_in_parts(
    policy: Policy,
    env: Environment[Any],
    tasks: Sequence[Task],
    recipe: Recipe,
    name: str,
    on_progress: Callable[[str, int, int], None] | None,
) -> list[Group]:
    """Play tasks a few batches at a time, so that progress can be seen."""
    samples = recipe.eval.samples
    part = max(1, recipe.sampling.batch // samples)
    groups: list[Group] = []
    for start in range(0, len(tasks), part):
        groups += play(
            policy,
            env,
            tasks[start : start + part],
            samples,
            max_tokens=recipe.sampling.max_tokens,
            seed=SAMPLING_SEED + (recipe.seed * len(tasks) + start) * env.max_turns,
        )
        if on_progress:
            on_progress(name, len(groups) * samples, len(tasks) * samples)
    return groups


def compare(
    label: str, recipe: Recipe, base: Sequence[Group], tuned: Sequence[Group]
) -> Evaluation:
    """The statistics of two sets of groups over the same tasks, in the same order.

    Raises:
        ValueError: they are not.
    """
    if [g.task.id for g in base] != [g.task.id for g in tuned]:
        raise ValueError("base and tuned must have played the same tasks in the same order")
    counts = {
        "base": [(g.solved, len(g.rollouts)) for g in base],
        "tuned": [(g.solved, len(g.rollouts)) for g in tuned],
    }
    gained = lost = p = None
    if recipe.eval.samples == 1:
        pairs = list(zip(counts["base"], counts["tuned"], strict=True))
        gained = sum(b[0] < t[0] for b, t in pairs)
        lost = sum(b[0] > t[0] for b, t in pairs)
        p = mcnemar_exact(lost, gained)
    return Evaluation(
        env=label,
        temperature=recipe.eval.temperature,
        base=summarise(base),
        tuned=summarise(tuned),
        difference=paired_difference(counts["base"], counts["tuned"], seed=recipe.seed),
        gained=gained,
        lost=lost,
        mcnemar_p=p,
    )


def summarise(groups: Sequence[Group]) -> PolicyResult:
    """Rates and lengths of one policy's groups."""
    rollouts = [r for g in groups for r in g.rollouts]
    lenient = None
    if all("lenient" in r.score.parts for r in rollouts):
        lenient = clustered_rate(
            [
                (sum(r.score.parts["lenient"] > 0 for r in g.rollouts), len(g.rollouts))
                for g in groups
            ]
        )
    return PolicyResult(
        solved=clustered_rate([(g.solved, len(g.rollouts)) for g in groups]),
        lenient=lenient,
        truncated=sum(r.stop is StopReason.LENGTH for r in rollouts) / len(rollouts),
        mean_tokens=sum(r.tokens_written for r in rollouts) / len(rollouts),
    )
