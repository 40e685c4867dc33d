"""Gridworld: shortest ways, what a move costs, what is seen, and how little blind walking gets."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from minirl.envs import make_env, recite
from minirl.envs.games.grid import MOVES, World, picture, shortest_path, symmetries
from minirl.types import Message, Task

LOCKED = World.of(("A.#G", "k.D."))


def played(rows: tuple[str, ...], moves: int, *turns: str, **options: object) -> object:
    task = Task("gridworld", "train", 0, (), {"rows": list(rows), "moves": moves})
    return recite(make_env("gridworld", {"moves_per_turn": 4, "spare": 9, **options}), task, turns)


def slow_distance(world: World) -> int | None:
    """Relaxation over (cell, key held) until nothing changes: no queue, no order of moves."""
    far = {world.start: 0}
    for _ in range(2 * len(world.cells)):
        for state, steps in list(far.items()):
            for move in MOVES:
                after = world.after(state, move)
                if after is not None and far.get(after, 10**9) > steps + 1:
                    far[after] = steps + 1
    ends = [steps for (at, _), steps in far.items() if at == world.goal]
    return min(ends) if ends else None


@st.composite
def worlds(draw: st.DrawFn) -> World:
    height, width = draw(st.integers(2, 5)), draw(st.integers(2, 5))
    cells = draw(
        st.lists(st.sampled_from("...##"), min_size=height * width, max_size=height * width)
    )
    places = draw(st.permutations(range(height * width)))
    for at, mark in zip(places, draw(st.sampled_from(("AG", "AGkD"))), strict=False):
        cells[at] = mark
    return World.of(["".join(cells[r * width : (r + 1) * width]) for r in range(height)])


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_a_shortest_path_is_as_short_as_relaxation_finds_and_leads_there(world: World) -> None:
    path = shortest_path(world, world.start)
    assert (None if path is None else len(path)) == slow_distance(world)
    state = world.start
    for move in path or ():
        after = world.after(state, move)
        assert after is not None
        state = after
    assert path is None or state[0] == world.goal


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_a_world_laid_otherwise_is_walked_by_the_moves_laid_so(world: World) -> None:
    path = shortest_path(world, world.start)
    if path is None:
        return
    laid = symmetries(world, path)
    assert len(laid) == 7
    for other, moves in laid:
        state = other.start
        for move in moves:
            state = other.after(state, move) or (-1, False)
        assert state[0] == other.goal


def test_the_door_opens_only_with_the_key() -> None:
    assert shortest_path(LOCKED, LOCKED.start) == ("down", "right", "right", "right", "up")
    at, _ = LOCKED.start
    beside = (at + LOCKED.width + 1, False)
    assert LOCKED.after(beside, "right") is None
    assert LOCKED.after((beside[0], True), "right") is not None


def test_walking_into_something_costs_a_move_and_the_rest_of_the_line() -> None:
    rows = ("A.G", ".#.")
    blocked = played(rows, 4, "Move: down right right", "Move: up right right")
    assert (blocked.solved, blocked.parts["bumps"]) == (False, 1.0)
    assert blocked.parts["turns"] == 2.0
    bumped_up = played(rows, 5, "Move: up right right", "Move: right right")
    assert (bumped_up.solved, bumped_up.parts["bumps"]) == (True, 1.0)


def test_a_line_that_is_no_move_walks_nowhere_and_costs_one() -> None:
    for line in (
        "Move: right right left left right",
        "Move: right, right",
        "right right",
        "Move: N",
    ):
        assert not played(("A.G",), 2, line, "Move: right right").solved
        score = played(("A.G",), 3, line, "Move: right right")
        assert (score.solved, score.parts["illegal"]) == (True, 1.0)


def test_progress_is_the_share_of_the_way_and_earns_nothing() -> None:
    score = played(("A...G",), 9, "Move: right right right")
    assert (score.value, score.parts["progress"]) == (0.0, 0.75)


def test_what_is_far_away_is_not_shown() -> None:
    world = World.of(("A....", ".....", "..G.."))
    assert picture(world, world.start, 1) == "A . ? ? ?\n. . ? ? ?\n? ? ? ? ?"
    assert picture(world, world.start) == "A . . . .\n. . . . .\n. . G . ."


def test_the_reply_shows_the_new_position_and_the_compass() -> None:
    env = make_env("gridworld:1")
    task = Task("gridworld:1", "train", 0, (), {"rows": ["A..", "..G"], "moves": 4})
    episode = env.episode(task)
    reply = episode.step(Message("assistant", "Move: right")).messages[0].content
    assert reply == ". A .\n. . G\nGoal: 1 down, 1 right.\nMoves left: 3."


def test_every_door_is_needed_and_every_distance_is_in_range() -> None:
    for level in ("3", "4", "5"):
        env = make_env(f"gridworld:{level}")
        for i in range(60):
            task = env.task("train", i)
            world = World.of(task.data["rows"])
            way = shortest_path(world, world.start)
            near, far = env.config.distance
            assert way is not None
            assert near <= len(way) == task.data["moves"] - env.config.spare <= far
            if env.config.door:
                shut = World(world.cells.replace("D", "#"), world.width)
                assert shortest_path(shut, shut.start) is None


def test_no_fixed_walk_solves_a_fifth_of_level_1() -> None:
    env = make_env("gridworld:1")
    tasks = [env.task("train", i) for i in range(120)]
    for walk in product(MOVES, repeat=3):  # the fourth move only makes up for a turn without one
        lines = [f"Move: {move}" for move in walk]
        assert sum(recite(env, task, lines).solved for task in tasks) <= 0.2 * len(tasks)
