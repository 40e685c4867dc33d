"""Minesweeper: the numbers, proofs against every board that fits, and boards without a guess."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirl.envs import make_env, recite
from minirl.envs.games.minefield import Cell, Field, certain, picture, solution
from minirl.errors import ConfigError
from minirl.types import Message, Task

ROWS = ("*..", ".o.", "...", "..*")
TASK = Task("minesweeper", "train", 0, (), {"rows": list(ROWS)})


def possible_mines(field: Field, opened: frozenset[Cell]) -> list[frozenset[Cell]]:
    """Every way to lay as many mines that shows the same numbers, by trying all."""
    closed = sorted(set(field.cells) - opened)
    ways = (frozenset(mines) for mines in combinations(closed, len(field.mines)))
    return [
        mines
        for mines in ways
        if all(
            sum(max(abs(r - mr), abs(c - mc)) == 1 for mr, mc in mines) == field.numbers[r, c]
            for r, c in opened
        )
    ]


@st.composite
def fields(draw: st.DrawFn) -> Field:
    cells = draw(st.permutations(["o", *["*"] * draw(st.integers(1, 4)), *["."] * 12]))[:12]
    cells = cells if "o" in cells else ["o", *cells[1:]]
    return Field(tuple("".join(cells[i : i + 4]) for i in (0, 4, 8)))


@settings(max_examples=80, deadline=None)
@given(fields())
def test_what_is_certain_is_safe_on_every_board_that_fits(field: Field) -> None:
    opened = field.opened(field.first)
    found = certain(field, opened)
    assert all(mines.isdisjoint(found) for mines in possible_mines(field, opened))


@pytest.mark.parametrize("level", ["1", "3"])
def test_no_board_asks_for_a_guess(level: str) -> None:
    env = make_env(f"minesweeper:{level}")
    for i in range(10):
        field = Field(tuple(env.task("train", i).data["rows"]))
        opened = field.opened(field.first)
        for cells in solution(field) or ():
            ways = possible_mines(field, opened)
            assert ways
            assert all(mines.isdisjoint(cells) for mines in ways)
            for cell in cells:
                opened = field.opened(cell, opened)
        assert opened == field.safe


def test_the_smallest_level_has_a_thousand_test_tasks() -> None:
    env = make_env("minesweeper:1")
    assert env.size("test") is None
    assert len({tuple(env.task("test", i).data["rows"]) for i in range(1000)}) == 1000


def test_a_small_board_says_how_many_tasks_it_has() -> None:
    env = make_env("minesweeper", {"rows": 3, "columns": 4, "mines": 2})
    size = env.size("test")
    assert size is not None
    assert len({tuple(env.task("test", i).data["rows"]) for i in range(size)}) == size
    with pytest.raises(ConfigError, match="different problems"):
        env.task("test", size)


def test_a_guess_is_never_called_a_solution() -> None:
    assert solution(Field(("o*.", "...", "*.."))) is None
    assert solution(Field(("o..", "...", "..*"))) == ()


def test_the_numbers_count_the_eight_neighbours_and_zeros_open_around() -> None:
    field = Field(("o..", "...", "..*"))
    assert picture(field, field.opened(field.first)) == "  1 2 3\n1 0 0 0\n2 0 1 1\n3 0 1 #"
    closed = frozenset({(0, 0)})
    assert picture(field, closed) == "  1 2 3\n1 0 # #\n2 # # #\n3 # # #"


def test_a_mine_ends_the_game() -> None:
    env = make_env("minesweeper")
    score = recite(env, TASK, ("Open: 4 1, 1 1", "Open: 2 1"))
    assert (score.solved, score.reason) == (False, "opened the mine at 1 1")
    assert score.parts["progress"] > 0.0


@pytest.mark.parametrize(
    "line",
    ["2 2", "5 1", "1 2, 1 2", "0 1", "12", "1, 2", "1 2 1 3", "1 2;1 3", "\u0661 2", "1 2,"],
)
def test_what_is_no_closed_cell_opens_nothing(line: str) -> None:
    episode = make_env("minesweeper").episode(TASK)
    before = picture(Field(ROWS), frozenset({(1, 1)}))
    assert before in episode.step(Message("assistant", f"Open: {line}")).messages[0].content
    assert episode.give_up("").parts["illegal"] == 1.0


def test_a_line_opens_no_more_cells_than_a_turn_may() -> None:
    env = make_env("minesweeper", {"cells_per_turn": 2})
    assert recite(env, TASK, ("Open: 1 2, 1 3, 2 1",)).parts["illegal"] == 1.0
    assert recite(env, TASK, ("Open: 1 2, 1 3",)).parts["illegal"] == 0.0
