"""The one engine that plays episodes. Probe, training and evaluation all call :func:`play`.

Tokens in, tokens out: what the policy sampled is kept as ids, and the environment's replies are
appended as ids; decoded text is never tokenized again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from minirl.envs.base import Environment, Episode, SingleTurnEpisode, Step
from minirl.envs.tool_calls import parse_tool_calls
from minirl.errors import EnvironmentFault
from minirl.rollout.policy import Policy
from minirl.types import Group, Message, Request, Rollout, Sample, Score, StopReason, Task

CUT_OFF = "cut off at the token limit"
OUT_OF_TURNS = "out of turns"


@dataclass(slots=True)
class _Attempt:
    """One episode while it is being played."""

    task: Task
    episode: Episode
    prompt_ids: tuple[int, ...]
    ids: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    turns: int = 0
    stop: StopReason = StopReason.EOS
    score: Score | None = None

    def append(self, ids: Sequence[int], logprobs: Sequence[float], *, written: bool) -> None:
        self.ids.extend(ids)
        self.logprobs.extend(logprobs)
        self.mask.extend([written] * len(ids))

    def rollout(self) -> Rollout:
        assert self.score is not None
        return Rollout(
            task=self.task,
            prompt_ids=self.prompt_ids,
            completion_ids=tuple(self.ids),
            loss_mask=tuple(self.mask),
            logprobs=tuple(self.logprobs),
            messages=tuple(self.messages),
            stop=self.stop,
            score=self.score,
        )


def play(
    policy: Policy,
    env: Environment[Any],
    tasks: Sequence[Task],
    n: int,
    *,
    max_tokens: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Group]:
    """Play every task ``n`` times.

    Args:
        policy: who writes.
        env: whose episodes are played.
        tasks: P tasks.
        n: G, attempts at each task.
        max_tokens: longest turn, in tokens. A turn that is cut off ends its episode, unsolved.
        seed: of the sampling; the same policy, tasks and seed give the same groups.
        on_progress: called with (finished episodes, all episodes) after each turn.

    Returns:
        P groups of n rollouts, in the order of ``tasks``.

    Raises:
        EnvironmentFault: the environment's code failed or broke its contract. Malformed model
            output never raises.
    """
    attempts = [attempt for task in tasks for attempt in _open(policy, env, task, n)]
    live = attempts
    turn = 0
    with policy.session():
        while live:
            requests = _requests(live, n, turn, max_tokens)
            samples = policy.sample(requests, seed=seed + turn)
            flat = [s for group in samples for s in group]
            _take_turns(policy, env, live, flat)
            live = [a for a in live if a.score is None]
            turn += 1
            if on_progress:
                on_progress(len(attempts) - len(live), len(attempts))
    rollouts = [a.rollout() for a in attempts]
    return [Group(task, tuple(rollouts[i * n : (i + 1) * n])) for i, task in enumerate(tasks)]


def _open(policy: Policy, env: Environment[Any], task: Task, n: int) -> list[_Attempt]:
    episodes = [_guard(task, env.episode, task) for _ in range(n)]
    prompt_ids = policy.encode_open(episodes[0].messages, episodes[0].tools)
    return [_Attempt(task, episode, prompt_ids) for episode in episodes]


def _requests(live: list[_Attempt], n: int, turn: int, max_tokens: int) -> list[Request]:
    """On the first turn a group shares one request, so that its prompt is computed once."""
    if turn == 0:
        return [Request(a.prompt_ids, n, max_tokens, a.task, turn) for a in live[::n]]
    return [Request(a.prompt_ids + tuple(a.ids), 1, max_tokens, a.task, turn) for a in live]


def _take_turns(
    policy: Policy, env: Environment[Any], live: list[_Attempt], samples: list[Sample]
) -> None:
    single: list[_Attempt] = []
    for attempt, sample in zip(live, samples, strict=True):
        attempt.append(sample.ids, sample.logprobs, written=True)
        attempt.turns += 1
        attempt.stop = sample.stop
        text = policy.decode(sample.ids)
        calls = parse_tool_calls(text) if attempt.episode.tools else ()
        message = Message("assistant", text, calls)
        attempt.messages.append(message)
        if type(attempt.episode) is SingleTurnEpisode:
            single.append(attempt)
        elif sample.stop is StopReason.LENGTH:
            attempt.score = _give_up(attempt, CUT_OFF)
        else:
            _advance(policy, env, attempt, message)
    if single:
        pairs = [(a.task, a.messages[-1].content) for a in single]
        for attempt, score in zip(single, _score_many(env, pairs), strict=True):
            attempt.score = score
            if attempt.stop is StopReason.LENGTH:
                attempt.score = replace(score, value=0.0, solved=False, reason=CUT_OFF)


def _advance(policy: Policy, env: Environment[Any], attempt: _Attempt, message: Message) -> None:
    """Give a multi-turn episode its message, and the policy the episode's answer."""
    step = _guard(attempt.task, attempt.episode.step, message)
    if not isinstance(step, Step) or not all(isinstance(m, Message) for m in step.messages):
        raise EnvironmentFault(
            f"{attempt.task.id}: step() returned something else than a step",
            expected="a minirl.envs.Step, with a tuple of Message or a Score",
            got=f"{step!r:.100}",
        )
    if step.score is not None:
        attempt.score = _checked_score(attempt.task, step.score)
    elif attempt.turns >= env.max_turns:
        attempt.stop = StopReason.TURNS
        attempt.messages.extend(step.messages)
        attempt.score = _give_up(attempt, OUT_OF_TURNS)
    else:
        attempt.messages.extend(step.messages)
        ids = policy.encode_reply(step.messages, attempt.episode.tools)
        attempt.append(ids, [0.0] * len(ids), written=False)


def _give_up(attempt: _Attempt, reason: str) -> Score:
    return _checked_score(attempt.task, _guard(attempt.task, attempt.episode.give_up, reason))


def _score_many(env: Environment[Any], pairs: Sequence[tuple[Task, str]]) -> list[Score]:
    if type(env).score_many is Environment.score_many:  # one by one: a fault then names its task
        scores = [_guard(task, env.score, task, text) for task, text in pairs]
    else:
        scores = _guard(pairs[0][0], env.score_many, pairs)
        if not isinstance(scores, list) or len(scores) != len(pairs):
            raise EnvironmentFault(
                f"environment {env.label}: score_many() must return one score a pair",
                expected=f"a list of {len(pairs)} scores",
                got=f"{scores!r:.100}",
            )
    return [_checked_score(task, score) for (task, _), score in zip(pairs, scores, strict=True)]


def _guard(task: Task, call: Callable[..., Any], *args: Any) -> Any:
    """Run the environment's own code; its bugs are reported as the environment's, with the task."""
    try:
        return call(*args)
    except Exception as error:
        raise EnvironmentFault(
            f"environment {task.env} failed on task {task.id}: {type(error).__name__}: {error}",
            fix="mend the environment's code (--debug shows where); bad model output must score 0",
        ) from error


def _checked_score(task: Task, score: object) -> Score:
    if not isinstance(score, Score):
        raise EnvironmentFault(
            f"{task.id}: the score is a {type(score).__name__}", expected="a minirl.Score"
        )
    return score
