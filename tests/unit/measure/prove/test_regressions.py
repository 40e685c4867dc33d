"""Which environments a proof looks at besides the trained one."""

from __future__ import annotations

from typing import Any

import pytest

from minirl.config import parse_recipe
from minirl.envs import make_env
from minirl.errors import ConfigError
from minirl.measure.prove.regressions import Suite, suites

LADDER = '''
from pydantic import Field
from minirl.envs import EnvConfig, Environment
from minirl.types import Message, Score, Task


class Config(EnvConfig):
    size: int = 1
    colour: str = "red"


class Ladder(Environment[Config]):
    """Counts."""

    name = "ladder"
    Config = Config
    levels = {"low": {"size": 1}, "middle": {}, "high": {"size": 3}}

    def task(self, split, index):
        prompt = (Message("user", f"{self.config.size} {self.config.colour} {index}"),)
        return Task(self.label, split, index, prompt)

    def gold(self, task):
        return "yes"

    def decoys(self, task):
        return ("no",)

    def score(self, task, text):
        return Score(float(text == "yes"), text == "yes")

    def size(self, split):
        return 7
'''


def chosen(name: str, options: dict[str, Any] | None = None, **prove: Any) -> list[Suite]:
    env = {"name": name, "options": options or {}}
    recipe = parse_recipe({"env": env, "prove": prove}, source="test")
    return suites(recipe, make_env(name, options))


def labels(found: list[Suite]) -> list[tuple[str, str]]:
    return [(suite.env.label, suite.kind) for suite in found]


@pytest.mark.parametrize(
    ("name", "siblings"),
    [
        ("arithmetic:1", ["arithmetic:2"]),
        ("arithmetic:3", ["arithmetic:2", "arithmetic:4"]),
        ("arithmetic:5", ["arithmetic:4"]),
        ("arithmetic", []),
    ],
)
def test_the_levels_beside_the_trained_one_and_an_unrelated_environment(name, siblings):
    found = chosen(name, regression_tasks=3)
    expected = [(s, "sibling") for s in siblings]
    assert labels(found) == [*expected, ("sort_words:3", "unrelated")]


def test_the_unrelated_one_is_of_another_kind():
    found = labels(chosen("sort_words:4", regression_tasks=2))
    assert found == [
        ("sort_words:3", "sibling"),
        ("sort_words:5", "sibling"),
        ("arithmetic:1", "unrelated"),
    ]


def test_tasks_are_the_first_held_out_ones():
    for suite in chosen("arithmetic:2", regression_tasks=5):
        assert suite.tasks == [suite.env.task("test", i) for i in range(5)]


def test_a_small_split_gives_what_it_has():
    easy = chosen("arithmetic:2", regression_tasks=500)[0]
    size = easy.env.size("test")
    assert size is not None
    assert len({t.id for t in easy.tasks}) == len(easy.tasks) == size < 500


def test_no_tasks_no_suite():
    assert chosen("arithmetic:2", regression_tasks=0) == []
    assert chosen("arithmetic:2", regressions=["nonsense"], regression_tasks=0) == []


def test_named_ones_take_the_place_of_the_chosen_ones():
    names = ["arithmetic:5", "sort_words:8", "arithmetic:5"]
    found = chosen("arithmetic:2", regressions=names, regression_tasks=2)
    assert labels(found) == [("arithmetic:5", "sibling"), ("sort_words:8", "unrelated")]


@pytest.mark.parametrize("name", ["nonsense", "arithmetic:99", "./nowhere.py:Env"])
def test_a_name_that_cannot_be_used(name):
    with pytest.raises(ConfigError):
        chosen("arithmetic:2", regressions=["sort_words:3", name])


def test_the_runs_options_go_along_but_not_what_makes_a_level():
    options = {"worked_example": False, "left": (50, 60)}
    found = chosen("arithmetic:4", options, regression_tasks=2)
    for suite in found[:2]:
        plain = make_env(suite.env.label, {"worked_example": False})
        assert suite.env.config == plain.config
    assert found[-1].env.config.worked_example  # an option of arithmetic, not of sort_words


def test_a_local_file(tmp_path):
    """Its middle level takes a default where the others set a size: that option stays behind,
    too.
    """
    path = tmp_path / "ladder.py"
    path.write_text(LADDER)
    spec = f"{path}:Ladder"
    options = {"size": 2, "colour": "blue"}
    low, high, other = chosen(f"{spec}:middle", options, regression_tasks=50)
    assert labels([low, high, other])[:2] == [("ladder:low", "sibling"), ("ladder:high", "sibling")]
    assert other.kind == "unrelated"
    assert (low.env.config.size, low.env.config.colour) == (1, "blue")
    assert len(low.tasks) == 7
    middle, _ = chosen(f"{spec}:high", {"size": 9}, regression_tasks=1)
    assert middle.env.config.size == 1  # middle's own, and not high's 9
    assert labels(chosen(spec, regression_tasks=1)) == [("sort_words:3", "unrelated")]
