"""Regex synthesis: hidden strings decide, and hostile patterns cost nothing."""

from __future__ import annotations

import re
import time
from random import Random

import pytest

from minirl.envs import make_env
from minirl.envs.regex_synthesis import (
    HIDDEN,
    LONGEST,
    Language,
    RegexSynthesis,
    Run,
    compiled,
    members,
    strangers,
)
from minirl.errors import ConfigError

LEVELS = list(RegexSynthesis.levels)


@pytest.mark.parametrize("level", LEVELS)
def test_pythons_own_engine_agrees_on_every_string(level: str) -> None:
    env = make_env(f"regex_synthesis:{level}")
    for i in range(200):
        data = env.task("train", i).data
        oracle = re.compile(data["pattern"])
        assert all(oracle.fullmatch(s) for s in [*data["match"], *data["hidden_match"]])
        assert not any(oracle.fullmatch(s) for s in [*data["other"], *data["hidden_other"]])
        assert len(data["hidden_match"]) == HIDDEN
        assert len(data["other"]) == len(set(data["other"])) >= 4


@pytest.mark.parametrize("level", LEVELS)
def test_a_list_of_the_shown_strings_does_not_pay(level: str) -> None:
    env = make_env(f"regex_synthesis:{level}")
    for i in range(100):
        task = env.task("train", i)
        assert not env.score(task, f"Answer: {'|'.join(task.data['match'])}").solved
        seen = {*task.data["match"], *task.data["other"]}
        assert sum(s not in seen for s in task.data["hidden_match"]) >= 2


def test_members_show_the_bounds_of_a_run_and_strangers_pass_them() -> None:
    language = Language(("abc",), (Run("", "[0-9]", 2, 4),))
    assert [len(s) - 3 for s in members(language, Random(1), 2, LONGEST)] == [2, 4]
    near = strangers(language, Random(1), LONGEST)
    assert [len(s) - 3 for s in near if s.startswith("abc") and s[3:].isdigit()] == [1, 5]
    assert language.pattern == "abc[0-9]{2,4}"


def test_the_pattern_of_several_words_and_runs() -> None:
    runs = (Run("", "[0-9]", 1, LONGEST), Run("-", "[A-Z]", 3, 3))
    assert Language(("abc", "xyz"), runs).pattern == "(abc|xyz)[0-9]+-[A-Z]{3}"


@pytest.mark.parametrize(
    "slot",
    ["{p}", "^{p}$", "(?:{p})", "{p}|{p}", "{q}[0-9][0-9]*", "{q}\\d+", "{q}[[:digit:]]{{1,}}"],
)
def test_any_expression_of_the_language_counts(slot: str) -> None:
    env = make_env("regex_synthesis:1")
    task = env.task("train", 3)
    pattern = task.data["pattern"]
    answer = slot.format(p=pattern, q=pattern.removesuffix("[0-9]+"))
    assert env.score(task, f"Answer: {answer}").solved


@pytest.mark.parametrize(
    "slot",
    [
        "{q}[0-9]*",
        "{q}.+",
        "[a-z]+[0-9]+",
        "[a-z]{{3}}[0-9]+",
        "(?i){p}",
        "{q}[0-9]{{1,5}}",
        "({p})?",
    ],
)
def test_near_misses_do_not(slot: str) -> None:
    env = make_env("regex_synthesis:1")
    for i in range(50):
        task = env.task("train", i)
        pattern = task.data["pattern"]
        answer = slot.format(p=pattern, q=pattern.removesuffix("[0-9]+"))
        assert not env.score(task, f"Answer: {answer}").solved


@pytest.mark.parametrize("level", ["3", "4", "5"])
def test_a_wider_class_or_run_anywhere_does_not_pay(level: str) -> None:
    env = make_env(f"regex_synthesis:{level}")
    for i in range(40):
        task = env.task("train", i)
        pattern = task.data["pattern"]
        for chars in ("0-9", "a-z", "A-Z"):
            for wider in ("0-9A-Z", "0-9a-z", "a-zA-Z"):
                for at in (m.start() for m in re.finditer(rf"\[{chars}\]", pattern)):
                    wrong = pattern[:at] + f"[{wider}]" + pattern[at + 5 :]
                    assert not env.score(task, f"Answer: {wrong}").solved
        for count in re.finditer(r"\{[0-9,]+\}", pattern):
            low, _, high = count.group()[1:-1].partition(",")
            for bounds in (f"{int(low) - 1},{high or low}", f"{low},{int(high or low) + 1}"):
                wrong = pattern[: count.start()] + f"{{{bounds}}}" + pattern[count.end() :]
                assert not env.score(task, f"Answer: {wrong}").solved


HOSTILE = [
    "(a*)*" * 20,
    "(a|aa)+" * 14,
    "((((((.{9}){9}){9}){9}){9}){9})",
    "(a{1000}){1000}",
    "(?i)" + r"\pL" * 30 + "{100}",
    r"\P{Greek}{1000}",
    "." * 99,
    "." * 101,
    "[" * 100,
    "(" * 100,
    "(?:.?){900}",
    "(.?){1000}",
    "[^\\x00]{1000}" * 7,
    "\x00",
    "\ud800",
    "\uff41",
    "(?P<x>a)(?P<x>b)",
    r"(a)\1",
    "(?=a)",
    r"\C*",
    r"\Qabc",
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_patterns_are_quick_and_silent(
    pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    env = make_env("regex_synthesis:5")
    task = env.task("train", 0)
    start = time.process_time()
    assert env.score(task, f"Answer: {pattern}").value == 0.0
    assert time.process_time() - start < 0.2
    assert capfd.readouterr() == ("", "")


def test_what_is_no_pattern_does_not_compile() -> None:
    assert compiled("a+") is not None
    for pattern in ("(", "a**b[", r"(a)\1", "é", "a\x00", "a" * 101, r"\pL"):
        assert compiled(pattern) is None


def test_a_shown_string_and_anything_after_it_never_pays() -> None:
    env = make_env("regex_synthesis:1")
    for i in range(1000):
        task = env.task("train", i)
        shown = task.data["match"]
        assert not env.score(task, f"Answer: ({'|'.join(shown)}).*").solved


@pytest.mark.parametrize("level", LEVELS)
def test_renamed_words_rename_the_answer(level: str) -> None:
    env = make_env(f"regex_synthesis:{level}")
    for i in range(50):
        task = env.task("test", i)
        shifted = env.shifted(task, Random(i))
        assert shifted is not None
        changed, answer = shifted
        assert env.score(changed, str(answer)).solved
        assert not env.score(changed, str(env.gold(task))).solved
        assert answer == env.gold(changed)


@pytest.mark.parametrize("options", [{"classes": 0}, {"words": 4}])
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_env("regex_synthesis", options)
