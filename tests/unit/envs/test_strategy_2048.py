"""2048 as "write a strategy": the rules, the words of a task, what hostile strategies get."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from minirl.envs import make_env
from minirl.envs.code.answer import fenced
from minirl.envs.strategy_2048 import solver
from minirl.envs.strategy_2048.dialect import FORMS, NAMES, move_named, shown
from minirl.envs.strategy_2048.env import Strategy2048
from minirl.envs.strategy_2048.game import MOVES, Board, largest, legal, slide, spawn, start
from minirl.errors import ConfigError, UnknownGold
from minirl.types import Task

EASY: dict[str, Any] = {"size": 4, "target": 32, "boards": 2, "wins": 2}


def easy(function: str = "play", names: str = "words", form: str = "rows") -> Task:
    data = {"function": function, "names": names, "form": form, "fours": 10, "tiles": 2, "key": "k"}
    return Task("strategy_2048", "train", 0, (), data)


def score_of(source: str, **options: Any) -> Any:
    env = make_env("strategy_2048", {**EASY, **options})
    return env.score(easy(), fenced(source))


@pytest.mark.parametrize(
    ("row", "slid"),
    [
        ((0, 2, 0, 2), (4, 0, 0, 0)),
        ((2, 2, 2, 2), (4, 4, 0, 0)),
        ((2, 2, 4, 0), (4, 4, 0, 0)),  # what a move has merged does not merge again
        ((4, 2, 2, 0), (4, 4, 0, 0)),
        ((2, 2, 2, 0), (4, 2, 0, 0)),
        ((2, 4, 2, 4), (2, 4, 2, 4)),
        ((0, 0, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_a_row_slides_and_merges_once_and_all_ways_alike(
    row: tuple[int, ...], slid: tuple[int, ...]
) -> None:
    rest: Board = ((0,) * 4,) * 3
    assert slide((row, *rest), "left")[0] == slid
    assert slide((row[::-1], *rest), "right")[0] == slid[::-1]
    column = tuple((x, 0, 0, 0) for x in row)
    assert tuple(r[0] for r in slide(column, "up")) == slid
    assert tuple(r[0] for r in slide(column[::-1], "down")) == slid[::-1]


def test_sliding_keeps_the_sum_and_legal_moves_are_those_that_change_the_board() -> None:
    rng = Random(0)
    board = start(4, 2, 0.3, rng)
    for _ in range(300):
        moves = legal(board)
        for move in MOVES:
            after = slide(board, move)
            assert sum(map(sum, after)) == sum(map(sum, board))
            assert (after != board) == (move in moves)
        if not moves:
            break
        board = spawn(slide(board, rng.choice(moves)), 0.3, rng)
    assert moves == ()
    assert all(all(row) for row in board)


def test_new_tiles_are_fours_in_the_given_share() -> None:
    rng = Random(1)
    tiles = [largest(start(3, 1, 0.25, rng)) for _ in range(2000)]
    assert set(tiles) == {2, 4}
    assert 0.22 < tiles.count(4) / 2000 < 0.28


def test_every_form_shows_the_same_board() -> None:
    board: Board = ((2, 0, 4), (0, 8, 0), (0, 0, 1024))
    assert shown(board, "rows") == [[2, 0, 4], [0, 8, 0], [0, 0, 1024]]
    assert shown(board, "columns") == [[2, 0, 0], [0, 8, 0], [4, 0, 1024]]
    assert shown(board, "flat") == [2, 0, 4, 0, 8, 0, 0, 0, 1024]
    assert shown(board, "powers") == [[1, 0, 2], [0, 3, 0], [0, 0, 10]]


def test_moves_have_exact_names() -> None:
    for names, words in NAMES.items():
        assert [move_named(word, names) for word in words] == list(MOVES)
    for wrong in ("UP", "up ", "", 0, None, True, ["up"], "0"):
        assert move_named(wrong, "words") is None


@pytest.mark.parametrize("form", list(FORMS))
def test_our_strategy_wins_in_every_form_and_naming(form: str) -> None:
    env = make_env("strategy_2048", {**EASY, "target": 128, "told": form == "rows"})
    for names in list(NAMES)[list(FORMS).index(form) :: 2]:
        source = solver.winning("play", names, form)
        score = env.score(easy(names=names, form=form), fenced(source))
        assert (score.value, score.solved) == (1.0, True), (names, score)
        assert score.parts["won"] == score.parts["progress"] == 1.0
        assert score.parts["moves"] > 50  # a 128 takes at least that many


def test_no_gold_is_claimed_beyond_what_was_measured() -> None:
    env = make_env("strategy_2048", {"size": 3, "target": 128})
    with pytest.raises(UnknownGold, match="128"):
        env.gold(env.task("train", 0))
    env = make_env("strategy_2048", {"target": 256, "boards": 5, "wins": 5})
    with pytest.raises(UnknownGold, match="5 of 5 boards"):
        env.gold(env.task("train", 0))


HOSTILE = {
    "one way": "def play(board, moves):\n    return 'left'",
    "not named so": "def play(board, moves):\n    return 'L'",
    "a number": "def play(board, moves):\n    return 2",
    "a list": "def play(board, moves):\n    return moves",
    "nothing": "def play(board, moves):\n    pass",
    "raises": "def play(board, moves):\n    return moves[9]",
    "wrong arguments": "def play(board):\n    return 'left'",
    "changes the board": "def play(board, moves):\n    board[0][0] = 32\n    return 'left'",
    "endless": "def play(board, moves):\n    while True:\n        pass",
    "endless at the fifth": (
        "seen = []\n\ndef play(board, moves):\n    seen.append(1)\n"
        "    while len(seen) > 5:\n        pass\n    return moves[0]"
    ),
    "exit": "import os\n\ndef play(board, moves):\n    os._exit(0)",
    "equal to all": (
        "class A:\n    def __eq__(self, other):\n        return True\n"
        "    def __hash__(self):\n        return 0\n\ndef play(board, moves):\n    return A()"
    ),
    "a str that is not one": "class S(str):\n    pass\n\ndef play(b, m):\n    return S(m[0])",
    "frames": (
        "import sys\n\ndef play(board, moves):\n    f = sys._getframe()\n    while f.f_back:\n"
        "        f = f.f_back\n    f.f_locals['won'] = 9\n    return 'won'"
    ),
    "huge": "def play(board, moves):\n    return moves[0] * 10 ** 9",
    "not Python": "def play(board, moves) -> left",
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_strategies_lose(name: str) -> None:
    score = score_of(HOSTILE[name])
    assert (score.value, score.solved, score.parts["lenient"]) == (0.0, False, 0.0), score
    assert score.parts["format"] == 1.0
    assert score.reason.startswith("won 0 of 2")


def test_after_hostile_strategies_an_honest_one_wins_alone_and_in_a_batch() -> None:
    env = make_env("strategy_2048", EASY)
    good = fenced(solver.winning("play", "words", "rows"))
    texts = [good, fenced(HOSTILE["one way"]), good, "", fenced(HOSTILE["exit"]), good]
    together = env.score_many([(easy(), text) for text in texts])
    assert [score.solved for score in together] == [True, False, True, False, False, True]
    assert together == [env.score(easy(), text) for text in texts]


def test_a_trivial_legal_strategy_wins_sometimes_at_the_first_level_only() -> None:
    def rate(level: str, count: int) -> float:
        env = make_env(f"strategy_2048:{level}")
        tasks = [env.task("train", i) for i in range(count)]
        texts = [fenced(solver.first_legal(task.data["function"])) for task in tasks]
        scores = env.score_many(list(zip(tasks, texts, strict=True)))
        return sum(score.solved for score in scores) / len(tasks)

    assert 0.3 < rate("1", 16) < 1.0
    assert rate("3", 6) == 0.0


def test_an_illegal_move_ends_the_board_and_progress_is_only_a_part() -> None:
    score = score_of(HOSTILE["one way"], target=2048, boards=3, wins=1)
    assert score.value == 0.0
    assert 0 < score.parts["progress"] < 0.6
    assert "no legal move" in score.reason


def test_the_boards_depend_on_the_program() -> None:
    one = score_of("def play(board, moves):\n    return moves[0]", target=2048)
    two = score_of("def play(board, moves):\n    return moves[0]  # again", target=2048)
    assert one.parts != two.parts
    assert one == score_of("def play(board, moves):\n    return moves[0]", target=2048)


def test_the_right_strategy_in_another_form_is_lenient() -> None:
    env = make_env("strategy_2048", EASY)
    score = env.score(easy(), solver.winning("other_name", "words", "rows"))
    assert (score.value, score.parts["format"], score.parts["lenient"]) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("level", list(Strategy2048.levels))
def test_gold_and_alternatives_win_and_decoys_do_not(level: str) -> None:
    env = make_env(f"strategy_2048:{level}")
    task = env.task("test", int(level))
    for text in (env.gold(task), *env.alternatives(task)):
        score = env.score(task, text)
        assert (score.value, score.solved) == (1.0, True), score
    for text, score in zip(
        env.decoys(task), env.score_many([(task, t) for t in env.decoys(task)]), strict=True
    ):
        assert (score.value, score.solved) == (0.0, False), (text, score)


def test_the_statement_says_all_the_rules() -> None:
    env = make_env("strategy_2048:2")
    task = env.task("train", 3)
    text = task.prompt[-1].content
    assert f"def {task.data['function']}" not in text
    assert f"function {task.data['function']}(board, moves)" in text
    assert f"{task.data['fours']} %" in text
    assert FORMS[task.data["form"]] in text
    assert all(repr(name) in text for name in NAMES[task.data["names"]])
    assert "a tile of 128" in text
    assert "win 3 of them" in text


@pytest.mark.parametrize("options", [{"size": 2}, {"target": 100}, {"wins": 9}])
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_env("strategy_2048", options)
