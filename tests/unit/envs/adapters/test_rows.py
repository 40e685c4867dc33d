"""Data sets as environments: columns, splits, matchers, reward functions in TRL's shape."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from minirl.envs import make_env
from minirl.envs.adapters.matchers import MATCHERS, parse_number
from minirl.errors import ConfigError, EnvironmentFault, UnknownGold, UnknownNameError
from minirl.types import SPLITS, Task

QUESTIONS = [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(200)]

REWARDS = """
def overlap(prompts, completions, answer, **kwargs):
    assert set(kwargs) >= {"trainer_state", "log_extra", "log_metric", "source"}
    texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
    kinds = [type(p) is type(c) for p, c in zip(prompts, completions)]
    assert all(kinds), "prompts and completions of one kind"
    return [len(set(t) & set(a)) / len(set(a) | set(t) | {"x"}) for t, a in zip(texts, answer)]

def short(completions):
    return [None if not c else 1.0 if len(c) < 5 else 0.5 for c in completions]

def too_much(completions, **kwargs):
    return [2.0 for _ in completions]

def nan(completions, **kwargs):
    return [float("nan") for _ in completions]

def words(completions, **kwargs):
    return ["good" for _ in completions]

def few(completions, **kwargs):
    return [1.0][:0]

def broken(completions, **kwargs):
    return [1 / 0]

def needs_ids(completions, completion_ids, **kwargs):
    return [0.0]

async def later(completions, **kwargs):
    return [0.0]
"""


def write(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "data.jsonl", QUESTIONS)


@pytest.fixture
def rewards(tmp_path: Path) -> str:
    path = tmp_path / "rewards.py"
    path.write_text(REWARDS, encoding="utf-8")
    return str(path)


def test_rows_become_tasks_split_by_content(data: Path) -> None:
    env = make_env(f"jsonl:{data}")
    sizes = [env.size(split) for split in SPLITS]
    assert sum(sizes) == 200  # type: ignore[arg-type]
    assert 30 < sizes[1] < 90  # type: ignore[operator]
    shown = [{env.task(s, i).prompt[-1].content for i in range(n or 0)} for s, n in zip(SPLITS, sizes, strict=True)]  # fmt: skip # noqa: E501
    assert shown[0] | shown[1] == {row["question"] for row in QUESTIONS}
    assert not shown[0] & shown[1]
    with pytest.raises(ConfigError, match="no test task"):
        env.task("test", sizes[1] or 0)
    # The side of a row does not depend on the other rows.
    half = make_env(f"jsonl:{write(data.with_name('half.jsonl'), QUESTIONS[::2])}")
    kept = {half.task("test", i).prompt[-1].content for i in range(half.size("test") or 0)}
    assert kept == {q for q in shown[1] if q in {row["question"] for row in QUESTIONS[::2]}}


@pytest.mark.parametrize("reward", ["exact", "number"])
def test_gold_scores_one_and_decoys_zero(data: Path, reward: str) -> None:
    env = make_env(f"jsonl:{data}", {"reward": reward})
    for split in SPLITS:
        for index in range(20):
            task = env.task(split, index)
            assert env.score(task, env.gold(task)).solved
            assert len(set(env.decoys(task))) >= 15
            for text in env.decoys(task):
                assert env.score(task, text).value == 0.0, text


def test_a_second_file_is_the_test_split(data: Path, tmp_path: Path) -> None:
    test = write(tmp_path / "test.jsonl", [QUESTIONS[3], {"question": "New?", "answer": "yes"}])
    env = make_env(f"jsonl:{data}", {"test": str(test)})
    assert (env.size("train"), env.size("test")) == (199, 2)
    assert [env.task("test", i).prompt[-1].content for i in (0, 1)] == ["What is 3 + 3?", "New?"]
    assert env.task("train", 3).prompt[-1].content == "What is 4 + 4?"
    assert "1 of 202 rows repeat a prompt" in (env.notice or "")


def test_chat_prompts_and_column_names(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Sum."}, {"role": "user", "content": "1+1"}]
    plain = [{"role": "user", "content": "2+2"}]
    path = write(tmp_path / "c.jsonl", [{"talk": chat, "a": 2}, {"talk": plain, "a": 4}])
    options = {"prompt": "talk", "answer": "a", "test": str(path)}
    env = make_env(f"jsonl:{path}", options)
    first, second = (env.task("test", i) for i in (0, 1))
    assert [m.as_dict() for m in first.prompt] == chat
    assert [m.role for m in second.prompt] == ["system", "user"]
    assert "Answer:" in second.prompt[0].content
    assert env.score(first, "Answer: 2").solved
    with pytest.raises(ConfigError, match="brings a system message"):
        make_env(f"jsonl:{path}", {**options, "system": "Be good."})


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"answer": "1"}', ":2 has no column 'question'"),
        ('{"question": "q"}', ":2 has no column 'answer'"),
        ('{"question": "", "answer": "1"}', ":2: column 'question'"),
        ('{"question": 7, "answer": "1"}', ":2: column 'question'"),
        ('{"prompt": [], "answer": "1"}', ":2: column 'prompt'"),
        ('{"prompt": [{"role": "boss", "content": "x"}], "answer": "1"}', ":2: column 'prompt'"),
        ('{"question": "q", "answer": null}', ":2: column 'answer'"),
        ('{"question": "q", "answer": "  "}', ":2: column 'answer'"),
        ('{"question": "q", "answer": "Answer: 3"}', ":2: column 'answer'"),
        ("[1]", ":2 is no row"),
        ("{", ":2 is not JSON"),
        ("[" * 100_000, ":2 is not JSON"),
    ],
)
def test_a_broken_row_is_told_with_its_line_and_column(
    tmp_path: Path, line: str, told: str
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(f"{json.dumps(QUESTIONS[0])}\n{line}\n{json.dumps(QUESTIONS[1])}\n")
    with pytest.raises(ConfigError) as caught:
        make_env(f"jsonl:{path}")
    assert f"{path}{told}" in str(caught.value)


def test_what_cannot_be_read_is_told(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        make_env(f"jsonl:{tmp_path}/none.jsonl")
    with pytest.raises(ConfigError, match="holds no row"):
        make_env(f"jsonl:{write(tmp_path / 'empty.jsonl', [])}")
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "\xe9"}\n')
    with pytest.raises(ConfigError, match="not UTF-8"):
        make_env(f"jsonl:{tmp_path}/latin.jsonl")
    with pytest.raises(ConfigError, match="solved_at"):
        make_env(f"jsonl:{data}", {"solve_at": 1.0})
    with pytest.raises(UnknownNameError, match="did you mean 'exact'"):
        make_env(f"jsonl:{data}", {"reward": "exat"})
    with pytest.raises(ConfigError, match="no answer for reward = 'choice'"):
        make_env(f"jsonl:{data}", {"reward": "choice"})


def test_a_limit_is_told(data: Path) -> None:
    env = make_env(f"jsonl:{data}", {"limit": 50})
    assert (env.size("train") or 0) + (env.size("test") or 0) == 50
    assert "at most 50 rows" in (env.notice or "")


@pytest.mark.parametrize(
    ("reward", "right", "accepted", "refused"),
    [
        ("exact", "blue  sky", ["blue sky", "blue\tsky"], ["Blue sky", "blue", "blue\u00a0sky"]),
        (
            "number",
            "1,234",
            ["1234", "1234.0", "$1,234", "+1234"],
            ["12,34", "1234.", "1e3", "nan"],
        ),
        ("number", "so\n#### 18", ["18", "18.00"], ["#### 18", "81", "\u0661\u0668"]),
        ("choice", "(b)", ["B", "b", "(B)"], ["A", "B.", "B or C", "BB"]),
    ],
)
def test_matchers(reward: str, right: str, accepted: list[str], refused: list[str]) -> None:
    matcher = MATCHERS[reward]
    canonical = matcher.read(right)
    assert canonical is not None
    assert [slot for slot in accepted if not matcher.accepts(canonical, slot)] == []
    assert [slot for slot in refused if matcher.accepts(canonical, slot)] == []
    assert not matcher.accepts(canonical, matcher.wrong(canonical))


def test_numbers_are_read_in_bounded_time() -> None:
    assert parse_number("9" * 1_000_000) is None
    assert parse_number("1," * 500_000) is None


@pytest.mark.parametrize("chat", [True, False])
def test_rewards_are_those_that_trl_would_get(tmp_path: Path, rewards: str, chat: bool) -> None:
    def prompt(n: int) -> Any:
        text = f"Say {n}"
        return [{"role": "user", "content": text}] if chat else text

    rows = [{"prompt": prompt(n), "answer": str(n * n), "source": "s"} for n in range(1100)]
    env = make_env(f"jsonl:{write(tmp_path / 'd.jsonl', rows)}", {"reward": f"{rewards}:overlap"})
    tasks = [env.task("train", i) for i in range(env.size("train") or 0)]
    tasks += [env.task("test", i) for i in range(env.size("test") or 0)]
    texts = [f"{i * 7 % 1009}{'ab' * (i % 3)}" for i in range(len(tasks))]
    scores = env.score_many(list(zip(tasks, texts, strict=True)))

    namespace: dict[str, Any] = {}
    exec(compile(REWARDS, "rewards", "exec"), namespace)
    picked = [task.data["row"] for task in tasks]
    direct = namespace["overlap"](
        prompts=[row["prompt"] for row in picked],
        completions=[[{"role": "assistant", "content": t}] if chat else t for t in texts],
        completion_ids=[[1]] * len(texts),
        answer=[row["answer"] for row in picked],
        source=["s"] * len(texts),
        trainer_state=None,
        log_extra=None,
        log_metric=None,
    )
    assert len(direct) >= 1000
    assert [score.value for score in scores] == direct
    assert len(set(direct)) > 10
    assert [env.score(t, x).value for t, x in zip(tasks[:9], texts, strict=False)] == direct[:9]


def test_without_kwargs_none_and_solved_at(tmp_path: Path, rewards: str) -> None:
    path = write(
        tmp_path / "d.jsonl", [{"prompt": "p", "good": "ok"}, {"prompt": "q", "good": "x"}]
    )
    options = {"reward": f"{rewards}:short", "test": str(path)}
    env = make_env(f"jsonl:{path}", options)
    task = env.task("test", 0)
    assert [m.role for m in task.prompt] == ["user"]
    assert (env.score(task, "abc").value, env.score(task, "abc").solved) == (1.0, True)
    assert (env.score(task, "abcdef").value, env.score(task, "abcdef").solved) == (0.5, False)
    none = env.score(task, "")
    assert (none.value, none.solved, none.parts["applicable"]) == (0.0, False, 0.0)
    half = make_env(f"jsonl:{path}", {**options, "solved_at": 0.5, "gold": "good"})
    assert half.score(task, "abcdef").solved
    assert half.gold(half.task("test", 1)) == "x"
    with pytest.raises(UnknownGold, match=r"env\.options\.gold"):
        env.gold(task)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("too_much", "gave 2.0 for"),
        ("nan", "gave nan for"),
        ("words", "gave 'good' for"),
        ("few", "gave 0 rewards for 1"),
        ("broken", "ZeroDivisionError"),
    ],
)
def test_a_faulty_reward_function_is_told_with_the_row(
    data: Path, rewards: str, function: str, told: str
) -> None:
    env = make_env(f"jsonl:{data}", {"reward": f"{rewards}:{function}"})
    task: Task = env.task("train", 0)
    with pytest.raises(EnvironmentFault) as caught:
        env.score(task, "x")
    assert told in str(caught.value)
    assert task.data["where"] in str(caught.value)


@pytest.mark.parametrize("function", ["needs_ids", "later", "nowhere"])
def test_a_function_that_cannot_be_called_is_refused(
    data: Path, rewards: str, function: str
) -> None:
    with pytest.raises(ConfigError):
        make_env(f"jsonl:{data}", {"reward": f"{rewards}:{function}"})
    with pytest.raises(ConfigError, match="no reward file"):
        make_env(f"jsonl:{data}", {"reward": "./nowhere/rewards.py:f"})
