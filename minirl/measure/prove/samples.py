"""Samples of one policy on the held-out tasks, kept on disk part by part, so that an interrupted
proof goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minirl.envs.base import Environment
from minirl.errors import RunDirError
from minirl.rewards import strict_answer
from minirl.rollout import Policy, play
from minirl.rundir import append_jsonl, read_jsonl, write_text
from minirl.types import StopReason, Task, json_line

PART = 256  # rollouts between two writes
ANEW = "--force starts anew"
SEED = 3_000_000_019  # apart from training's and the evaluation's

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """One rollout, as far as the statistics look at it.

    Attributes:
        ids: everything after the prompt, and
        mask: whether the policy wrote it.
        surprise: sum of -log π over the tokens that it wrote, under the sampling policy.
        final: the answer it committed to; see :func:`final_answer`.
    """

    solved: bool
    lenient: bool | None
    truncated: bool
    tokens: int
    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    surprise: float
    text: str
    final: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Answer:
        """From a line that :meth:`minirl.types.Rollout.as_record` wrote."""
        written = [m["content"] for m in record["messages"] if m["role"] == "assistant"]
        text = written[-1] if written else ""
        lenient = record["parts"].get("lenient")
        mask = tuple(bool(m) for m in record["loss_mask"])
        return cls(
            solved=bool(record["solved"]),
            lenient=None if lenient is None else lenient > 0,
            truncated=record["stop"] == StopReason.LENGTH,
            tokens=int(record["tokens"]),
            ids=tuple(record["completion_ids"]),
            mask=mask,
            surprise=sum((-lp for lp, m in zip(record["logprobs"], mask, strict=True) if m), 0.0),
            text=text,
            final=final_answer(text),
        )

    @property
    def written(self) -> tuple[int, ...]:
        """The tokens that the policy wrote."""
        return tuple(i for i, m in zip(self.ids, self.mask, strict=True) if m)


Answers = list[list[Answer]]  # one list a task


def final_answer(text: str) -> str:
    """What the strict answer slot holds or, without one, the last line that is not empty."""
    answer = strict_answer(text)
    if answer is not None:
        return answer
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def sample(
    policy: Policy,
    env: Environment[Any],
    tasks: Sequence[Task],
    n: int,
    path: Path,
    *,
    max_tokens: int,
    seed: int,
    on_progress: Progress | None = None,
) -> Answers:
    """Play every task ``n`` times, and append the rollouts to ``path``; what lies there already is
    not played again.

    Parts do not depend on the sampling batch, and a part's seed depends on its first task alone:
    an interrupted proof that goes on gives the samples of one that was not.

    Args:
        path: a JSONL file; its name is the policy's name in it.
        on_progress: called with (rollouts at hand, all rollouts).

    Raises:
        RunDirError: the file holds other tasks, or another number of samples of them.
    """
    part = max(1, PART // n)
    records = _kept(path, [t.id for t in tasks], n, part)
    if on_progress:
        on_progress(len(records), len(tasks) * n)
    for start in range(len(records) // n, len(tasks), part):
        groups = play(
            policy,
            env,
            tasks[start : start + part],
            n,
            max_tokens=max_tokens,
            seed=SEED + (seed * 1_000_003 + start) * env.max_turns,
        )
        played: list[Mapping[str, Any]] = [
            {"policy": path.stem, **r.as_record()} for g in groups for r in g.rollouts
        ]
        append_jsonl(path, played)
        records += played
        if on_progress:
            on_progress(len(records), len(tasks) * n)
    try:
        answers = [Answer.of(r) for r in records]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDirError(f"{path} holds a line that is no rollout", fix=ANEW) from error
    return [answers[i : i + n] for i in range(0, len(answers), n)]


def _kept(path: Path, ids: Sequence[str], n: int, part: int) -> list[Mapping[str, Any]]:
    """The whole parts on disk; what a killed process left of another one is cut off."""
    found: list[Mapping[str, Any]] = list(read_jsonl(path))
    if [r.get("task") for r in found] != [i for i in ids for _ in range(n)][: len(found)]:
        raise RunDirError(
            f"{path} holds other samples than expected",
            expected=f"{n} of each of {len(ids)} tasks, in order",
            fix=ANEW,
        )
    tasks = len(found) // n
    whole = tasks if tasks == len(ids) else tasks // part * part
    if len(found) > whole * n:
        found = found[: whole * n]
        write_text(path, "".join(json_line(r) + "\n" for r in found))
    return found
