"""`tiny:ENV`: what the stand-in for a model is cold-started on, and how it is named and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from minirl.envs import make_env
from minirl.errors import ModelError, UnknownNameError
from minirl.models import catalogue, tiny_env
from minirl.models.catalogue import resolve_model
from minirl.models.tiny import MAX_LENGTH
from minirl.models.tiny_env import GOAL, course
from minirl.plan.models import architecture_of


def test_a_single_turn_environment_is_taught_by_its_gold_without_the_worked_example() -> None:
    taught = course("arithmetic:1")
    env = make_env("arithmetic:1", {"worked_example": False})
    for i in range(20):
        task = env.task("train", i)
        assert taught.example(i) == (task.prompt, env.gold(task))
    assert taught.goal == pytest.approx(GOAL)


def test_each_turn_of_a_longer_episode_is_taught_after_what_stands_before_it() -> None:
    taught = course("gridworld:1")
    env = make_env("gridworld:1", {"worked_example": False})
    later = 0
    for i in range(40):
        task = env.task("train", i % (env.size("train") or 1))
        gold = list(env.gold(task))
        messages, text = taught.example(i)
        at = i % len(gold)
        later += at > 0
        assert messages[: len(task.prompt)] == task.prompt
        assert [m.content for m in messages if m.role == "assistant"] == gold[:at]
        assert text == gold[at]
        assert messages[-1].role == "user"
    assert later > 5
    assert GOAL < taught.goal < 1  # of one turn: all of them together come to GOAL


def test_several_environments_take_turns() -> None:
    both = course("arithmetic:1+sort_words:3")
    one, two = course("arithmetic:1"), course("sort_words:3")
    assert [both.example(i) for i in range(6)] == [
        c.example(i // 2) for i, c in zip(range(6), (one, two) * 3, strict=True)
    ]


def test_its_name_follows_the_tasks() -> None:
    assert course("arithmetic:1").name == course("arithmetic:1").name
    assert course("arithmetic:1").name != course("arithmetic:2").name


def test_what_it_cannot_hold_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot hold") as failed:
        course("json_extraction:5+word_problems:5+sql:5")
    assert str(MAX_LENGTH) in str(failed.value)


def test_a_cold_start_that_teaches_nothing_is_an_error_and_leaves_no_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path))
    monkeypatch.setattr(tiny_env, "MOST_STEPS", 5)
    with pytest.raises(ModelError, match="does not learn"):
        resolve_model("tiny:arithmetic:5")
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


def test_it_resolves_like_a_catalogue_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path))
    built: list[str] = []

    def build(path: Path, taught: tiny_env.Course) -> None:
        built.append(taught.name)
        (path / "config.json").write_text("{}")

    monkeypatch.setattr(tiny_env, "build", build)
    first, second = resolve_model("tiny:arithmetic:1"), resolve_model("tiny:arithmetic:1")
    assert first == second
    assert (first.name, first.source) == ("tiny:arithmetic:1", "catalogue")
    assert Path(first.location) == tmp_path / built[0]
    assert len(built) == 1
    assert architecture_of("tiny:arithmetic:1") == architecture_of("tiny")


def test_an_environment_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownNameError, match="arithmetik"):
        catalogue.pull_model("tiny:arithmetik:1")
