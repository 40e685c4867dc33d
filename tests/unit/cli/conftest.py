"""A user's environment, for the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

ENVIRONMENT = '''
import os, pathlib, signal

from minirl.envs import Environment
from minirl.types import Message, Score, Task


class MyEnv(Environment):
    """Write a digit, and do what the file `do` says."""

    name = "my_env"

    def task(self, split, index):
        return Task(self.label, split, index, (Message("user", f"{index} + 0"),))

    def gold(self, task):
        return "7"

    def decoys(self, task):
        return ["seven"]

    def score(self, task, text):
        do = pathlib.Path("do").read_text() if pathlib.Path("do").exists() else ""
        if do == f"raise in {task.split}":
            raise ZeroDivisionError("\\x1b[31mboom")
        if do == f"interrupt {task.split}":
            os.remove("do")
            signal.raise_signal(signal.SIGINT)
        return Score(float("7" in text), "7" in text, reason="\\x1b[2J[bold]why[/bold]")
'''


@pytest.fixture
def my_env(tmp_path: Path) -> str:
    """The spec of a user's environment; it obeys the file `do` in the working directory."""
    (tmp_path / "my_env.py").write_text(ENVIRONMENT, encoding="utf-8")
    return "./my_env.py:MyEnv"
