"""Environments of another process: which rows are tasks, and what the pipe survives.

The other library is a stand-in for OpenEnv's base classes; tests/peers has the real ones.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import PACKAGES

from minirl.envs import make_env, recite
from minirl.envs.adapters.foreign import ForeignEnvironment, split_rows
from minirl.errors import ConfigError, EnvironmentFault, MissingExtraError, UnknownGold

STAND_IN = """
from pydantic import BaseModel, ConfigDict
from typing import Generic, TypeVar

A, O, S = TypeVar("A"), TypeVar("O"), TypeVar("S")

class Action(BaseModel):
    model_config = ConfigDict(extra="forbid")
    metadata: dict = {}

class Observation(BaseModel):
    done: bool = False
    reward: float | None = None
    metadata: dict = {}

class State(BaseModel):
    model_config = ConfigDict(extra="allow")
    episode_id: str | None = None
    step_count: int = 0

class Environment(Generic[A, O, S]):
    async def reset_async(self, **kwargs):
        return self.reset(**kwargs)
    async def step_async(self, action):
        return self.step(action)
    def close(self):
        pass
"""
TROUBLE = """
import os, random, time
from peer_openenv import Echo, EchoObservation

class Trouble(Echo):
    def step(self, action, **kwargs):
        print("chatter on standard output", flush=True)
        if action.message == "die":
            os._exit(3)
        if action.message == "sleep":
            time.sleep(60)
        return super().step(action)

class Restless(Echo):
    def reset(self, seed=None, **kwargs):
        super().reset()
        return EchoObservation(echoed_message=str(random.random()))
"""
ECHO = {"solved_at": 1.0, "tasks": 20, "max_turns": 1}


@pytest.fixture(autouse=True)
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = tmp_path / "openenv" / "core"
    core.mkdir(parents=True)
    (tmp_path / "openenv" / "__init__.py").touch()
    (core / "__init__.py").touch()
    (core / "env_server.py").write_text(STAND_IN)
    (tmp_path / "trouble.py").write_text(TROUBLE)
    shutil.copy(PACKAGES / "peer_openenv.py", tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trouble() -> Iterator[ForeignEnvironment]:
    env = make_env("openenv:trouble:Trouble", {**ECHO, "timeout_s": 20})
    assert isinstance(env, ForeignEnvironment)
    yield env
    env.pipe.close()


keys = st.lists(st.sampled_from("abcdefgh"), max_size=8)


@given(keys, keys)
def test_every_row_is_one_task_of_one_split(train: list[str], test: list[str]) -> None:
    splits, notice = split_rows({"train": train, "eval": test})
    ours = [key for rows in splits.values() for _, _, key in rows]
    assert sorted(ours) == sorted({*train, *test})
    assert (notice is None) == (len(ours) == len(train) + len(test))
    if train and test:
        assert {key for *_, key in splits["test"]} == set(test)
    for rows in splits.values():
        for part, row, key in rows:
            assert {"train": train, "eval": test}[part][row] == key


def test_an_echo_is_paid_by_the_letter_and_solved_at_full_reward(
    trouble: ForeignEnvironment,
) -> None:
    task = trouble.task("train", 0)
    assert [m.content for m in task.prompt] == ["Echo environment ready!"]
    for said in ("a", "nine chars", "one\nlast", "\ud800" * 10, "ü" * 10):
        score = recite(trouble, task, said)
        raw = len(said.strip().rpartition("\n")[2]) * 0.1
        assert score.parts["reward"] == pytest.approx(raw)
        assert (score.value, score.solved) == (float(raw >= 1), raw >= 1)
    assert recite(trouble, task, " \n ").parts["malformed"] == 1.0
    assert "told apart by their seeds" in (trouble.notice or "")
    with pytest.raises(UnknownGold):
        trouble.gold(task)


def test_several_turns_and_actions_as_json() -> None:
    env = make_env("openenv:peer_openenv:Guess", {"solved_at": 1.0, "tasks": 20})
    task = env.task("test", 0)
    solved = [recite(env, task, f'Hm.\n{{"number": {n}}}') for n in range(100)]
    assert sum(s.solved for s in solved) == 1
    right = next(n for n, s in enumerate(solved) if s.solved)
    above = f'{{"number": {right + 20}}}'
    ladder = recite(env, task, [above, f'{{"number": {right + 1}}}', f'{{"number": {right}}}'])
    assert (ladder.value, ladder.parts["total"], ladder.parts["steps"]) == (1.0, 1.3, 3.0)
    assert not recite(env, task, [above] * 9).solved
    bad_ones = ("", "7", "[7]", '{"number": NaN}', '{"number": "x"}', '{"number": 1, "y": 2}')
    for bad in (*bad_ones, "{" * 9999):
        assert recite(env, task, bad).parts["malformed"] == 1.0
    assert recite(env, task, f'{{"number": {"9" * 6000}}}').value == 0.0
    env.pipe.close()  # type: ignore[attr-defined]


def test_a_process_that_dies_or_hangs_is_a_fault_and_the_next_one_works(
    trouble: ForeignEnvironment,
) -> None:
    task = trouble.task("train", 0)
    with pytest.raises(EnvironmentFault, match="process ended"):
        recite(trouble, task, "die")
    assert recite(trouble, task, "0123456789").solved
    trouble.pipe._timeout_s = 1.0
    with pytest.raises(EnvironmentFault, match="no answer within 1 s"):
        recite(trouble, task, "sleep")
    trouble.pipe._timeout_s = 20.0
    assert recite(trouble, task, "0123456789").solved


def test_it_can_be_pickled_and_leaves_no_process(trouble: ForeignEnvironment) -> None:
    again = pickle.loads(pickle.dumps(trouble))
    task = again.task("train", 3)
    assert task == trouble.task("train", 3)
    pid = again.pipe._process.pid
    os.kill(pid, 0)
    again.pipe.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def test_an_opening_that_no_seed_repeats_is_told_and_refused() -> None:
    env = make_env("openenv:trouble:Restless", ECHO)
    assert "not a function of the seed" in (env.notice or "")
    with pytest.raises(EnvironmentFault, match="opens differently"):
        recite(env, env.task("train", 0), "x")
    env.pipe.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "options", "error", "says"),
    [
        ("openenv:peer_openenv:Echo", {}, ConfigError, "full reward"),
        ("openenv:peer_openenv:Nope", ECHO, ConfigError, "has no 'Nope'"),
        ("openenv:nonesuch:Nope", ECHO, MissingExtraError, "nonesuch"),
        ("openenv:peer_openenv", ECHO, ConfigError, "needs a class"),
        ("openenv:peer_openenv:Echo", {**ECHO, "action_field": "x"}, ConfigError, "no field 'x'"),
        ("openenv:peer_openenv:Echo", {**ECHO, "python": "/no/python"}, ConfigError, "no Python"),
        ("openenv:http://127.0.0.1:9", ECHO, ConfigError, "no OpenEnv server"),
        ("verifiers:nonesuch", {}, MissingExtraError, "needs the package"),
        ("verifiers:", {}, ConfigError, "needs a package"),
    ],
)
def test_what_cannot_be_opened_says_why(
    spec: str, options: dict, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        make_env(spec, options)
