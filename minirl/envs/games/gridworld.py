"""Walk to the goal, turn by turn: around walls, through a door, in the dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import ClassVar

from pydantic import Field, model_validator

from minirl.envs.base import EnvConfig, Environment, Episode, Turns, opening
from minirl.envs.games.episode import Answer, GameEpisode
from minirl.envs.games.grid import (
    GOAL,
    MOVES,
    State,
    World,
    picture,
    shortest_path,
    symmetries,
)
from minirl.envs.games.grid_draw import Problem, open_worlds, random_rooms, random_world
from minirl.envs.recited import recite
from minirl.envs.registry import register
from minirl.envs.universe import Drawn, Listed, Universe
from minirl.types import Message, Split, Task

LABEL = "Move:"
LISTED_UP_TO = 7  # open grids with sides of 2..7 are some 19,000 problems


class GridworldConfig(EnvConfig):
    sides: tuple[int, int] = (3, 5)
    """Smallest and largest number of rows, and of columns."""
    distance: tuple[int, int] = (2, 6)
    """Fewest and most moves that a shortest way takes."""
    walls: float = Field(0.0, ge=0.0, le=0.6)
    """Share of the cells that are walls."""
    door: bool = False
    """Whether a wall with a door parts the start from the goal; its key lies on the start's side.
    """
    sight: int = Field(0, ge=0, le=12)
    """How many cells around it the walker sees; 0 shows the whole world."""
    compass: bool = False
    """Say in words which way the goal lies."""
    moves_per_turn: int = Field(1, ge=1, le=12)
    """How many moves one turn may hold."""
    spare: int = Field(1, ge=0, le=100)
    """Moves allowed beyond those of a shortest way."""
    turns: int = Field(32, ge=1, le=64)
    """Most turns of a game; a game also ends when its moves are used up."""
    worked_example: bool = True
    """Show one turn first. The tasks are the same without it."""

    @model_validator(mode="after")
    def _feasible(self) -> GridworldConfig:
        low, high = self.sides
        if not 2 <= low <= high <= 12:
            raise ValueError(f"sides need 2 <= low <= high <= 12, got [{low}, {high}]")
        near, far = self.distance
        if not 2 <= near <= far:
            raise ValueError(f"distance needs 2 <= low <= high, got [{near}, {far}]")
        if self.turns * self.moves_per_turn < far:
            raise ValueError(
                f"distance {far} is out of reach in {self.turns} turns of {self.moves_per_turn}"
            )
        if self.door and high < 3:
            raise ValueError(f"a door needs sides of at least 3, got [{low}, {high}]")
        return self


# Its way is shorter than that of any task.
EXAMPLE = World.of(("..G", ".A.", "..."))


@register
class Gridworld(Environment[GridworldConfig]):
    """Walk to a goal on a grid, turn by turn."""

    name = "gridworld"
    Config = GridworldConfig
    levels: ClassVar = {
        "1": {"sides": (3, 5), "distance": (2, 3), "compass": True, "turns": 4},
        "2": {"sides": (3, 5), "distance": (3, 5), "moves_per_turn": 3, "turns": 4},
        "3": {
            "sides": (5, 5),
            "distance": (4, 9),
            "walls": 0.3,
            "moves_per_turn": 4,
            "spare": 2,
            "turns": 6,
        },
        "4": {
            "sides": (5, 6),
            "distance": (6, 14),
            "walls": 0.1,
            "door": True,
            "moves_per_turn": 5,
            "spare": 4,
            "turns": 8,
        },
        "5": {
            "sides": (8, 8),
            "distance": (9, 24),
            "walls": 0.2,
            "door": True,
            "moves_per_turn": 6,
            "spare": 4,
            "turns": 10,
        },
        "6": {
            "sides": (8, 8),
            "distance": (9, 24),
            "walls": 0.2,
            "door": True,
            "sight": 2,
            "moves_per_turn": 4,
            "spare": 30,
            "turns": 20,
        },
    }

    def __init__(self, config: GridworldConfig, *, level: str | None = None) -> None:
        super().__init__(config, level=level)
        self.max_turns = min(config.turns, config.distance[1] + config.spare)

    def task(self, split: Split, index: int) -> Task:
        problem = self._universe.pick(split, index)
        return self._task(problem, split, index)

    def gold(self, task: Task) -> tuple[str, ...]:
        return self._lines(_way(task))

    def decoys(self, task: Task) -> Sequence[Turns]:
        path = _way(task)
        last = path[-1]
        everyone = "\n".join(m.content for m in task.prompt)
        per_turn = self.config.moves_per_turn
        too_many = " ".join([*path, *(path[-1:] * per_turn)])
        back = {"up": "down", "down": "up", "left": "right", "right": "left"}
        wide = last.translate({c: c + 0xFEE0 for c in map(ord, last)})
        turns = self.max_turns
        return (
            "",
            LABEL,
            everyone,
            self._lines(path[:-1]) or "",  # stops short
            self._lines([*path[:-1], back[last]]),
            (f"{LABEL} {too_many}",) * turns,  # more moves than a turn holds
            ("\n".join(f"{LABEL} {move}" for move in path),) * turns,  # several move lines
            (f"{LABEL} {last}\n{LABEL} {back[last]}",) * turns,
            (f"{LABEL} {' or '.join(MOVES)}",) * turns,
            (f"{LABEL} {last}\nI have reached the goal.",) * turns,
            (f"{LABEL} the goal",) * turns,
            ("I walk to the goal G. You win!",) * turns,
            (f"{LABEL} {GOAL}",) * turns,
            (f"{LABEL} {last[0]}",) * turns,
            (f"{LABEL} {last.upper()}",) * turns,
            (f"{LABEL} {wide}",) * turns,
            (f"{LABEL} {last}\u200b",) * turns,
            (f"{LABEL} 99999999999 {last}",) * turns,
            (f"{LABEL} {last}*{len(path)}",) * turns,
            (f"move: {last}",) * turns,
            (f"**{LABEL}** {last}",) * turns,
            (" ".join(path),) * turns,
            *self._walks_that_fail(task),
        )

    def alternatives(self, task: Task) -> Sequence[Turns]:
        world, path = _world(task), _way(task)
        other = shortest_path(world, world.start, MOVES[::-1])
        spoken = [f"The goal is not far.\n\n{line}  \n" for line in self._lines(path)]
        ways = [spoken]
        if other is not None and other != path:
            ways.append(list(self._lines(other)))
        if len(path) <= self.config.turns:
            ways.append([f"{LABEL} {move}" for move in path])
        return [tuple(way) for way in ways]

    def shifted(self, task: Task, rng: Random) -> tuple[Task, Turns] | None:
        old = self.gold(task)
        laid = symmetries(_world(task), _way(task))
        for world, path in rng.sample(laid, len(laid)):
            changed = self._task(Problem(world, len(path)), task.split, task.index)
            if not recite(self, changed, old).solved:
                return changed, self._lines(path)
        return None

    def size(self, split: Split) -> int | None:
        return self._universe.size(split)

    def episode(self, task: Task) -> Episode:
        return _Walk(self.config, task.prompt, _world(task), task.data["moves"], self._form)

    def _task(self, problem: Problem, split: Split, index: int) -> Task:
        world, moves = problem.world, problem.moves + self.config.spare
        example = None
        if self.config.worked_example:
            example = (
                view(EXAMPLE, EXAMPLE.start, 3, self.config),
                f"{LABEL} {' '.join(self._example_way)}",
            )
        question = view(world, world.start, moves, self.config)
        data = {"rows": list(world.rows), "moves": moves, "key": world.key}
        return Task(self.label, split, index, opening(self._system, question, example), data)

    def _lines(self, path: Sequence[str]) -> tuple[str, ...]:
        step = self.config.moves_per_turn
        chunks = [path[i : i + step] for i in range(0, len(path), step)]
        return tuple(f"{LABEL} {' '.join(chunk)}" for chunk in chunks)

    def _walks_that_fail(self, task: Task) -> list[Turns]:
        """Blind walks: one direction again and again, into walls included, and zigzags."""
        blind = [(move,) * 2 for move in MOVES]
        blind += [(a, b) for a in ("up", "down") for b in ("left", "right")]
        lines = [self._lines((pair * task.data["moves"])[: task.data["moves"]]) for pair in blind]
        return [walk for walk in lines if not recite(self, task, walk).solved]

    @cached_property
    def _example_way(self) -> tuple[str, ...]:
        return ("up", "right")[: min(self.config.moves_per_turn, self.config.distance[0] - 1)]

    @property
    def _form(self) -> str:
        if self.config.moves_per_turn == 1:
            return f"Write one move as the last line: {', '.join(map(_quoted, MOVES))}."
        return (
            f"Write 1 to {self.config.moves_per_turn} moves as the last line, such as "
            f"{_quoted('up right')}. Moves are {', '.join(MOVES)}."
        )

    @property
    def _system(self) -> str:
        options = self.config
        return " ".join(
            [
                "Walk A to the goal G, turn by turn.",
                *(["# is a wall."] if options.walls or options.door else []),
                *(["The door D opens when A has been on the key k."] if options.door else []),
                *(["? is too far away to see."] if options.sight else []),
                self._form,
            ]
        )

    @cached_property
    def _universe(self) -> Universe[Problem]:
        options = self.config
        if not options.walls and not options.door and options.sides[1] <= LISTED_UP_TO:
            every = open_worlds(options.sides, options.distance)
            problems = (p for p in every if self._fair(p))
            return Listed(self.name, problems, lambda p: p.world.key)
        shape = (options.sides, options.distance, options.walls, options.door)
        return Drawn(f"{self.name} of {shape}", self._draw, lambda p: p.world.key)

    def _draw(self, rng: Random) -> Problem | None:
        options = self.config
        draw = random_rooms if options.door else random_world
        problem = draw(rng, options.sides, options.distance, options.walls)
        return problem if problem is not None and self._fair(problem) else None

    def _fair(self, problem: Problem) -> bool:
        """Not the example's world, and not won by saying the example's line again and again."""
        world, state, left = problem.world, problem.world.start, problem.moves + self.config.spare
        for _ in range(self.max_turns):
            for move in self._example_way[:left]:
                left -= 1
                there = world.after(state, move)
                if there is None:
                    break
                state = there
                if state[0] == world.goal:
                    return False
        return world != EXAMPLE


class _Walk(GameEpisode):
    """Moves are used up by steps, by walking into things, and by turns without a move."""

    def __init__(
        self,
        config: GridworldConfig,
        prompt: tuple[Message, ...],
        world: World,
        moves: int,
        form: str,
    ) -> None:
        super().__init__(prompt, label=LABEL, form=form, turns=config.turns)
        self._config, self._world, self._moves = config, world, moves
        self._state = world.start
        self._bumps = 0

    def play(self, move: str) -> Answer:
        words = move.split(" ")
        if len(words) > self._config.moves_per_turn:
            return self.refused("Those are too many moves.")
        if not all(word in MOVES for word in words):
            return self.refused()
        for word in words[: self._moves]:
            self._moves -= 1
            there = self._world.after(self._state, word)
            if there is None:
                self._bumps += 1
                return Answer(f"You cannot go {word} there.")
            self._state = there
            if there[0] == self._world.goal:
                return Answer("reached the goal", over=True, won=True)
        return Answer("")

    def refused(self, why: str = "That is not a move.") -> Answer:
        self._moves -= 1
        return super().refused(why)

    def left(self) -> int:
        return min(self._moves, super().left())

    def view(self) -> str:
        return view(self._world, self._state, self._moves, self._config)

    def progress(self) -> float:
        before, now = (
            len(shortest_path(self._world, state) or ())
            for state in (self._world.start, self._state)
        )
        return max(0.0, 1.0 - now / before)

    def details(self) -> Mapping[str, float]:
        return {"bumps": float(self._bumps)}


def view(world: World, state: State, moves: int, config: GridworldConfig) -> str:
    """What the walker sees and is told."""
    told = [picture(world, state, config.sight)]
    if config.compass:
        told.append(f"Goal: {_bearing(*world.across(state[0]))}.")
    if state[1]:
        told.append("You hold the key.")
    told.append(f"Moves left: {moves}.")
    return "\n".join(told)


def _world(task: Task) -> World:
    return World.of(task.data["rows"])


def _way(task: Task) -> tuple[str, ...]:
    world = _world(task)
    return shortest_path(world, world.start) or ()


def _bearing(down: int, right: int) -> str:
    vertical = f"{abs(down)} {'down' if down > 0 else 'up'}"
    horizontal = f"{abs(right)} {'right' if right > 0 else 'left'}"
    return ", ".join([*([vertical] if down else []), *([horizontal] if right else [])])


def _quoted(move: str) -> str:
    return f"'{LABEL} {move}'"
