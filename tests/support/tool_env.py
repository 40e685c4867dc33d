"""An environment of several turns and one tool, in a file of its own as a user writes it."""

from __future__ import annotations

from collections.abc import Sequence

from minirl.envs import EnvConfig, Environment, Step, opening
from minirl.envs.tool_calls import tool_call_text
from minirl.types import Message, Score, Split, Task

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two integers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


class SumByTool(Environment[EnvConfig]):
    """Add by calling a tool; an answer without a call does not count."""

    name = "sum_by_tool"
    max_turns = 3

    def task(self, split: Split, index: int) -> Task:
        a, b = index, 700 if split == "train" else 800
        data = {"a": a, "b": b, "key": f"{a}+{b}"}
        return Task(self.label, split, index, opening("Use the tool.", f"{a} plus {b}?"), data)

    def gold(self, task: Task) -> tuple[str, str]:
        a, b = task.data["a"], task.data["b"]
        return (tool_call_text("add", a=a, b=b), f"Answer: {a + b}")

    def decoys(self, task: Task) -> Sequence[str | tuple[str, ...]]:
        call, answer = self.gold(task)
        return ("", answer, (call, "Answer: 0"), (call, call, call, answer), (call, call, call))

    def episode(self, task: Task) -> _Sum:
        return _Sum(task)

    def size(self, split: Split) -> int:
        return 300


class _Sum:
    tools = (ADD,)

    def __init__(self, task: Task) -> None:
        self.messages, self._task, self._calls = task.prompt, task, 0

    def step(self, message: Message) -> Step:
        if message.tool_calls:
            self._calls += 1
            a, b = (message.tool_calls[0].arguments.get(k) for k in "ab")
            whole = type(a) is int and type(b) is int
            return Step((Message("tool", str(a + b) if whole else "integers, please"),))
        right = message.content == f"Answer: {self._task.data['a'] + self._task.data['b']}"
        return Step(score=self._score(right))

    def give_up(self, reason: str) -> Score:
        return self._score(False)

    def _score(self, right: bool) -> Score:
        solved = right and self._calls > 0
        parts = {"right": float(right), "calls": float(self._calls)}
        return Score(float(solved), solved, parts)
