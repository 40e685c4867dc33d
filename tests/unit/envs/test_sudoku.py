"""Sudoku: the rules and the givens decide."""

from __future__ import annotations

from itertools import islice, product
from math import isqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirl.envs import make_env
from minirl.envs.sudoku import BLANK, Sudoku, solutions, solved_grid, solves, unwritten, written
from minirl.errors import ConfigError
from minirl.types import Task

GIVENS = "_142423114232314"
SOLVED = "3142423114232314"


def is_sudoku(grid: str) -> bool:
    """The rules, written down anew: no two equal digits see each other."""
    size = isqrt(len(grid))
    box = isqrt(size)
    cells = [(r, c) for r in range(size) for c in range(size)]
    for (r, c), (s, d) in product(cells, cells):
        seen = r == s or c == d or (r // box, c // box) == (s // box, d // box)
        if (r, c) != (s, d) and seen and grid[size * r + c] == grid[size * s + d]:
            return False
    return set(grid) <= set("123456789"[:size])


def by_trying(givens: str) -> set[str]:
    """All solutions of a small puzzle, by trying every digit in every blank."""
    found = set()
    for digits in product("1234", repeat=givens.count(BLANK)):
        rest = iter(digits)
        grid = "".join(next(rest) if cell == BLANK else cell for cell in givens)
        if is_sudoku(grid):
            found.add(grid)
    return found


def test_there_are_288_small_grids() -> None:
    grids = set(solutions(BLANK * 16))
    assert len(grids) == 288
    assert all(is_sudoku(grid) for grid in grids)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 287), st.sets(st.integers(0, 15), max_size=5), st.integers(0, 10**9))
def test_the_rules_agree_with_trying_everything(at: int, blank: set[int], seed: int) -> None:
    solved = solved_grid(4, Random(at))
    givens = "".join(BLANK if i in blank else digit for i, digit in enumerate(solved))
    assert set(solutions(givens)) == by_trying(givens)
    rng = Random(seed)
    guess = "".join(rng.choice("1234") if c == BLANK else c for c in givens)
    assert solves(guess, givens) == (guess in by_trying(givens))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 80), st.sampled_from("123456789"))
def test_a_large_grid_is_right_until_one_cell_changes(seed: int, at: int, digit: str) -> None:
    grid = solved_grid(9, Random(seed))
    assert is_sudoku(grid)
    assert solves(grid, BLANK * 81)
    changed = grid[:at] + digit + grid[at + 1 :]
    assert solves(changed, BLANK * 81) == (changed == grid)


def test_a_right_grid_with_another_given_is_wrong() -> None:
    other = SOLVED.translate(str.maketrans("1234", "2341"))
    assert is_sudoku(other)
    assert not solves(other, GIVENS)
    assert solves(SOLVED, GIVENS)


@pytest.mark.parametrize(
    "slot",
    [
        "3142423114232314",
        "3142,4231,1423,2314",
        "3142 4231 1423",
        "3142 4231 1423 2314 2314",
        "3142 4231 1423 231",
        "314 24231 1423 2314",
        "_142 4231 1423 2314",
        "4142 4231 1423 2314",
        "\uff13142 4231 1423 2314",
        "3142\u00a04231 1423 2314",
        "1" * 100_000,
        "1 " * 50_000,
    ],
)
def test_wrong_slots_score_zero(slot: str) -> None:
    env = make_env("sudoku:1")
    task = Task("sudoku:1", "train", 0, (), {"givens": GIVENS, "solution": SOLVED})
    assert env.score(task, f"Answer: {written(SOLVED)}").solved
    assert env.score(task, f"Answer: {slot}").value == 0.0


def test_the_rows_in_a_column_are_lenient() -> None:
    env = make_env("sudoku:2")
    task = env.task("train", 0)
    rows = "\n".join(written(task.data["solution"]).split())
    score = env.score(task, f"It is\n{rows}")
    assert (score.value, score.parts["lenient"]) == (0.0, 1.0)


@pytest.mark.parametrize("level", list(Sudoku.levels))
def test_puzzles_have_their_blanks_and_every_declared_solution_is_one(level: str) -> None:
    env = make_env(f"sudoku:{level}")
    several = 0
    for i in range(12):
        task = env.task("train", i)
        givens, solution = task.data["givens"], task.data["solution"]
        assert givens.count(BLANK) == env.config.blanks
        assert len(givens) == env.config.size**2
        assert is_sudoku(solution)
        assert all(g in (BLANK, d) for g, d in zip(givens, solution, strict=True))
        others = [unwritten(str(a).removeprefix("Answer: ")) for a in env.alternatives(task)]
        several += bool(others)
        for other in others:
            assert other != solution
            assert is_sudoku(other)
            assert all(g in (BLANK, d) for g, d in zip(givens, other, strict=True))
            assert env.score(task, f"Answer: {written(other)}").solved
    if level in ("4", "7"):
        assert several > 0  # accepting one solution only would be wrong


def test_renaming_digits_renames_the_solution() -> None:
    env = make_env("sudoku:5")
    task = env.task("test", 0)
    shifted = env.shifted(task, Random(1))
    assert shifted is not None
    changed, answer = shifted
    assert env.score(changed, str(answer)).solved
    assert not env.score(changed, str(env.gold(task))).solved


def test_the_solver_finds_several_solutions_of_a_large_puzzle() -> None:
    grid = solved_grid(9, Random(3))
    givens = BLANK * 50 + grid[50:]
    found = list(islice(solutions(givens), 20))
    assert len(set(found)) == 20
    assert all(is_sudoku(f) and f[50:] == grid[50:] for f in found)


@pytest.mark.parametrize("options", [{"size": 4, "blanks": 13}, {"blanks": 0}, {"blanks": 65}])
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="blanks"):
        make_env("sudoku", options)
