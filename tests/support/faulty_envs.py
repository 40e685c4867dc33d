"""Environments with one planted fault each, and the findings that name it.

`Sum` and `Vault` are sound. Every other class changes one thing of theirs, and `findings` are the
checks that must fail. Those and no others, but for `maybe`: what follows from the fault by chance.
"""

from __future__ import annotations

import datetime
import random
import re
import threading
import time
import unicodedata
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import repeat
from random import Random
from typing import Any, ClassVar

from minirl.envs import Drawn, EnvConfig, Environment, Listed, Step, Turns, Universe, opening
from minirl.envs.tool_calls import tool_call_text
from minirl.rewards.answer import LABEL, strict_answer
from minirl.types import Message, Score, Split, Task


class SumConfig(EnvConfig):
    largest: int = 999
    """Largest number."""


class Sum(Environment[SumConfig]):
    """Add two numbers."""

    name = "sum"
    Config: ClassVar = SumConfig
    findings: ClassVar[frozenset[str]] = frozenset()
    maybe: ClassVar[frozenset[str]] = frozenset()

    def task(self, split: Split, index: int) -> Task:
        a, b = self._universe.pick(split, index)
        return Task(self.label, split, index, self.prompt(a, b), self.data(a, b))

    def prompt(self, a: int, b: int) -> tuple[Message, ...]:
        example = ("What is 4000 + 3?", f"{LABEL} 4003")
        return opening(f"End with '{LABEL} number'.", f"What is {a} + {b}?", example)

    def data(self, a: int, b: int) -> dict[str, Any]:
        return {"a": a, "b": b, "terms": [a, b], "key": self.key((a, b))}

    def key(self, terms: tuple[int, int]) -> str:
        return "+".join(map(str, sorted(terms)))

    def answer(self, task: Task) -> str:
        return str(task.data["a"] + task.data["b"])

    def gold(self, task: Task) -> Turns:
        return f"{LABEL} {self.answer(task)}"

    def decoys(self, task: Task) -> Sequence[Turns]:
        return [f"{LABEL} {task.data['a'] + task.data['b'] + 1}", f"It is {self.answer(task)}."]

    def accepts(self, task: Task, slot: str) -> bool:
        return slot == self.answer(task)

    def score(self, task: Task, text: str) -> Score:
        slot = strict_answer(text)
        solved = slot is not None and self.accepts(task, slot)
        return Score(float(solved), solved)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def shifted(self, task: Task, rng: Random) -> tuple[Task, Turns] | None:
        a, b = task.data["a"] + rng.randint(1, 9), task.data["b"]
        changed = Task(self.label, task.split, task.index, self.prompt(a, b), self.data(a, b))
        return changed, f"{LABEL} {a + b}"

    @property
    def _universe(self) -> Universe[tuple[int, int]]:
        return sums(self.config.largest)


@cache  # the corpus is large, and the problems are the same throughout
def sums(top: int) -> Universe[tuple[int, int]]:
    def draw(rng: Random) -> tuple[int, int]:
        return rng.randint(0, top), rng.randint(0, top)

    return Drawn(f"sum of {top}", draw, lambda t: "+".join(map(str, sorted(t))))


class VaultEpisode:
    """Boxes are opened with a tool; the answer is what lies in the box asked for."""

    def __init__(self, env: Vault, task: Task) -> None:
        self.env, self.task, self.messages, self.tools = env, task, task.prompt, env.tools

    def step(self, message: Message) -> Step:
        if not message.tool_calls:
            solved = strict_answer(message.content) == self.task.data["content"]
            return Step(score=Score(float(solved), solved))
        return Step((Message("tool", self.reply(message)),))

    def reply(self, message: Message) -> str:
        call = message.tool_calls[0]
        box = call.arguments.get("box")
        if call.name != "open_box" or not isinstance(box, int):
            return "error: call open_box with the number of a box"
        return self.task.data["content"] if box == self.task.data["box"] else "empty"

    def give_up(self, reason: str) -> Score:
        return Score(0.0, False, reason=reason)


class Vault(Environment[SumConfig]):
    """Open a box with a tool, and say what is in it."""

    name = "vault"
    Config: ClassVar = SumConfig
    max_turns = 3
    Episode: ClassVar[Any] = VaultEpisode
    findings: ClassVar[frozenset[str]] = frozenset()
    maybe: ClassVar[frozenset[str]] = frozenset()
    tools: ClassVar[tuple[dict[str, Any], ...]] = (
        {
            "type": "function",
            "function": {
                "name": "open_box",
                "description": "Open a box.",
                "parameters": {
                    "type": "object",
                    "properties": {"box": {"type": "integer"}},
                    "required": ["box"],
                },
            },
        },
    )

    def task(self, split: Split, index: int) -> Task:
        box, content = self._universe.pick(split, index)
        question = f"What is in box {box}? End with '{LABEL} word'."
        data = {"box": box, "content": content, "key": f"{box}/{content}"}
        return Task(self.label, split, index, (Message("user", question),), data)

    def gold(self, task: Task) -> Turns:
        return (tool_call_text("open_box", box=task.data["box"]), f"{LABEL} {task.data['content']}")

    def decoys(self, task: Task) -> Sequence[Turns]:
        return [(f"{LABEL} empty",), (tool_call_text("open_box", box=task.data["box"]),)]

    def episode(self, task: Task) -> Any:
        return self.Episode(self, task)

    @property
    def _universe(self) -> Universe[tuple[int, str]]:
        return contents()


@cache
def contents() -> Universe[tuple[int, str]]:
    def draw(rng: Random) -> tuple[int, str]:
        syllables = (rng.choice("bdfghklmnprt") + rng.choice("aeiou") for _ in range(3))
        return rng.randint(0, 999), "".join(syllables)

    return Drawn("vault", draw, lambda p: f"{p[0]}/{p[1]}")


# What is right is refused ---------------------------------------------------------------------


class Unsolvable(Sum):
    findings = frozenset({"gold", "shifted"})

    def accepts(self, task: Task, slot: str) -> bool:
        return False


class GoldWrongAtTimes(Sum):
    findings = frozenset({"gold"})

    def gold(self, task: Task) -> Turns:
        return f"{LABEL} {int(self.answer(task)) + (task.index % 50 == 17)}"


class AlternativeRefused(Sum):
    findings = frozenset({"alternatives"})

    def alternatives(self, task: Task) -> Sequence[Turns]:
        return [f"{LABEL} {self.answer(task)}.0"]


class TooStrictOnBlanks(Sum):
    findings = frozenset({"framing"})

    def score(self, task: Task, text: str) -> Score:
        solved = text == f"{LABEL} {self.answer(task)}"
        return Score(float(solved), solved)


class ShiftBroken(Sum):
    findings = frozenset({"shifted"})

    def shifted(self, task: Task, rng: Random) -> tuple[Task, Turns] | None:
        return task, f"{LABEL} {int(self.answer(task)) + 1}"


# What is wrong passes ---------------------------------------------------------------------------


class NoDecoys(Sum):
    findings = frozenset({"decoys"})

    def decoys(self, task: Task) -> Sequence[Turns]:
        return []


class DecoyPasses(Sum):
    findings = frozenset({"decoys"})

    def decoys(self, task: Task) -> Sequence[Turns]:
        return [f"{LABEL} 0{self.answer(task)}", f"{LABEL}  {self.answer(task)} "]


class Substring(Sum):
    findings = frozenset({"decoys", "neighbours", "stuffed", "sentence", "look_alikes", "code"})

    def score(self, task: Task, text: str) -> Score:
        solved = self.answer(task) in text
        return Score(float(solved), solved)


class LastNumber(Sum):
    findings = frozenset({"decoys", "stuffed", "sentence", "look_alikes", "neighbours", "code"})

    def score(self, task: Task, text: str) -> Score:
        found = re.findall(r"[0-9]+", text)
        solved = bool(found) and found[-1] == self.answer(task)
        return Score(float(solved), solved)


class FirstSlotWins(Sum):
    findings = frozenset({"stuffed", "look_alikes"})

    def score(self, task: Task, text: str) -> Score:
        found = re.search(rf"{LABEL} ([0-9]+)\s*$", text, re.MULTILINE)
        solved = found is not None and found[1] == self.answer(task)
        return Score(float(solved), solved)


class PrefixEnough(Sum):
    findings = frozenset({"neighbours", "stuffed", "look_alikes", "code"})

    def accepts(self, task: Task, slot: str) -> bool:
        return slot.startswith(self.answer(task))


class CharactersInAnyOrder(Sum):
    """The checker compares sets of characters."""

    findings = frozenset({"decoys"})
    maybe = frozenset({"neighbours", "shifted", "stuffed", "look_alikes", "code"})

    def accepts(self, task: Task, slot: str) -> bool:
        return set(slot) == set(self.answer(task))

    def decoys(self, task: Task) -> Sequence[Turns]:
        return [f"{LABEL} {self.answer(task)[::-1] * 2}"]


class EmptyPasses(Sum):
    findings = frozenset({"blank", "hostile"})

    def score(self, task: Task, text: str) -> Score:
        return super().score(task, text) if text.strip(" \n\t") else Score(1.0, True)


class EchoPasses(Sum):
    findings = frozenset({"echo"})

    def score(self, task: Task, text: str) -> Score:
        solved = text == task.prompt[-1].content
        return Score(1.0, True) if solved else super().score(task, text)


class NanPasses(Sum):
    findings = frozenset({"numbers"})

    def accepts(self, task: Task, slot: str) -> bool:
        if not re.fullmatch(r"[0-9]{1,20}|nan", slot):
            return False
        return not abs(float(slot) - int(self.answer(task))) > 0.5


class InfinityPasses(Sum):
    findings = frozenset({"numbers"})

    def accepts(self, task: Task, slot: str) -> bool:
        if not re.fullmatch(r"[0-9]{1,3000}|1e999", slot):
            return False
        value = float(slot)
        return value == int(self.answer(task)) or value >= 1e300


class KindOnUnicode(Sum):
    findings = frozenset({"look_alikes"})

    def accepts(self, task: Task, slot: str) -> bool:
        return unicodedata.normalize("NFKC", slot) == self.answer(task)


class KindOnBlanks(Sum):
    findings = frozenset({"look_alikes"})

    def accepts(self, task: Task, slot: str) -> bool:
        return "".join(slot.split()) == self.answer(task)


class Evaluates(Sum):
    findings = frozenset({"code", "stuffed"})

    def accepts(self, task: Task, slot: str) -> bool:
        if len(slot) > 200 or "**" in slot or "SystemExit" in slot or "exit" in slot:
            return False
        try:
            return bool(slot.isascii() and eval(slot) == int(self.answer(task)))
        except Exception:
            return False


class ConstantWins(Sum):
    """Two of three sums have the same answer."""

    findings = frozenset({"constants", "others"})

    @cached_property
    def _universe(self) -> Universe[tuple[int, int]]:
        def draw(rng: Random) -> tuple[int, int]:
            a = rng.randint(0, 900)
            return (a, 900 - a) if rng.random() < 0.75 else (a, rng.randint(0, 900))

        return Drawn("constant", draw, lambda t: f"{t[0]}+{t[1]}")

    def key(self, terms: tuple[int, int]) -> str:
        return f"{terms[0]}+{terms[1]}"


class ExampleWins(Sum):
    """The worked example has the task's answer."""

    findings = frozenset({"words", "leak"})

    def prompt(self, a: int, b: int) -> tuple[Message, ...]:
        return opening("Add.", f"What is {a} + {b}?", ("What is it?", f"{LABEL} {a + b}"))


class LeakInPrompt(Sum):
    findings = frozenset({"words", "leak"})

    def prompt(self, a: int, b: int) -> tuple[Message, ...]:
        return opening(f"Add. (debug: expected={a + b})", f"What is {a} + {b}?")


class LeakEncoded(Sum):
    findings = frozenset({"leak"})

    def prompt(self, a: int, b: int) -> tuple[Message, ...]:
        code = str(a + b).encode().hex()
        return opening(f"Add. Trace {code}.", f"What is {a} + {b}?")


class LeakInTools(Vault):
    """The tool's description holds the answer; the prompt does not."""

    findings = frozenset({"leak"})

    class Episode(VaultEpisode):
        def __init__(self, env: Vault, task: Task) -> None:
            super().__init__(env, task)
            told = {**env.tools[0]["function"], "description": f"Open: {task.data['content']}"}
            self.tools = ({"type": "function", "function": told},)


class CapitalsDoNotMatter(Vault):
    """Only noted: some authors mean it."""

    class Episode(VaultEpisode):
        def step(self, message: Message) -> Step:
            lowered = message.content.lower().replace("answer:", LABEL)
            if message.tool_calls:
                return super().step(message)
            return super().step(Message("assistant", lowered))


# Scores -----------------------------------------------------------------------------------------


class Crumbs(Sum):
    findings = frozenset({"consistent"})

    def score(self, task: Task, text: str) -> Score:
        full = super().score(task, text)
        return full if full.solved else Score(0.1 * (LABEL in text), False)


class OutOfRange(Sum):
    findings = frozenset({"raises"})

    def score(self, task: Task, text: str) -> Score:
        return (
            Score(float(len(text) > 500_000) * 2, False)
            if len(text) > 500_000
            else super().score(task, text)
        )


class SolvedWithoutValue(Sum):
    findings = frozenset({"consistent", "gold", "shifted"})

    def score(self, task: Task, text: str) -> Score:
        return Score(0.0, super().score(task, text).solved)


class ValueWithoutSolved(Sum):
    findings = frozenset({"consistent", "gold", "shifted"})

    def score(self, task: Task, text: str) -> Score:
        return Score(super().score(task, text).value, False)


class NoScoreAtAll(Sum):
    findings = frozenset({"consistent"})

    def score(self, task: Task, text: str) -> Any:
        return super().score(task, text) if text else 0.0


class RaisesOnEmpty(Sum):
    findings = frozenset({"raises"})

    def score(self, task: Task, text: str) -> Score:
        text.strip()[0]
        return super().score(task, text)


class RaisesOnHugeNumbers(Sum):
    findings = frozenset({"raises"})

    def accepts(self, task: Task, slot: str) -> bool:
        return (
            slot.isdecimal()
            and slot.isascii()
            and slot[0] != "0"
            and int(slot) == int(self.answer(task))
        ) or slot == self.answer(task)


class RaisesOnSurrogates(Sum):
    findings = frozenset({"raises"})

    def score(self, task: Task, text: str) -> Score:
        text.encode()
        return super().score(task, text)


class Exits(Sum):
    findings = frozenset({"raises"})

    def accepts(self, task: Task, slot: str) -> bool:
        if "exit" in slot:
            raise SystemExit(3)
        return super().accepts(task, slot)


class Stateful(Sum):
    """Whatever is said a second time passes."""

    findings = frozenset({"pure_score"})
    maybe = frozenset(
        {"decoys", "others", "independent", "shifted", "echo", "blank", "threads", "constants"}
    )

    @cached_property
    def _heard(self) -> set[tuple[str, str]]:
        return set()

    def score(self, task: Task, text: str) -> Score:
        again = (task.id, text) in self._heard
        self._heard.add((task.id, text))
        return Score(1.0, True) if again else super().score(task, text)


class OrderDependent(Sum):
    """The verdict depends on what was asked before: the last right answer counts for all."""

    findings = frozenset({"pure_score"})
    maybe = frozenset({"threads"})

    last = 0

    def score(self, task: Task, text: str) -> Score:
        score = super().score(task, text)
        parts = {"streak": float(self.last)}
        self.last = self.last + 1 if score.solved else 0
        return Score(score.value, score.solved, parts)


class SlowScorer(Sum):
    findings = frozenset({"pace"})

    def score(self, task: Task, text: str) -> Score:
        time.sleep(0.02)
        return super().score(task, text)


class SlowTasks(Sum):
    findings = frozenset({"pace"})

    def task(self, split: Split, index: int) -> Task:
        time.sleep(0.02)
        return super().task(split, index)


class Hangs(Sum):
    """A loop in Python, which the alarm stops."""

    findings = frozenset({"hangs"})

    def score(self, task: Task, text: str) -> Score:
        while text == "<answer>" * 20_000:
            time.sleep(0.01)
        return super().score(task, text)


# Tasks ------------------------------------------------------------------------------------------


class Duplicates(Sum):
    findings = frozenset({"distinct"})

    def task(self, split: Split, index: int) -> Task:
        same = super().task(split, index - index % 2)
        return Task(same.env, split, index, same.prompt, same.data)


class SamePromptOtherAnswer(Sum):
    """Two tasks that look the same and have different answers."""

    findings = frozenset({"distinct", "disjoint"})

    def prompt(self, a: int, b: int) -> tuple[Message, ...]:
        return opening("Add.", f"What is {a // 300} hundreds + {b // 300} hundreds?")


class SplitsOverlap(Sum):
    findings = frozenset({"disjoint", "others"})

    def task(self, split: Split, index: int) -> Task:
        same = super().task("train", index)
        return Task(same.env, split, index, same.prompt, same.data)


class LevelsOverlap(Sum):
    """Each level splits by index and not by content."""

    levels: ClassVar = {"1": {"largest": 40}, "2": {"largest": 41}}
    findings = frozenset({"levels"})

    def size(self, split: Split) -> int | None:
        return 400

    def task(self, split: Split, index: int) -> Task:
        if split == "test" and index >= 400:
            return self._universe.pick("test", 10**6)  # type: ignore[return-value]
        order = list(range(800))
        Random(self.config.largest).shuffle(order)
        number = order[index % 400 + 400 * (split == "test")]
        a, b = number // 40, number % 40 + 40
        return Task(self.label, split, index, self.prompt(a, b), self.data(a, b))

    @cached_property
    def _universe(self) -> Universe[tuple[int, int]]:
        return Listed("levels", [(0, i) for i in range(9)], str)


class SizeTooLarge(Sum):
    findings = frozenset({"size"})

    @cached_property
    def _universe(self) -> Universe[tuple[int, int]]:
        return Listed("size", [(a, b) for a in range(20) for b in range(a + 1)], self.key)

    def size(self, split: Split) -> int | None:
        return self._universe.size(split) + 5  # type: ignore[operator]


class TestStartsAgain(Sum):
    findings = frozenset({"size"})

    @cached_property
    def _universe(self) -> Universe[tuple[int, int]]:
        return Listed("again", [(a, b) for a in range(20) for b in range(a + 1)], self.key)

    def task(self, split: Split, index: int) -> Task:
        task = super().task(split, index % (self.size(split) or 1))
        return Task(task.env, split, index, task.prompt, task.data)


class UsesGlobalRandom(Sum):
    findings = frozenset({"pure_task", "global_random", "mutable"})

    def task(self, split: Split, index: int) -> Task:
        task = super().task(split, index)
        return Task(task.env, split, index, task.prompt, {**task.data, "salt": random.random()})


class SeedsGlobalRandom(Sum):
    findings = frozenset({"global_random"})

    def task(self, split: Split, index: int) -> Task:
        random.seed(index)
        return super().task(split, index)


class ScoresAtRandom(Sum):
    findings = frozenset({"pure_score", "global_random"})

    def score(self, task: Task, text: str) -> Score:
        score = super().score(task, text)
        return Score(score.value, score.solved, {"noise": random.random()})


class DependsOnHash(Sum):
    findings = frozenset({"process"})

    def data(self, a: int, b: int) -> dict[str, Any]:
        return {**super().data(a, b), "order": hash(f"{a}")}


class DependsOnSetOrder(Sum):
    findings = frozenset({"process"})

    def prompt(self, a: int, b: int) -> tuple[Message, ...]:
        words = ", ".join({"apples", "pears", "plums", "figs", "nuts"})
        return (*super().prompt(a, b)[:-1], Message("user", f"What is {a} + {b} of {words}?"))


class DependsOnDate(Sum):
    findings = frozenset({"clock"})
    maybe = frozenset({"process"})  # for some hours a day, it is another day in the other zone

    def prompt(self, a: int, b: int) -> tuple[Message, ...]:
        day = datetime.date.today()
        return (*super().prompt(a, b)[:-1], Message("user", f"{day}: what is {a} + {b}?"))


class TimeBomb(Sum):
    findings = frozenset({"clock"})

    def score(self, task: Task, text: str) -> Score:
        if time.time() > 2_000_000_000:
            return Score(1.0, True)
        return super().score(task, text)


class MutableData(Sum):
    """The tasks share their lists with the environment."""

    findings = frozenset({"mutable"})

    @cached_property
    def _kept(self) -> dict[tuple[int, int], list[int]]:
        return {}

    def data(self, a: int, b: int) -> dict[str, Any]:
        return {**super().data(a, b), "terms": self._kept.setdefault((a, b), [a, b])}


class ClassCache(Sum):
    findings = frozenset({"mutable"})
    cache: ClassVar[dict[str, Any]] = {}

    def data(self, a: int, b: int) -> dict[str, Any]:
        return self.cache.setdefault(f"{a}+{b}", super().data(a, b))


class ScoreWritesIntoTheTask(Sum):
    findings = frozenset({"untouched"})

    def score(self, task: Task, text: str) -> Score:
        task.data["terms"].append(0)
        return super().score(task, text)


class Unpicklable(Sum):
    findings = frozenset({"pickles"})

    def data(self, a: int, b: int) -> dict[str, Any]:
        return {**super().data(a, b), "check": lambda text: text}


class ThreadUnsafe(Sum):
    findings = frozenset({"threads"})

    def score(self, task: Task, text: str) -> Score:
        self._now = task
        time.sleep(0)
        return super().score(self._now, text)


class ThreadBound(Sum):
    """Works in the thread that made it, as a SQLite connection does."""

    findings = frozenset({"raises", "threads"})

    @cached_property
    def _owner(self) -> int:
        return threading.get_ident()

    def score(self, task: Task, text: str) -> Score:
        if self._owner != threading.get_ident():
            raise RuntimeError("made in another thread")
        return super().score(task, text)


class WrongIndex(Sum):
    findings = frozenset({"contract"})

    def task(self, split: Split, index: int) -> Task:
        task = super().task(split, index)
        return Task(task.env, split, index + 1, task.prompt, task.data)


class Undocumented(Sum):
    findings = frozenset({"documented"})

    class Config(EnvConfig):
        largest: int = 999


class TaskRaises(Sum):
    findings = frozenset({"raises"})

    def task(self, split: Split, index: int) -> Task:
        if index == 31:
            raise KeyError(index)
        return super().task(split, index)


# Episodes ---------------------------------------------------------------------------------------


class PaysEarly(Vault):
    findings = frozenset({"early"})

    class Episode(VaultEpisode):
        opened = False

        def reply(self, message: Message) -> str:
            reply = super().reply(message)
            self.opened = reply == self.task.data["content"]
            return reply

        def give_up(self, reason: str) -> Score:
            return Score(float(self.opened), self.opened)

    def decoys(self, task: Task) -> Sequence[Turns]:
        return [(f"{LABEL} empty",)]


class NeverEnds(Vault):
    findings = frozenset({"gold"})

    class Episode(VaultEpisode):
        def step(self, message: Message) -> Step:
            step = super().step(message)
            return step if step.score is None else Step((Message("user", "Go on."),))


class GoldTooLong(Vault):
    max_turns = 1
    findings = frozenset({"gold", "turns", "distinct", "disjoint"})


class LeaksInErrors(Vault):
    findings = frozenset({"replies"})

    class Episode(VaultEpisode):
        def reply(self, message: Message) -> str:
            reply = super().reply(message)
            if reply.startswith("error"):
                return (
                    f"{reply} (vault = {{{self.task.data['box']}: {self.task.data['content']!r}}})"
                )
            return reply


class SharedState(Vault):
    """All episodes are one."""

    findings = frozenset({"independent"})
    maybe = frozenset({"threads"})  # as the threads happen to meet
    given_up = False

    class Episode(VaultEpisode):
        def step(self, message: Message) -> Step:
            if "open_box" in message.content:
                self.env.opened = self.task.id
            if LABEL in message.content and self.env.opened != self.task.id:
                return Step(score=Score(0.0, False))
            if message.content == "nonsense":
                self.env.opened = ""
            return super().step(message)

    opened = ""


class BadSchema(Vault):
    findings = frozenset({"tools"})
    tools: ClassVar[tuple[dict[str, Any], ...]] = (
        {
            "type": "function",
            "function": {
                "name": "open_box",
                "description": "Open a box.",
                "parameters": {"type": "object", "properties": {"box": {"type": "int"}}},
            },
        },
    )


class RaisesOnUnknownTool(Vault):
    findings = frozenset({"raises"})

    class Episode(VaultEpisode):
        def reply(self, message: Message) -> str:
            return {"open_box": super().reply}[message.tool_calls[0].name](message)


# What only another process sees, or survives -----------------------------------------------------


class HangsInC(Sum):
    """A catastrophic regular expression."""

    findings = frozenset({"hangs"})

    def accepts(self, task: Task, slot: str) -> bool:
        return bool(re.fullmatch(r"(a|a)*b", slot[:60])) or super().accepts(task, slot)


class HugeInteger(Sum):
    """A loop in C that no alarm reaches: only killing the process ends it."""

    findings = frozenset({"hangs"})

    def accepts(self, task: Task, slot: str) -> bool:
        if slot == "9**9**9**9":
            return sum(repeat(0, 10**13)) > 0
        return super().accepts(task, slot)


class Dies(Sum):
    """The process ends."""

    findings = frozenset({"raises"})

    def accepts(self, task: Task, slot: str) -> bool:
        if "exit" in slot:
            import os

            os._exit(7)
        return super().accepts(task, slot)


class CannotBeMade(Sum):
    findings = frozenset({"opens"})

    def __init__(self, config: SumConfig, *, level: str | None = None) -> None:
        raise ZeroDivisionError
