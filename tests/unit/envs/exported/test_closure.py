"""Which modules an environment needs, and how their imports are moved."""

from __future__ import annotations

import ast

import pytest

from minirl.envs.exported.closure import closure, moved
from minirl.errors import EnvironmentFault


def test_the_closure_holds_what_is_imported_and_no_other_environment() -> None:
    found = closure(["minirl.envs.arithmetic"])
    assert {"envs/arithmetic.py", "envs/base.py", "rewards/answer.py", "types.py"} <= set(
        found.files
    )
    assert not {"envs/countdown.py", "train/grpo.py", "models/load.py"} & set(found.files)
    assert found.libraries <= {"pydantic", "tomli_w"}


def test_what_is_no_module_is_a_fault() -> None:
    with pytest.raises(EnvironmentFault, match="no module"):
        closure(["minirl.nonsense"])


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("from minirl.types import Task", "from x._minirl.types import Task"),
        ("from minirl import Task", "from x._minirl import Task"),
        ("import minirl.types as t", "import x._minirl.types as t"),
        (
            "def f():\n    from minirl.envs import base",
            "def f():\n    from x._minirl.envs import base",
        ),
        ("s = 'minirl.types'", "s = 'x._minirl.types'"),
        ("é = 'ü'; m = 'minirl.types'", "é = 'ü'; m = 'x._minirl.types'"),
        ("s = 'about minirl.types'", "s = 'about minirl.types'"),
        ("s = 'minirl.nonsense'", "s = 'minirl.nonsense'"),
        ("from .types import Task", "from .types import Task"),
        ("import minirls", "import minirls"),
    ],
)
def test_moving(source: str, after: str) -> None:
    assert moved(source, "x._minirl", "f.py") == after
    ast.parse(after)


def test_a_plain_import_cannot_be_moved() -> None:
    with pytest.raises(EnvironmentFault, match="cannot be exported"):
        moved("import minirl.types", "x", "f.py")
