"""Where gridworld's worlds come from: every open one, or random ones with walls and a door.

A draw walks out from the goal, or from the key, once, and then chooses among the cells that lie at
a distance asked for; drawing both ends and throwing away what does not fit takes many times longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from minirl.envs.games.grid import DOOR, FREE, GOAL, KEY, START, WALL, World, distances, transposed

# Smallest and largest, both ends included.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Problem:
    """A world, and how many moves its shortest way takes."""

    world: World
    moves: int


def open_worlds(sides: Span, distance: Span) -> Iterator[Problem]:
    """Every world without walls whose goal lies so many moves away."""
    near, far = distance
    low, high = sides
    shapes = [(h, w) for h in range(low, high + 1) for w in range(low, high + 1)]
    for height, width in shapes:
        ground = World.of([FREE * width] * height)
        free = [at for at, cell in enumerate(ground.cells) if cell == FREE]
        for goal in free:
            reach = distances(ground, goal)
            for start in free:
                if near <= reach[start] <= far:
                    yield Problem(ground.placed({start: START, goal: GOAL}), reach[start])


def random_world(rng: Random, sides: Span, distance: Span, walls: float) -> Problem | None:
    """A world with about that share of walls; None where the draw has no such distance."""
    height, width = rng.randint(*sides), rng.randint(*sides)
    ground = World.of(_ground(rng, height, width, walls))
    free = [at for at, cell in enumerate(ground.cells) if cell == FREE]
    if not free:
        return None
    goal = rng.choice(free)
    reach = distances(ground, goal)
    starts = [at for at in free if distance[0] <= reach.get(at, 0) <= distance[1]]
    if not starts:
        return None
    start = rng.choice(starts)
    return Problem(ground.placed({start: START, goal: GOAL}), reach[start])


def random_rooms(rng: Random, sides: Span, distance: Span, walls: float) -> Problem | None:
    """Two rooms that share a wall with a door; start and key in one, the goal in the other.

    So the way leads over the key and the door, and its two legs are shortest ways of their own.
    """
    height, width = max(3, rng.randint(*sides)), rng.randint(*sides)
    wall, door = rng.randrange(1, height - 1), rng.randrange(width)
    rows = _ground(rng, height, width, walls)
    rows[wall] = WALL * door + DOOR + WALL * (width - door - 1)
    for row in (wall - 1, wall + 1):  # a door that opens onto a wall would be none
        rows[row] = rows[row][:door] + FREE + rows[row][door + 1 :]
    ground = World.of(rows)
    free = [at for at, cell in enumerate(ground.cells) if cell == FREE]
    border = ground.cells.index(DOOR)  # no other cell of that row is free
    rooms = [at for at in free if at < border], [at for at in free if at > border]
    here, beyond = rooms if rng.random() < 0.5 else rooms[::-1]
    key = rng.choice(here)
    reach = distances(ground, key)
    goals = [at for at in beyond if at in reach]
    if not goals:
        return None
    goal = rng.choice(goals)
    near, far = (limit - reach[goal] for limit in distance)
    starts = [at for at in here if at != key and near <= reach.get(at, far + 1) <= far]
    if not starts:
        return None
    start = rng.choice(starts)
    world = ground.placed({start: START, key: KEY, goal: GOAL})
    laid = world if rng.random() < 0.5 else World.of(transposed(world.rows))
    return Problem(laid, reach[start] + reach[goal])


def _ground(rng: Random, height: int, width: int, walls: float) -> list[str]:
    draw = rng.random
    return [
        "".join([WALL if draw() < walls else FREE for _ in range(width)]) for _ in range(height)
    ]
