"""List and string edits: every operation means what its sentence says."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

import pytest

from minirl.envs import make_env
from minirl.envs.edits import Items
from minirl.envs.list_edits import ListEdits
from minirl.envs.string_edits import StringEdits
from minirl.errors import ConfigError
from minirl.types import Task

SPECS = [f"list_edits:{level}" for level in ListEdits.levels]
SPECS += [f"string_edits:{level}" for level in StringEdits.levels]

THING = "(?:number|letter)"
# Sentence -> its meaning, written down a second time and in another way than the environments do.
MEANINGS: dict[str, Callable[[list[str], str], list[str]]] = {
    r"Put (\w+) at the end": lambda xs, n: [*xs, n],
    r"Put (\w+) at the front": lambda xs, n: [n, *xs],
    rf"Remove the first {THING}()": lambda xs, _: [x for i, x in enumerate(xs) if i > 0],
    rf"Remove the last {THING}()": lambda xs, _: [x for i, x in enumerate(xs) if i < len(xs) - 1],
    r"(?:Reverse the order|Write it backwards)()": lambda xs, _: list(reversed(xs)),
    rf"Swap the first and the last {THING}()": lambda xs, _: (
        [xs[len(xs) - 1 - i] if i in (0, len(xs) - 1) else xs[i] for i in range(len(xs))]
    ),
    rf"Move the first (\d+) {THING}s to the end": lambda xs, k: (
        [xs[(i + int(k)) % len(xs)] for i in range(len(xs))]
    ),
    rf"Remove every second {THING}()": lambda xs, _: xs[::2],
    rf"Remove every third {THING}()": lambda xs, _: (
        [x for i in range(0, len(xs), 3) for x in xs[i : i + 2]]
    ),
    rf"Remove repeated {THING}s, keeping the first of each()": lambda xs, _: (
        [x for i, x in enumerate(xs) if x not in xs[:i]]
    ),
    r"Sort from smallest to largest()": lambda xs, _: [str(n) for n in sorted(map(int, xs))],
    r"Put the letters in alphabetical order()": lambda xs, _: sorted(xs, key=ord),
    r"Add (\d+) to each number": lambda xs, n: [f"{int(x) + int(n)}" for x in xs],
    r"Double each number()": lambda xs, _: [f"{int(x) + int(x)}" for x in xs],
    r"Remove the even numbers()": lambda xs, _: [x for x in xs if x[-1] in "13579"],
    rf"Count the {THING}s and put the count at the end()": lambda xs, _: (
        xs + ([str(len(xs))] if xs[0].isdigit() else list(str(len(xs))))
    ),
    r"Write it in capital letters()": lambda xs, _: list("".join(xs).upper()),
    r"Write the vowels in capital letters()": lambda xs, _: list(
        re.sub("[aeiou]", lambda m: m.group().upper(), "".join(xs))
    ),
    r"Remove the vowels()": lambda xs, _: list(re.sub("(?i)[aeiou]", "", "".join(xs))),
    r"Write each letter twice()": lambda xs, _: list(re.sub("(.)", r"\1\1", "".join(xs))),
    r"Replace each letter by the letter (\d) places later in the alphabet \(after z comes a\)": (
        lambda xs, k: [later(x, int(k)) for x in xs]
    ),
    r"Replace each letter by the next letter in the alphabet \(after z comes a\)()": (
        lambda xs, _: [later(x, 1) for x in xs]
    ),
}


def later(letter: str, places: int) -> str:
    start = ord("a") if letter.islower() else ord("A")
    return chr((ord(letter) - start + places) % 26 + start)


def followed(task: Task) -> list[str]:
    """The last message's operations, followed by the meanings above."""
    first, sentences = task.prompt[-1].content.split("\n")
    given = first.partition(": ")[2]
    items = given.split(", ") if first.startswith("List") else list(given)
    for sentence in sentences.removesuffix(".").split(". "):
        fits = [(m, f) for p, f in MEANINGS.items() if (m := re.fullmatch(p, sentence))]
        assert len(fits) == 1, sentence
        items = fits[0][1](items, fits[0][0].group(1))
    return items


@pytest.mark.parametrize("spec", SPECS)
def test_a_second_reading_of_the_sentences_gives_the_answer(spec: str) -> None:
    env = make_env(spec)
    for i in range(150):
        task = env.task("train", i)
        made = task.data["made"]
        assert followed(task) == made[-1]
        assert len(made) == env.config.steps
        assert made[-1] != task.data["given"]
        assert all(a != b for a, b in zip([task.data["given"], *made], made, strict=False))
        answer = env.separator.join(followed(task))
        assert env.score(task, f"Answer: {answer}").solved


@pytest.mark.parametrize("name", ["list_edits", "string_edits"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_the_worked_example_is_right(name: str, steps: int) -> None:
    task = make_env(name, {"steps": steps}).task("train", 0)
    shown = Task("", "train", 0, task.prompt[1:2], {})
    separator = ", " if name == "list_edits" else ""
    lines = task.prompt[2].content.splitlines()
    assert lines[-1] == f"Answer: {separator.join(followed(shown))}"
    assert len(lines) == steps


@pytest.mark.parametrize("spec", ["list_edits:3", "string_edits:3"])
def test_all_operations_occur(spec: str) -> None:
    env = make_env(spec)
    edits = {re.sub(r"\d+|Put \w+", "#", env.task("train", i).data["edits"][0]) for i in range(800)}
    # second/third double one of list_edits'; of string_edits', that and the next letter another
    assert len(edits) == len(env.config.operations) + (1 if spec.startswith("list") else 2)


LIST = Task("list_edits", "train", 0, (), {"made": [["7", "12", "7"]]})
TEXT = Task("string_edits", "train", 0, (), {"made": [list("kIwi")]})


@pytest.mark.parametrize("slot", ["7, 12, 7", "7,12,7", "7 , 12 ,7"])
def test_blanks_between_numbers_do_not_matter(slot: str) -> None:
    assert make_env("list_edits").score(LIST, f"Answer: {slot}").solved


@pytest.mark.parametrize(
    "slot",
    ["7, 12", "7, 7, 12", "7 12 7", "7, 12, 7, 7", "[7, 12, 7]", "07, 12, 7", "7, 12, \uff17", ","],
)
def test_other_lists_are_wrong(slot: str) -> None:
    assert make_env("list_edits").score(LIST, f"Answer: {slot}").value == 0.0


@pytest.mark.parametrize(
    "slot", ["kiwi", "KIWI", "k I w i", "kIwi.", '"kIwi"', "iwIk", "k\u0406wi"]
)
def test_other_texts_are_wrong(slot: str) -> None:
    assert make_env("string_edits").score(TEXT, "Answer: kIwi").solved
    assert make_env("string_edits").score(TEXT, f"Answer: {slot}").value == 0.0


def test_the_right_end_of_a_text_is_lenient() -> None:
    for env, task, text in [
        ("list_edits", LIST, "so [7, 12, 7]."),
        ("string_edits", TEXT, "=kIwi"),
    ]:
        score = make_env(env).score(task, text)
        assert (score.value, score.parts["lenient"]) == (0.0, 1.0)
        assert make_env(env).score(task, f"{text} or 5").parts["lenient"] == 0.0


@pytest.mark.parametrize("spec", SPECS)
def test_one_more_operation_turns_the_answer_round(spec: str) -> None:
    env = make_env(spec)
    changed = [env.shifted(env.task("test", i), Random(i)) for i in range(50)]
    known = [shift for shift in changed if shift is not None]
    assert len(known) > 25
    for task, answer in known:
        assert followed(task) == task.data["made"][-1]
        assert answer == f"Answer: {env.separator.join(followed(task))}"


def test_operations_leave_what_they_do_not_fit() -> None:
    env = make_env("string_edits", {"steps": 2, "operations": ["count", "reverse"]})
    for i in range(100):  # the letters of "kiwi4" cannot be written backwards
        assert env.task("train", i).data["edits"][0] == "Write it backwards."


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"operations": ["sort", "shuffle"]}, "shuffle"),
        ({"steps": 3, "operations": ["sort", "reverse"]}, "3 steps"),
        ({"steps": 6}, "steps"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make_env("list_edits", options)


def test_items_are_strings() -> None:
    given: Items = make_env("list_edits").start(Random(1))
    assert all(isinstance(item, str) and 1 <= int(item) <= 20 for item in given)
