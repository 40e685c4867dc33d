"""Word problems: whole stories, right arithmetic, and no blind rule that solves them."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from minirl.envs import make_env
from minirl.envs.word_problems.env import EXAMPLE, FAMILIES, WordProblems
from minirl.envs.word_problems.family import Family, Part
from minirl.envs.word_problems.kinds import KINDS
from minirl.envs.word_problems.story import Problem, tell
from minirl.errors import ConfigError
from minirl.rewards import strict_answer
from minirl.types import SPLITS

LEVELS = list(WordProblems.levels)
PERSON = {"who", "she", "She", "her", "Her", "him", "new"}
NUMBERS = {  # what each kind leaves for the text
    "have": {"n"}, "groups": {"a", "b"}, "sum": {"a", "b"}, "groups_and": {"a", "b", "c"},
    "and_times": {"n", "times"}, "plus": {"n"}, "minus": {"n"}, "times": {"times"},
    "fraction": {"fraction"}, "plus_groups": {"a", "b"}, "minus_groups": {"a", "b"},
    "minus_fraction": {"fraction"}, "plus_percent": {"p"}, "minus_percent": {"p"},
    "minus_two": {"n", "d"}, "plus_two": {"n", "times"}, "ask": set(), "missing": {"n"},
    "change_of": {"n"}, "share": {"n"}, "each": {"n"}, "each_less": {"n", "c"},
    "with_times": {"times"}, "with_less": {"n"}, "share_each": {"n", "c"},
}  # fmt: skip


def problems(level: str, n: int = 600) -> list[Problem]:
    rng = Random(level)
    config = make_env(f"word_problems:{level}").config
    families = [FAMILIES[name] for name in config.families]
    found: list[Problem] = []
    while len(found) < n:
        told = tell(
            rng,
            families,
            steps=rng.randint(*config.steps),
            asides=config.distractors,
            largest=config.largest,
        )
        found += [told] if told else []
    return found


@pytest.fixture(scope="module", params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def told(level: str) -> list[Problem]:
    return problems(level)


def parts_of(family: Family) -> list[Part]:
    return [*family.starts, *family.events, *family.ends]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_every_text_shows_exactly_the_numbers_of_its_kind(family: Family) -> None:
    for kind, text in parts_of(family):
        shown = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        assert shown - PERSON - family.words.keys() == NUMBERS[kind], text
        assert not re.search(r"[0-9]", text), f"a number outside of the arithmetic: {text}"
    for text in family.asides:
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name} >= {"n"}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_family_is_rich_enough_for_the_longest_story(family: Family) -> None:
    texts = [part.text for part in parts_of(family)]
    assert len(set(texts)) == len(texts) >= 12
    assert all(part.text.endswith((".", "?")) for part in parts_of(family))
    assert all(part.text.endswith("?") for part in family.ends)
    assert len(family.asides) == 3
    rng = Random(0)
    longest = [tell(rng, [family], steps=8, asides=2, largest=200) for _ in range(400)]
    assert sum(story is not None for story in longest) >= 8


def test_every_kind_is_used() -> None:
    used = {part.kind for family in FAMILIES.values() for part in parts_of(family)}
    assert used == KINDS.keys()


def test_the_steps_are_right_and_as_many_as_asked_for(level: str, told: list[Problem]) -> None:
    low, high = make_env(f"word_problems:{level}").config.steps
    for problem in told:
        assert low <= len(problem.steps) <= high
        for step in problem.steps:
            left, right = step.split(" = ")
            assert eval(left) == int(right), step  # our own digits and + - * /
        assert int(problem.steps[-1].rpartition(" ")[2]) == problem.answer
    assert {len(problem.steps) for problem in told} == set(range(low, high + 1))


def test_each_step_uses_numbers_of_the_text_or_of_earlier_steps(told: list[Problem]) -> None:
    # Twice, a third and their like are written as words.
    in_words = {2, 3, 4, 5, 10, 100}
    for problem in told:
        known = set(problem.numbers) | in_words
        for step in problem.steps:
            left, result = step.split(" = ")
            assert set(map(int, re.findall(r"[0-9]+", left))) <= known, problem
            known.add(int(result))


def test_amounts_stay_plausible(told: list[Problem]) -> None:
    for problem in told:
        most = FAMILIES[problem.family].most
        results = [int(step.rpartition(" ")[2]) for step in problem.steps]
        assert all(1 <= result <= most for result in results)
    assert len({problem.answer for problem in told}) > 60


def test_nobody_grows_older_than_people_do() -> None:
    ages = [problem for level in ("1", "2", "3") for problem in problems(level)]
    for problem in (p for p in ages if p.family == "ages"):
        assert max(problem.numbers) <= 110, problem.question


def test_the_text_reads_as_text(told: list[Problem]) -> None:
    for problem in told:
        assert problem.question.endswith("?")
        assert not re.search(r"[{}]|  |\b(None|a [aeiou])", problem.question), problem.question
        assert all(s[0].isupper() or s[0].isdigit() for s in problem.question.split(". "))
    families = Counter(problem.family for problem in told)
    assert families.keys() == FAMILIES.keys()
    assert max(families.values()) < 0.2 * len(told)


def test_distractors_are_told_and_not_used() -> None:
    for level, want in (("3", 0), ("4", 1), ("5", 2)):
        for problem in problems(level, 100):
            asides = [a for a in FAMILIES[problem.family].asides if fits(a, problem.question)]
            assert len(asides) == want, problem.question


def fits(text: str, question: str) -> bool:
    """Whether a sentence of the table stands in the question, filled in."""
    around = re.split(r"\{[A-Za-z]+\}", text)
    pattern = "[^.]+".join(map(re.escape, around))
    return re.search(pattern, question) is not None


Rule = Callable[[list[int]], float | None]
BLIND: dict[str, Rule] = {
    "first": lambda n: n[0],
    "last": lambda n: n[-1],
    "largest": max,
    "sum": sum,
    "product": math.prod,
    "first minus the rest": lambda n: 2 * n[0] - sum(n),
    "largest minus the rest": lambda n: 2 * max(n) - sum(n),
    "sum of the first two": lambda n: sum(n[:2]),
    "product of the first two": lambda n: math.prod(n[:2]),
    "difference of the first two": lambda n: abs(n[0] - n[-1 if len(n) < 2 else 1]),
    "first by second": lambda n: n[0] / n[1] if len(n) > 1 else None,
    "a * b + c": lambda n: n[0] * n[1] + n[2] if len(n) > 2 else None,
    "a * b - c": lambda n: n[0] * n[1] - n[2] if len(n) > 2 else None,
    "last minus first": lambda n: n[-1] - n[0],
}
AT_MOST = {"1": 0.25, "2": 0.10, "3": 0.05, "4": 0.05, "5": 0.05}


@pytest.mark.parametrize("rule", BLIND)
def test_no_blind_rule_solves_them(rule: str, level: str, told: list[Problem]) -> None:
    solved = sum(BLIND[rule](problem.numbers) == problem.answer for problem in told)
    assert solved <= AT_MOST[level] * len(told)


def test_the_best_constant_is_rare(level: str, told: list[Problem]) -> None:
    (_, most), *_ = Counter(problem.answer for problem in told).most_common(1)
    assert most <= 0.08 * len(told)


def test_from_two_steps_on_sum_product_and_the_numbers_shown_are_never_right() -> None:
    for problem in problems("2"):
        numbers = problem.numbers
        assert problem.answer not in {sum(numbers), math.prod(numbers), *numbers}


def test_a_problem_told_about_something_else_is_the_same_problem() -> None:
    by_key: dict[str, set[str]] = {}
    for problem in problems("1", 3000):
        by_key.setdefault(problem.key, set()).add(problem.family)
    assert any(len(families) > 1 for families in by_key.values())
    env = make_env("word_problems:1")
    keys = {s: [env.task(s, i).data["key"] for i in range(1000)] for s in SPLITS}
    assert not set(keys["train"]) & set(keys["test"])


def test_the_example_is_right_and_its_answer_is_never_asked_for() -> None:
    env = make_env("word_problems:2")
    answer = strict_answer(EXAMPLE[1])
    assert answer == str((6 + 4) * 8 - 15)
    answers = {env.task(split, i).data["answer"] for split in SPLITS for i in range(1000)}
    assert int(answer) not in answers


@pytest.mark.parametrize("slot", ["{a}", "${a}", "{a}.00", "{a:,}"])
def test_spellings_of_the_answer(slot: str) -> None:
    env = make_env("word_problems:5")
    for i in range(50):
        task = env.task("test", i)
        assert env.score(task, "Answer: " + slot.format(a=task.data["answer"])).solved


def test_families_can_be_chosen() -> None:
    env = make_env("word_problems", {"families": ["tank", "game"]})
    assert {env.task("train", i).data["family"] for i in range(100)} == {"tank", "game"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"steps": [3, 2]}, "low <= high"),
        ({"steps": [0, 2]}, "1 <= low"),
        ({"steps": [2, 9]}, "high <= 8"),
        ({"families": ["zoo"]}, "got \\['zoo'\\]"),
        ({"families": []}, "families must be"),
        ({"distractors": 4}, "distractors"),
        ({"largest": 5}, "largest"),
    ],
)
def test_options_are_checked(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make_env("word_problems", options)
