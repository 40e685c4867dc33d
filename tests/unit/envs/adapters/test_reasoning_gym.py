"""reasoning-gym behind its door: parity with its own scorers, pure tasks, hostile answers."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import random
import signal
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Context, Decimal, localcontext, setcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from minirl.envs import Environment, make_env
from minirl.envs.adapters.reasoning_gym import env as env_module
from minirl.envs.adapters.reasoning_gym import list_tasks, open_env
from minirl.envs.adapters.reasoning_gym.env import SYSTEM, SYSTEM_LINES
from minirl.envs.adapters.reasoning_gym.findings import FINDINGS
from minirl.envs.adapters.reasoning_gym.helper import Failed, Helper, shared
from minirl.errors import (
    ConfigError,
    EnvironmentFault,
    MissingExtraError,
    UnknownGold,
    UnknownNameError,
)
from minirl.rewards import strict_answer
from minirl.types import SPLITS, Task, json_line

pytest.importorskip("reasoning_gym")

# Quick ones of every kind: substring payers, exact, graded, JSON, grids, several right answers.
COMPARED = """
    ab basic_arithmetic binary_matrix caesar_cipher calendar_arithmetic chain_sum coin_flip
    color_cube_rotation complex_arithmetic decimal_arithmetic dice family_relationships gcd
    graph_color kakurasu letter_jumble mini_sudoku number_sorting prime_factorization products
    rotate_matrix sentence_reordering shortest_path spell_backward time_intervals tower_of_hanoi
    word_sorting """.split()  # noqa: SIM905
ENTRIES = 6


def slot(env: Environment[Any], task: Task, answer: str) -> str:
    return f"Answer:\n{answer}" if task.data["lines"] else f"Answer: {answer}"


def answers(right: str, other: str) -> list[str]:
    return [
        right,
        other,
        f"{right} {other}",
        f"It is {right}.",
        right.lower(),
        right[::-1],
        right[:-1] or "x",
        "0123456789",
        "no",
        "[1, 2]",
    ]


def test_raw_scores_are_those_of_reasoning_gym_itself() -> None:
    import reasoning_gym

    compared = ones = crumbs = 0
    for name in COMPARED:
        setcontext(Context())  # decimal_arithmetic changes it for all that comes after
        env = make_env(f"reasoning-gym:{name}")
        theirs = reasoning_gym.create_dataset(name, seed=0, size=500)
        tasks = [env.task("train", i) for i in range(ENTRIES)]
        golds = [task.data["answer"] for task in tasks]
        for task, right, other in zip(tasks, golds, [*golds[1:], golds[0]], strict=True):
            for answer in answers(right, other):
                text = slot(env, task, answer)
                heard = text.partition("Answer:")[2].strip(" \t\r\n")
                if not task.data["lines"] and strict_answer(text) is None:
                    continue
                assert task.data["number"] < 500
                try:
                    raw = float(theirs.score_answer(heard, theirs[task.data["number"]]))
                except ValueError:  # prime_factorization's does that; with us it is a wrong answer
                    raw = 0.0
                score = env.score(task, text)
                assert score.parts["reasoning_gym"] == raw, (name, task.data, answer)
                assert (score.value, score.solved) == (float(raw == 1.0), raw == 1.0)
                compared, ones = compared + 1, ones + (raw == 1.0)
                crumbs += 0.0 < raw < 1.0
    setcontext(Context())
    assert compared >= 1000
    assert ones >= 150
    assert crumbs >= 150


def test_every_task_is_listed_with_its_levels() -> None:
    tasks = list_tasks()
    assert len(tasks) >= 100
    assert (tasks["chain_sum"], tasks["gsm_symbolic"]) == (5, 0) or tasks["chain_sum"] > 1
    assert "composite" not in tasks


def test_a_level_takes_the_kth_values_of_the_curriculum() -> None:
    easy, hard = (make_env(f"reasoning-gym:spell_backward:{k}") for k in (0, 3))
    default = make_env("reasoning-gym:spell_backward")
    assert easy.config.max_word_len < hard.config.max_word_len
    assert easy.config.max_word_len == easy.config.min_word_len != default.config.max_word_len
    longest = max(len(hard.task("train", i).data["answer"]) for i in range(30))
    assert longest <= hard.config.max_word_len
    assert hard.label == "reasoning-gym:spell_backward:3"


def test_options_go_over_the_level() -> None:
    env = make_env("reasoning-gym:chain_sum:1", {"max_terms": 7, "min_terms": 7})
    assert env.task("train", 0).prompt[-1].content.count(" + ") <= 6
    terms = env.task("train", 0).prompt[-1].content.replace(" - ", " + ").count(" + ")
    assert terms == 6


@pytest.mark.parametrize(
    ("spec", "options", "error", "told"),
    [
        ("reasoning-gym:chain_sums", {}, UnknownNameError, "did you mean 'chain_sum'"),
        ("reasoning-gym:", {}, UnknownNameError, "no task ''"),
        ("reasoning-gym:chain_sum:99", {}, UnknownNameError, "no level '99'"),
        ("reasoning-gym:gsm_symbolic:0", {}, UnknownNameError, "it has none"),
        ("reasoning-gym:chain_sum", {"max_term": 3}, ConfigError, "max_terms"),
        ("reasoning-gym:chain_sum", {"max_terms": "many"}, ConfigError, "max_terms"),
        ("reasoning-gym:chain_sum", {"min_terms": 9, "max_terms": 2}, ConfigError, "refuses"),
        ("reasoning-gym:chain_sum", {"seed": 9}, ConfigError, "seed"),
    ],
)
def test_what_does_not_exist_is_refused(
    spec: str, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error) as caught:
        make_env(spec, options)
    assert told in str(caught.value)


@pytest.fixture(scope="module")
def another() -> Iterator[Helper]:
    helper = Helper()
    yield helper
    helper.close()


def test_tasks_are_pure_and_the_same_in_another_process(another: Helper) -> None:
    ours = [make_env("reasoning-gym:word_sorting").task(s, i) for s in SPLITS for i in (0, 5, 9)]
    again = open_env("word_sorting", {}, helper=another)
    theirs = [again.task(s, i) for s in SPLITS[::-1] for i in (9, 5, 0)][::-1]
    assert ours == theirs
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert json_line([dict(task.data) for task in ours])


def test_their_global_random_state_is_not_ours() -> None:
    # list_functions and pool_matrix draw from the global generators.
    random.seed(5)
    before = random.getstate()
    first = [make_env("reasoning-gym:list_functions").task("train", i) for i in range(5)]
    assert random.getstate() == before
    random.seed(6)
    assert [make_env("reasoning-gym:list_functions").task("train", i) for i in range(5)] == first


@pytest.mark.parametrize("name", ["chain_sum", "binary_alternation", "mini_sudoku"])
def test_tasks_are_distinct_and_splits_disjoint_by_content(name: str) -> None:
    env = make_env(f"reasoning-gym:{name}")
    train, test = (
        [env.task(split, i).prompt[-1].content for i in range(n)]
        for split, n in (("train", 150), ("test", 60))
    )
    assert len(set(train)) == 150
    assert len(set(test)) == 60
    assert not set(train) & set(test)


def test_a_small_universe_ends() -> None:
    env = make_env("reasoning-gym:count_bits", {"min_n": 1, "max_n": 40})
    train, test = env.size("train"), env.size("test")
    assert train is not None
    assert test is not None
    assert train + test == 40
    assert env.task("train", train + 2).prompt == env.task("train", 2).prompt
    assert env.task("train", 5000).prompt == env.task("train", 5000 % train).prompt
    with pytest.raises(ConfigError, match=f"only {test} different"):
        env.task("test", test)


def test_a_large_universe_does_not_end_and_goes_on_in_blocks() -> None:
    env = make_env("reasoning-gym:chain_sum", {"min_digits": 5, "max_digits": 8})
    assert (env.size("train"), env.size("test")) == (None, None)
    far = env.task("train", 5 * 1024)
    assert far == make_env("reasoning-gym:chain_sum", {"min_digits": 5, "max_digits": 8}).task(
        "train", 5 * 1024
    )
    assert far.prompt != env.task("train", 0).prompt


def test_decoys_score_zero_and_gold_one() -> None:
    for name in ("chain_sum", "gsm_symbolic", "rotate_matrix", "propositional_logic", "boxnet"):
        env = make_env(f"reasoning-gym:{name}")
        for split in SPLITS:
            task = env.task(split, 1)
            if name != "boxnet":
                assert env.score(task, env.gold(task)).parts["strict"] == 1.0
            assert len(set(env.decoys(task))) >= 7
            for text in env.decoys(task):
                assert env.score(task, text).value == 0.0, (name, text)


@pytest.mark.parametrize("name", ["boxnet", "rush_hour"])
def test_where_no_answer_ships_the_gold_is_unknown(name: str) -> None:
    env = make_env(f"reasoning-gym:{name}")
    with pytest.raises(UnknownGold):
        env.gold(env.task("train", 0))
    assert env.score(env.task("train", 0), "Answer: {}").value == 0.0


@pytest.mark.parametrize(
    ("text", "lines", "found"),
    [
        ("Answer: 7", False, "7"),
        ("Answer: 7\n8", False, None),
        ("Answer:\n1 2\n3 4\n", True, "1 2\n3 4"),
        ("So.\nAnswer: 1 2\n3 4", True, "1 2\n3 4"),
        ("  Answer: 1", True, "1"),
        ("the Answer: 1", True, None),
        ("Answer: 1\nAnswer: 2", True, None),
        ("Answer:\n \t\n", True, None),
        ("1 2\n3 4", True, None),
    ],
)
def test_the_slot(text: str, lines: bool, found: str | None) -> None:
    assert env_module._slot(text, lines) == found


def test_the_prompt_teaches_the_slot_that_the_task_has() -> None:
    one, many = (make_env(f"reasoning-gym:{n}").task("test", 0) for n in ("gcd", "rotate_matrix"))
    assert [m.role for m in one.prompt] == ["system", "user"]
    assert (one.prompt[0].content, many.prompt[0].content) == (SYSTEM, SYSTEM_LINES)
    mine = make_env("reasoning-gym:gcd", {"system": "Be brief."}).task("test", 0)
    assert mine.prompt[0].content == "Be brief."


def test_crumbs_are_a_part_and_paid_only_on_demand() -> None:
    env = make_env("reasoning-gym:gcd")
    loud = make_env("reasoning-gym:gcd", {"partial": True})
    task = env.task("train", 0)
    text = f"Answer: {task.data['answer']} or more"
    crumb = env.score(task, text).parts["reasoning_gym"]
    assert 0.0 < crumb < 1.0
    assert (env.score(task, text).value, env.score(task, text).solved) == (0.0, False)
    assert (loud.score(task, text).value, loud.score(task, text).solved) == (crumb, False)
    assert env.notice is None
    assert "crumbs" in (loud.notice or "")


def test_a_scorer_that_hangs_is_ended_and_the_next_one_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = make_env("reasoning-gym:rubiks_cube")
    task = env.task("train", 0)
    start = time.monotonic()
    with monkeypatch.context() as impatient:
        impatient.setattr(env_module, "SCORE_S", 1.0)
        score = env.score(task, "Answer: R99999999")
    assert (score.value, score.parts["format"]) == (0.0, 1.0)
    assert "no answer within" in score.reason
    assert time.monotonic() - start < 60.0
    assert env.score(task, env.gold(task)).solved


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "it_ran"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    for name in ("binary_matrix", "string_insertion", "simple_integration"):
        env = make_env(f"reasoning-gym:{name}")
        task = env.task("train", 0)
        score = env.score(task, slot(env, task, code))
        assert (score.value, score.parts["reasoning_gym"]) == (0.0, 0.0)
        assert score.reason in ("code instead of an answer", "not a plain formula")
    assert not mark.exists()
    number = {"number": 0, "level": None, "options": "{}"}
    shared().ask("score", name="binary_matrix", answer=code, **number)
    assert mark.exists()  # what the screen is there for


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("complex_arithmetic", "nan"),  # their min(1.0, nan) is 1.0
        ("complex_arithmetic", "nan+nanj"),
        ("coin_flip", "1e999999999"),  # their Fraction would fill the memory
        ("boxnet", "[[1]]"),  # their scorer raises
        ("gcd", "9" * 50_000),
        ("gcd", "\ud800"),
        ("gcd", "\x00"),
        ("gcd", "\u0661"),
        ("propositional_logic", "~" * 5000 + "P"),
    ],
)
def test_hostile_answers_score_zero(name: str, answer: str) -> None:
    env = make_env(f"reasoning-gym:{name}")
    score = env.score(env.task("train", 0), f"Answer: {answer}")
    assert (score.value, score.solved) == (0.0, False)


def test_a_list_of_nans_is_no_sorted_list() -> None:
    env = make_env("reasoning-gym:number_sorting")
    task = env.task("train", 0)
    count = task.data["answer"].count(",") + 1
    nans = "[" + ", ".join(["NaN"] * count) + "]"
    number = {"number": task.data["number"], "level": None, "options": "{}"}
    assert shared().ask("score", name="number_sorting", answer=nans, **number) == 1.0
    assert env.score(task, f"Answer: {nans}").value == 0.0


@pytest.mark.parametrize(
    ("name", "cheat"),
    [
        ("coin_flip", lambda right: str(float(Fraction(right)) + 0.00009)),
        ("gsm_symbolic", lambda right: f"{right} or else 1234567"),
        ("number_sorting", lambda right: str([str(float(x) + 0.9) for x in literal_eval(right)])),
        ("fraction_simplification", lambda right: f"{right} or 7" if "frac" in right else right),
        ("game_of_life", lambda right: str([[*row, 9] for row in json.loads(right)] + [[7]])),
    ],
)  # fmt: skip
def test_the_findings_that_are_told_are_true(name: str, cheat: Callable[[str], str]) -> None:
    env = make_env(f"reasoning-gym:{name}")
    assert FINDINGS[name] in (env.notice or "")
    paid = [env.task("train", i) for i in range(8)]
    solved = [env.score(t, slot(env, t, cheat(t.data["answer"]))).solved for t in paid]
    assert all(solved)


def test_24_is_always_the_same_cheat() -> None:
    which = {"name": "puzzle24", "level": None, "options": "{}"}
    raws = [shared().ask("score", number=n, answer="6*4+1-1", **which) for n in range(4)]
    assert raws == [1.0] * 4


def test_a_scorer_that_accepts_anything_is_a_fault() -> None:
    # Theirs compares bool(answer) with bool("False"), and both are true.
    env = make_env("reasoning-gym:game_of_life_halting")
    with pytest.raises(EnvironmentFault, match="accepts any text"):
        env.task("train", 0)


def test_the_precision_that_one_task_sets_is_not_that_of_the_next() -> None:
    which = {"name": "decimal_chain_sum", "level": 2, "options": "{}"}
    fresh = shared().ask("draw", number=400, **which)
    shared().ask(
        "draw", name="decimal_arithmetic", level=None, options='{"precision": 5}', number=1
    )
    assert shared().ask("draw", number=400, **which) == fresh
    for number in range(401, 421):
        drawn = shared().ask("draw", number=number, **which)
        shown = drawn["question"].partition(":")[2].strip(" =?\n")
        terms = shown.replace(" - ", " + -").split(" + ")
        with localcontext(Context()):
            assert sum(map(Decimal, terms)) == Decimal(drawn["answer"])


def test_programs_that_codeio_runs_write_no_file_beside_us(
    another: Helper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another.close()
    monkeypatch.chdir(tmp_path)
    # Run by a scorer here; by generators of theirs as well.
    code, which = "open('beside_us', 'w').close()", {"level": None, "options": "{}"}
    another.ask("score", name="binary_matrix", answer=code, number=0, **which)
    assert list(tmp_path.iterdir()) == []


def test_threads_do_not_mix_their_answers_up() -> None:
    env = make_env("reasoning-gym:gcd")
    tasks = [env.task("train", i) for i in range(20)]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda t: env.score(t, env.gold(t)).solved, tasks * 3))
        assert not any(pool.map(lambda t: env.score(t, "Answer: 0").solved, tasks * 3))


def test_a_process_that_dies_between_two_requests_changes_no_answer(another: Helper) -> None:
    env = open_env("gcd", {}, helper=another)
    tasks = [env.task("train", i) for i in range(6)]
    for task in tasks:
        os.kill(another._server, signal.SIGKILL)
        assert env.score(task, env.gold(task)).solved
        assert not env.score(task, "Answer: 0").solved


def test_a_request_that_kills_the_process_fails(another: Helper) -> None:
    killer = "__import__('os').kill(__import__('os').getpid(), 9)"
    number = {"number": 0, "level": None, "options": "{}"}
    with pytest.raises(Failed, match="died"):
        another.ask("score", name="binary_matrix", answer=killer, **number)
    assert "gcd" in another.ask("names")


def test_without_the_package_the_fix_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install .reasoning-gym"):
        open_env("gcd", {}, helper=Helper())


def test_a_worked_example_is_shown_that_is_no_task_and_leaves_the_tasks_as_they_are() -> None:
    plain = make_env("reasoning-gym:chain_sum")
    shown = make_env("reasoning-gym:chain_sum", {"worked_example": True})
    for index in range(20):
        with_it, without = shown.task("test", index), plain.task("test", index)
        assert [m.role for m in with_it.prompt] == ["system", "user", "assistant", "user"]
        assert (with_it.prompt[-1], with_it.data) == (without.prompt[-1], without.data)
        assert with_it.prompt[1].content != with_it.prompt[-1].content
    question, answer = (m.content for m in shown.task("test", 0).prompt[1:3])
    assert question == shown.task("train", 5).prompt[1].content
    assert answer.startswith("Answer: ")


def test_where_no_answer_is_shipped_there_is_no_worked_example() -> None:
    with pytest.raises(ConfigError, match="no solved problem"):
        make_env("reasoning-gym:rush_hour", {"worked_example": True}).task("train", 0)
