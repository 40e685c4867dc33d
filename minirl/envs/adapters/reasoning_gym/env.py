"""One task of reasoning-gym (Stojanovski et al. 2025, arXiv:2505.24760) as an environment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from minirl.envs.adapters.reasoning_gym.findings import FINDINGS
from minirl.envs.adapters.reasoning_gym.helper import DRAW_S, SCORE_S, Failed, Helper
from minirl.envs.adapters.reasoning_gym.screen import refusal
from minirl.envs.adapters.reasoning_gym.stream import STRIDE, Drawn, Stream
from minirl.envs.base import EnvConfig, Environment, opening
from minirl.errors import ConfigError, EnvironmentFault, UnknownGold
from minirl.rewards.answer import BLANK, LABEL, slot_decoys, strict_answer
from minirl.types import Score, Split, Task

DOOR = "reasoning-gym"
SYSTEM = f"Solve the problem. Give the result on the last line as '{LABEL} result'."
SYSTEM_LINES = (
    f"Solve the problem. Then write '{LABEL}' once, and after it the result alone, over as many "
    "lines as it needs."
)
NONSENSE = "I do not know"
KEPT = 1024  # entries that the process is trusted to hold
SHOWN = STRIDE - 1  # the entry shown as an example: the last that a block of tasks would come to
LOOKED_AT = 8  # entries that tell whether a task's answers have several lines


class ReasoningGymConfig(EnvConfig):
    system: str | None = None
    """The rule that stands before each question, instead of ours; it must teach the answer slot."""
    worked_example: bool = False
    """Show one solved problem first, which is no task: small models hardly ever find the form of an
    answer without one. The tasks are the same with it.
    """
    partial: bool = False
    """Pay what their scorer gives, crumbs included, instead of 1 for a full score and 0 for less.
    Their crumbs reward wrong answers (docs/reasoning_gym.md); `solved` means a full score anyway.
    """


class ReasoningGym(Environment[ReasoningGymConfig]):
    """A task of reasoning-gym.

    Generators and scorers run in another process (:mod:`.helper`). Entries whose own answer does
    not get a full score, or where nonsense does, are left out. Where a task ships no answer,
    ``gold`` raises UnknownGold.
    """

    name = DOOR
    Config = ReasoningGymConfig

    def __init__(
        self,
        config: ReasoningGymConfig,
        *,
        helper: Helper,
        task_name: str,
        level: str | None = None,
    ) -> None:
        super().__init__(config, level=level)
        self.task_name = task_name
        self.label = f"{DOOR}:{task_name}" + ("" if level is None else f":{level}")
        self._helper = helper
        theirs = config.model_dump(exclude=set(ReasoningGymConfig.model_fields), exclude_unset=True)
        self._which = {
            "name": task_name,
            "level": None if level is None else int(level),
            "options": json.dumps(theirs, sort_keys=True),
        }
        self._made: set[int] = set()  # entries that the process holds, and which process that is
        self._generation = 0
        told = [FINDINGS[task_name]] if task_name in FINDINGS else []
        if config.partial:
            told.append("the crumbs of its scorer are paid (partial = true)")
        self.notice = f"{self.label}: {'; '.join(told)}" if told else None

    def check(self) -> None:
        """Raise ConfigError, in their words, where reasoning-gym refuses the options."""
        try:
            self._helper.ask("check", DRAW_S, **self._which)
        except Failed as error:
            raise EnvironmentFault(f"{self.label} cannot be opened: {error}") from None

    def task(self, split: Split, index: int) -> Task:
        drawn = self._stream.pick(split, index)
        system = self.config.system or (SYSTEM_LINES if self._has_lines(drawn) else SYSTEM)
        data = {
            "number": drawn.number,
            "answer": drawn.answer,
            "lines": self._has_lines(drawn),
            "key": drawn.key,
        }
        prompt = opening(system, drawn.question, self._example)
        return Task(self.label, split, index, prompt, data)

    def gold(self, task: Task) -> str:
        answer = task.data["answer"]
        if answer is None:
            raise UnknownGold(f"reasoning-gym ships no answer for {self.task_name}")
        return _written(answer, task.data["lines"])

    def decoys(self, task: Task) -> Sequence[str]:
        # Which wrong answers their scorer accepts is docs/reasoning_gym.md; these never reach it.
        right = task.data["answer"] or "1"
        offered = (*slot_decoys(right, "0"), "\n".join(m.content for m in task.prompt))
        return [text for text in offered if _slot(text, task.data["lines"]) is None]

    def score(self, task: Task, text: str) -> Score:
        slot = _slot(text, task.data["lines"])
        raw, reason = (0.0, "no answer") if slot is None else self._raw(task.data, slot, SCORE_S)
        solved = raw == 1.0
        answer: str | None = task.data["answer"]
        parts = {
            "strict": float(solved),
            "format": float(slot is not None),
            "lenient": float(solved or (bool(answer) and str(answer) in text)),
            "reasoning_gym": raw,
        }
        value = raw if self.config.partial else float(solved)
        return Score(value, solved, parts, "correct" if solved else reason)

    def size(self, split: Split) -> int | None:
        return self._stream.size(split)

    @cached_property
    def _stream(self) -> Stream:
        return Stream(self.label, self._draw, self._is_sound)

    @cached_property
    def _example(self) -> tuple[str, str] | None:
        if not self.config.worked_example:
            return None
        shown = self._draw(SHOWN)
        if shown is None or shown.answer is None:
            raise ConfigError(
                f"{self.label} has no solved problem to show",
                fix="leave worked_example out, and show one in the option system",
            )
        return shown.question, _written(shown.answer, self._has_lines(shown))

    @cached_property
    def _lines(self) -> bool:
        return any("\n" in (drawn.answer or "") for drawn in self._stream.preview(LOOKED_AT))

    def _has_lines(self, drawn: Drawn) -> bool:
        return self._lines or "\n" in (drawn.answer or "")

    def _draw(self, number: int) -> Drawn | None:
        try:
            return self._entry(number)
        except Failed:  # some of their generators never end, or give up, for some entries
            return None

    def _entry(self, number: int) -> Drawn:
        """Entry ``number`` of theirs; raises Failed where they cannot generate it."""
        found = self._helper.ask("draw", DRAW_S, number=number, **self._which)
        if len(self._made) >= KEPT:
            self._made.clear()
        self._made.add(number)
        return Drawn(number, found["question"], found["answer"] or None)

    def _prepare(self, number: int) -> None:
        """Have a new process make the entry first: that time is not the scorer's."""
        if self._generation != self._helper.generation:
            self._generation = self._helper.generation
            self._made.clear()
        if number not in self._made:
            self._draw(number)

    def _is_sound(self, drawn: Drawn) -> bool:
        """Whether their scorer accepts their own answer, if there is one, and not just any text."""
        data = {"number": drawn.number, "answer": drawn.answer}
        lines = self._has_lines(drawn)
        if drawn.answer is not None:
            slot = _slot(_written(drawn.answer, lines), lines)
            # A longer limit: which tasks there are must not depend on how busy the machine is.
            if slot is None or self._raw(data, slot, DRAW_S)[0] < 1.0:
                return False
        return self._raw(data, NONSENSE, DRAW_S)[0] < 1.0

    def _raw(self, data: Any, slot: str, seconds: float) -> tuple[float, str]:
        """What their scorer gives, in [0, 1], and why it is not a full score."""
        against = refusal(self.task_name, slot, data["answer"])
        if against:
            return 0.0, against
        self._prepare(data["number"])
        try:
            raw = self._helper.ask(
                "score", seconds, number=data["number"], answer=slot, **self._which
            )
        except Failed as error:
            return 0.0, f"reasoning-gym's scorer: {error}"[:200]
        if not 0.0 <= raw <= 1.0:  # NaN too
            return 0.0, f"reasoning-gym's scorer gave {raw}"
        return float(raw), f"reasoning-gym gives it {raw:.3g}"


def _written(answer: str, lines: bool) -> str:
    """``answer`` in the slot."""
    return f"{LABEL}\n{answer}" if lines else f"{LABEL} {answer}"


def _slot(text: str, lines: bool) -> str | None:
    """The strict answer; with ``lines`` it is all that follows the one label, which starts a line.

    Empty answers, and a label that is not the only one, are None.
    """
    if not lines:
        return strict_answer(text)
    before, label, after = text.partition(LABEL)
    if not label or LABEL in after or before.rpartition("\n")[2].strip(BLANK):
        return None
    return after.strip(BLANK) or None
