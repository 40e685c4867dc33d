"""Finding environments by name, entry point and file, and the errors on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from minirl.envs import Environment, list_envs, make_env, register, registry
from minirl.errors import ConfigError, EnvironmentFault, UnknownNameError

WHOLE = '''
"""A file of the user's."""
from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from minirl.envs import EnvConfig, Environment, opening
from minirl.types import Score, Task


class MyConfig(EnvConfig):
    shift: int = Field(0, ge=0)
    """How much to add."""


class MyEnv(Environment[MyConfig]):
    """Says numbers."""

    name = "mine"
    Config = MyConfig
    levels = {"far": {"shift": 100}, "bad": {"shift": -1}}

    def task(self, split, index):
        value = 2 * (index + self.config.shift) + (split == "test")
        return Task(self.label, split, index, opening("Echo.", str(value)), {"value": value})

    def gold(self, task) -> str:
        return str(task.data["value"])

    def decoys(self, task) -> Sequence[str]:
        return [""]

    def score(self, task, text) -> Score:
        good = text == self.gold(task)
        return Score(float(good), good)
'''

PARTIAL = """
from minirl.envs import Environment

class Half(Environment):
    name = "half"
    def task(self, split, index):
        return None

class Turns(Half):
    max_turns = 3
    def gold(self, task):
        return "x"
    def decoys(self, task):
        return []
"""


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """Pretend that installed packages offer these entry points."""
    (tmp_path / "offered_envs.py").write_text(WHOLE)
    (tmp_path / "offered_broken.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))

    def pretend(*pairs: tuple[str, str]) -> None:
        points = [EntryPoint(name, value, registry.ENTRY_POINTS) for name, value in pairs]
        monkeypatch.setattr(registry, "_entry_points", lambda: points)

    yield pretend
    sys.modules.pop("offered_envs", None)


def write(tmp_path: Path, text: str, name: str = "my_env.py") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_name_a_level_and_options() -> None:
    env = make_env("arithmetic:3", {"operators": "-"})
    assert env.label == "arithmetic:3"
    assert (env.config.left, env.config.operators) == ((10, 99), "-")
    assert make_env("arithmetic").label == "arithmetic"


def test_an_unknown_name_gets_a_suggestion_and_the_list() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'arithmetic'") as caught:
        make_env("arithmetik:2")
    assert all(name in str(caught.value) for name in registry.BUILT_IN)
    with pytest.raises(LookupError, match="no environment is called ''"):
        make_env("")


@pytest.mark.parametrize("spec", ["arithmetic:9", "arithmetic:", "arithmetic:2:3"])
def test_an_unknown_level_gets_the_list(spec: str) -> None:
    with pytest.raises(UnknownNameError, match="has no level") as caught:
        make_env(spec)
    assert "1, 2, 3, 4, 5" in str(caught.value)


def test_every_wrong_option_is_named_with_a_suggestion() -> None:
    with pytest.raises(ConfigError) as caught:
        make_env("arithmetic:2", {"lft": [1, 2], "terms": 99, "right": "x"})
    text = str(caught.value)
    assert "lft: no such key; did you mean 'left'?" in text
    assert "terms" in text
    assert "99" in text
    assert "right" in text
    assert "worked_example" in text


def test_list_envs_is_sorted_and_told_apart() -> None:
    infos = list_envs()
    assert [i.name for i in infos] == sorted(i.name for i in infos)
    built_in = {i.name: i for i in infos if i.source == "built-in"}
    assert set(built_in) == set(registry.BUILT_IN)
    assert built_in["arithmetic"].levels == ("1", "2", "3", "4", "5")
    assert built_in["arithmetic"].doc.startswith("Integer arithmetic")


def test_importing_the_package_imports_no_environment_and_no_torch() -> None:
    program = (
        "import sys, minirl.envs\n"
        "assert 'minirl.envs.arithmetic' not in sys.modules\n"
        "minirl.envs.make_env('arithmetic:2')\n"
        "assert 'minirl.envs.countdown' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert run.returncode == 0, run.stderr


def test_a_local_file(tmp_path: Path) -> None:
    path = write(tmp_path, WHOLE)
    env = make_env(f"{path}:MyEnv:far", {"shift": 7})
    assert (env.label, env.config.shift) == ("mine:far", 7)
    assert make_env(f"{path}:MyEnv:far").config.shift == 100
    assert type(env).Config.model_fields["shift"].description == "How much to add."
    assert env.score(env.task("test", 0), "15").solved


def test_a_local_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path, WHOLE)
    make_env(f"{path}:MyEnv")
    path.write_text(WHOLE.replace("shift: int = Field(0, ge=0)", "shift: int = Field(55, ge=0)  #"))
    assert make_env(f"{path}:MyEnv").config.shift == 55


def test_a_level_that_its_own_config_refuses_is_the_authors_fault(tmp_path: Path) -> None:
    path = write(tmp_path, WHOLE)
    with pytest.raises(EnvironmentFault, match=r"level 'bad' of 'mine'[\s\S]*shift"):
        make_env(f"{path}:MyEnv:bad")


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (":MyEnw", "did you mean 'MyEnv'"),
        (":MyConfig", "is not an environment"),
        (":Sequence", "is not an environment"),
        ("", "names a class too"),
        (":", "names a class too"),
    ],
)
def test_a_wrong_class_in_a_local_file(tmp_path: Path, suffix: str, message: str) -> None:
    path = write(tmp_path, WHOLE)
    with pytest.raises(ConfigError, match=message) as caught:
        make_env(f"{path}{suffix}")
    assert "MyEnv" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no environment file at .*gone\.py"):
        make_env(f"{tmp_path}/gone.py:MyEnv")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("x = 1\n\ny = 1 / 0\n", r"my_env\.py:3 fails on import: ZeroDivisionError"),
        ("x = 1\ndef f(:\n", r"my_env\.py:2 fails on import: SyntaxError"),
        ("def f():\n    g()\n\nf()\n", r"my_env\.py:2 fails on import: NameError"),
        ("import sys\nsys.exit(0)\n", r"my_env\.py:2 fails on import: SystemExit"),
        ("\nimport no_such_module_at_all\n", r"my_env\.py:2 fails on import: ModuleNotFound"),
    ],
)
def test_a_file_that_fails_on_import_is_named_with_its_line(
    tmp_path: Path, text: str, where: str
) -> None:
    path = write(tmp_path, text)
    before = set(sys.modules)
    with pytest.raises(EnvironmentFault, match=where):
        make_env(f"{path}:MyEnv")
    assert set(sys.modules) == before


def test_missing_methods_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, PARTIAL)
    with pytest.raises(EnvironmentFault) as caught:
        make_env(f"{path}:Half")
    assert all(method in str(caught.value) for method in ("gold", "decoys", "score"))
    assert "task(...)" not in str(caught.value)
    with pytest.raises(EnvironmentFault, match="max_turns > 1"):
        make_env(f"{path}:Turns")


@pytest.mark.usefixtures("clean_registry")
def test_register_makes_a_class_reachable_and_guards_names() -> None:
    class Mine(Environment):
        """Mine."""

        name = "registered_here"

    register(Mine)
    register(Mine)  # the same class again, as on a module's reload
    assert "registered_here" in {info.name for info in list_envs()}

    class Other(Environment):
        name = "registered_here"

    with pytest.raises(EnvironmentFault, match="claimed twice"):
        register(Other)

    class Impostor(Environment):
        name = "arithmetic"

    with pytest.raises(EnvironmentFault, match="a built-in environment"):
        register(Impostor)

    class Nameless(Environment):
        pass

    with pytest.raises(EnvironmentFault, match="needs a name"):
        register(Nameless)


def test_an_entry_point_is_loaded(offer: object) -> None:
    offer(("mine", "offered_envs:MyEnv"))  # type: ignore[operator]
    assert make_env("mine:far").config.shift == 100
    info = {i.name: i for i in list_envs()}["mine"]
    assert (info.doc, info.source) == ("Says numbers.", "package offered_envs")


@pytest.mark.parametrize("claims", [["arithmetic"], ["mine", "mine"]])
def test_two_owners_of_one_name_are_an_error(offer: object, claims: list[str]) -> None:
    offer(*((name, "offered_envs:MyEnv") for name in claims))  # type: ignore[operator]
    with pytest.raises(EnvironmentFault, match=r"claimed twice: by package offered_envs"):
        make_env(claims[0])
    infos = {i.name: i for i in list_envs()}
    assert infos["arithmetic"].source == "built-in"
    assert make_env("countdown").label == "countdown"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("broken", "offered_broken:MyEnv", "cannot be imported: ModuleNotFoundError"),
        ("broken", "offered_envs:Gone", "cannot be imported: AttributeError"),
        ("broken", "offered_envs:MyConfig", "is not an environment"),
        ("broken", "offered_envs:MyEnv", "under another name"),
    ],
)
def test_a_broken_entry_point_is_told_and_listed(
    offer: object, name: str, value: str, message: str
) -> None:
    offer((name, value))  # type: ignore[operator]
    with pytest.raises(EnvironmentFault, match=message):
        make_env(name)
    assert {i.name: i for i in list_envs()}[name].doc.startswith("broken: ")
    assert make_env("arithmetic").label == "arithmetic"
