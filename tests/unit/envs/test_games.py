"""What every turn-based game keeps: its solver wins, cheats lose, nothing is leaked or raised."""

from __future__ import annotations

import random

import pytest

from minirl.envs import Environment, make_env, recite
from minirl.envs.base import as_turns
from minirl.envs.games.episode import MAX_LINE, move_line
from minirl.errors import EnvironmentFault
from minirl.types import SPLITS, Message, Task

GAMES = ("gridworld", "mastermind", "minesweeper", "word_guess")
SPECS = [f"{name}:{level}" for name in GAMES for level in ("1", "3")]
SPECS += ["gridworld:2", "gridworld:4", "gridworld:6", "mastermind:4", "word_guess:5"]
TASKS = 8
HOSTILE = ("", "\x00", "Move:", "9" * 100_000, "Guess: " + "9 " * 50_000, "Open: \ud800", "\u202e")
HOSTILE += (
    "Move: \uff55\uff50",
    "Open: \u0661 \u0661",
    "Open: 99999999999 1",
    "Guess: n\u00e0n",
    "Move: " * 9,
)


@pytest.fixture(scope="module", params=SPECS)
def env(request: pytest.FixtureRequest) -> Environment:
    return make_env(request.param)


def some(env: Environment) -> list[Task]:
    return [env.task(split, i) for split in SPLITS for i in range(TASKS)]


def test_the_solver_and_the_alternatives_win_within_the_turns(env: Environment) -> None:
    for task in some(env):
        gold = as_turns(env.gold(task))
        assert len(gold) <= env.max_turns
        for written in (gold, *env.alternatives(task)):
            score = recite(env, task, written)
            assert (score.value, score.solved, score.parts["progress"]) == (1.0, True, 1.0), written
        assert recite(env, task, gold).parts["turns"] == len(gold)
        assert recite(env, task, gold).parts["illegal"] == 0.0


def test_decoys_win_nothing_not_even_crumbs(env: Environment) -> None:
    for task in some(env):
        decoys = env.decoys(task)
        assert len(decoys) >= 20
        for written in decoys:
            score = recite(env, task, written)
            assert (score.value, score.solved) == (0.0, False), (task.id, written)


def test_a_laid_over_task_is_won_by_the_laid_over_answer_alone(env: Environment) -> None:
    found = [(env.shifted(task, random.Random(task.index)), task) for task in some(env)]
    changes = [(pair, task) for pair, task in found if pair is not None]
    assert len(changes) >= TASKS
    for (changed, answer), task in changes:
        assert recite(env, changed, answer).solved
        assert not recite(env, changed, env.gold(task)).solved


def test_the_examples_move_said_every_turn_wins_nothing(env: Environment) -> None:
    for i in range(60):
        task = env.task("train", i)
        assert not recite(env, task, (task.prompt[2].content,) * env.max_turns).solved


def test_nonsense_costs_turns_and_is_answered_until_they_are_used_up(env: Environment) -> None:
    task = env.task("train", 0)
    episode = env.episode(task)
    for _ in range(env.max_turns):
        step = episode.step(Message("assistant", "Let me think."))
        if step.score is not None:
            break
        assert "as the last line" in step.messages[0].content
    assert step.score is not None
    assert (step.score.value, step.score.parts["illegal"]) == (0.0, step.score.parts["turns"])
    assert step.score.parts["progress"] == 0.0


def test_hostile_text_is_answered_and_never_raises(env: Environment) -> None:
    task = env.task("test", 0)
    for text in HOSTILE:
        assert not recite(env, task, (text,) * env.max_turns).solved
        episode = env.episode(task)
        step = episode.step(Message("assistant", text))
        score = step.score or episode.give_up("cut off")
        assert (score.value, score.parts["illegal"]) == (0.0, 1.0), text[:40]


def test_an_episode_is_played_once(env: Environment) -> None:
    task = env.task("train", 1)
    episode = env.episode(task)
    for text in as_turns(env.gold(task)):
        episode.step(Message("assistant", text))
    with pytest.raises(EnvironmentFault, match="over"):
        episode.step(Message("assistant", "once more"))
    assert recite(env, task, "").value == 0.0  # another episode starts from the beginning


def test_what_one_task_asks_for_does_not_win_another(env: Environment) -> None:
    tasks = [env.task("train", i) for i in range(40)]
    pairs = zip(tasks, [*tasks[1:], tasks[0]], strict=True)
    assert sum(recite(env, task, env.gold(other)).solved for task, other in pairs) <= 8


@pytest.mark.parametrize("name", GAMES)
def test_options_that_leave_no_game_are_refused(name: str) -> None:
    wrong = {
        "gridworld": {"sides": (3, 3), "distance": (40, 50), "turns": 2},
        "mastermind": {"pegs": 6, "colours": 8},
        "minesweeper": {"rows": 3, "columns": 3, "mines": 8},
        "word_guess": {"letters": 9},
    }[name]
    with pytest.raises(ValueError, match=name):
        make_env(name, wrong)


@pytest.mark.parametrize(
    ("text", "move"),
    [
        ("Move: up", "up"),
        ("I see.\nMove:  up \n\n", "up"),
        ("Move: up\nthere", None),
        ("Move: up\nMove: up", None),
        ("So Move: up", None),
        ("move: up", None),
        ("Move:", None),
        ("Move: " + "u" * MAX_LINE, "u" * MAX_LINE),
        ("Move: " + "u" * (MAX_LINE + 1), None),
    ],
)
def test_the_last_line_alone_is_the_move(text: str, move: str | None) -> None:
    assert move_line(text, "Move:") == move
