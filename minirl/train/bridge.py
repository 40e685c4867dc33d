"""Between the engine and TRL: plays a step's episodes and hands them over as TRL's
``rollout_func`` wants them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minirl.config import Recipe
from minirl.envs.base import Environment
from minirl.rollout import Policy, play
from minirl.rundir import RunDir, append_jsonl
from minirl.train.coin import flipped
from minirl.train.stream import TaskStream
from minirl.types import Group

MAX_ROUNDS = 1000  # keeps the sampling seeds of neighbouring steps apart


@dataclass(slots=True)
class StepRollouts:
    """What one step sampled.

    Attributes:
        trained: the P groups that the step trains on, those without signal replaced as far as the
            rounds went.
        played: every group that was played, in order; the first P are as the stream drew them.
        seconds: spent on playing.
    """

    trained: list[Group] = field(default_factory=list)
    played: list[Group] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens that the policy wrote."""
        return sum(r.tokens_written for g in self.played for r in g.rollouts)

    def metrics(self) -> dict[str, float]:
        """Means over the stream's own draw, which replacing groups has not touched: the unbiased
        look.
        """
        first = self.played[: len(self.trained)]
        rollouts = [r for g in first for r in g.rollouts]
        parts = sorted({name for r in rollouts for name in r.score.parts})
        return {
            "solved": _mean([float(r.score.solved) for r in rollouts]),
            "solved_n": float(len(rollouts)),
            "signal": _mean([float(g.has_signal) for g in first]),
            "rollouts": float(sum(len(g.rollouts) for g in self.played)),
            **{f"parts/{p}": _mean([r.score.parts.get(p, 0.0) for r in rollouts]) for p in parts},
        }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class RolloutBridge:
    """TRL's ``rollout_func``. TRL's own prompts are placeholders: the stream decides which tasks
    are played.
    """

    def __init__(
        self,
        policy: Policy,
        env: Environment[Any],
        stream: TaskStream,
        recipe: Recipe,
        run: RunDir,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._policy = policy
        self._env = env
        self.stream = stream
        self._recipe = recipe
        self._run = run
        self._on_progress = on_progress
        self.last = StepRollouts()

    def __call__(self, prompts: Sequence[Any], trainer: Any) -> dict[str, list[Any]]:
        """Play one step.

        Args:
            prompts: B placeholders, B = prompts_per_step x group_size.
            trainer: TRL's trainer; only its step is read.

        Returns:
            ``prompt_ids``, ``completion_ids``, ``logprobs``, ``env_mask`` and ``score_value``, B
            entries each, group after group.
        """
        step = int(trainer.state.global_step) + 1
        self.last = self.play_step(step, len(prompts) // self._recipe.train.group_size)
        rollouts = [r for g in self.last.trained for r in g.rollouts]
        self._log(step)
        return {
            "prompt_ids": [list(r.prompt_ids) for r in rollouts],
            "completion_ids": [list(r.completion_ids) for r in rollouts],
            "logprobs": [list(r.logprobs) for r in rollouts],
            "env_mask": [[int(m) for m in r.loss_mask] for r in rollouts],
            "score_value": [r.score.value for r in rollouts],
        }

    def play_step(self, step: int, count: int) -> StepRollouts:
        """Draw ``count`` tasks and play them; replace groups without signal, for a bounded number
        of rounds.

        This is DAPO's dynamic sampling (arXiv 2503.14476) with a bound: after the last round,
        groups without signal fill what is still missing, so a step always has its full size.
        """
        start = time.perf_counter()
        out = StepRollouts()
        useful: list[Group] = []
        idle: list[Group] = []
        for round_ in range(self._recipe.stream.resample_rounds + 1):
            seen = [g.task.index for g in (*useful, *idle)]
            tasks = self.stream.draw(count - len(useful), step=step, round_=round_, exclude=seen)
            groups = play(
                self._policy,
                self._env,
                tasks,
                self._recipe.train.group_size,
                max_tokens=self._recipe.sampling.max_tokens,
                seed=(self._recipe.seed * 1_000_003 + step) * MAX_ROUNDS
                + round_ * self._env.max_turns,
                on_progress=self._on_progress,
            )
            if self._recipe.train.rewards == "coin":
                groups = flipped(groups, seed=self._recipe.seed, step=step, round_=round_)
            self.stream.update(groups)
            out.played += groups
            useful += [g for g in groups if g.has_signal]
            idle += [g for g in groups if not g.has_signal]
            if len(useful) >= count:
                break
        out.trained = (useful + idle)[:count]
        out.seconds = time.perf_counter() - start
        return out

    def _log(self, step: int) -> None:
        trained = {id(g) for g in self.last.trained}
        append_jsonl(
            self._run.rollouts,
            [
                {"step": step, "trained": id(g) in trained, **r.as_record()}
                for g in self.last.played
                for r in g.rollouts
            ],
        )


def reward_function(name: str, bridge: RolloutBridge) -> Callable[..., list[float]]:
    """TRL's reward function: hands through the scores that the engine has already given, and logs
    their parts.
    """

    def reward(
        *, score_value: list[float], log_metric: Callable[[str, float], None], **_: Any
    ) -> list[float]:
        for key, value in bridge.last.metrics().items():
            log_metric(key, value)
        return score_value

    reward.__name__ = name
    return reward
