"""`benchmarks.grpo`: both sides do the same work in turn, and the table says what was measured."""

from __future__ import annotations

import json
import os
import signal
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import grpo, target
from benchmarks.prompts import SIZES, env_section
from benchmarks.ratios import ratios
from benchmarks.sides import Side, SideFailed, in_turn, running
from benchmarks.worker import Step, idle_share
from minirl.config import Recipe
from minirl.envs import make_env

PAIRS = 2
STEP = Step(
    seconds=4.0,
    rollouts=1.0,
    written=60,
    row_tokens=300,
    rows=8,
    prompt_tokens=30.0,
    reward=0.5,
    solved=0.0,
    idle=0.0,
    peak_bytes=100,
    tasks=(1, 2),
    prompts="",
)


@pytest.fixture(scope="module")
def measured(
    tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str]:
    """The one case of a small run, and the line of the table that stands for it."""
    out = tmp_path_factory.mktemp("grpo") / "steps.json"
    sizes = ["--groups", "2", "--group-size", "4", "--max-tokens", "8", "--pairs", str(PAIRS)]
    words = ["--model", "tiny", "--prompt", "short", *sizes, "--json", str(out)]
    assert grpo.main(words) == 0
    (case,) = json.loads(out.read_text())["cases"]
    return case, case["row"]


@pytest.mark.slow
def test_both_sides_train_on_the_same_tasks_and_rewards(measured: Any) -> None:
    case, _ = measured
    seen = []
    for pair in [*case["warm_up"], *case["pairs"]]:
        stock, minirl = pair["stock"], pair["minirl"]
        for same in ("tasks", "prompts", "prompt_tokens", "rows", "reward", "idle"):
            assert stock[same] == minirl[same], same
        assert stock["rows"] == 8
        assert 8 <= stock["written"] <= 64
        assert 8 <= minirl["written"] <= 64
        assert minirl["row_tokens"] == 8 * minirl["prompt_tokens"] + minirl["written"]
        assert stock["row_tokens"] == 8 * stock["prompt_tokens"] + stock["written"]
        seen += stock["tasks"]
    assert len(set(seen)) == 2 * (1 + PAIRS)  # no task comes twice


@pytest.mark.slow
def test_ratios_are_those_of_the_steps(measured: Any) -> None:
    case, row = measured
    pairs = [(p["stock"], p["minirl"]) for p in case["pairs"]]
    assert len(pairs) == PAIRS
    by_hand = {
        "step": [s["seconds"] / m["seconds"] for s, m in pairs],
        "rollouts": [m["written"] / m["rollouts"] * s["rollouts"] / s["written"] for s, m in pairs],
        "training": [
            (m["row_tokens"] / (m["seconds"] - m["rollouts"]))
            / (s["row_tokens"] / (s["seconds"] - s["rollouts"]))
            for s, m in pairs
        ],
        "memory": [s["peak_bytes"] / m["peak_bytes"] for s, m in pairs],
    }
    for name, expected in by_hand.items():
        found = case["ratios"][name]
        assert found["median"] == pytest.approx(median(expected))
        assert (found["least"], found["most"]) == pytest.approx((min(expected), max(expected)))
        shown = f"{found['median']:.2f} [{found['least']:.2f}, {found['most']:.2f}]"
        assert shown in row
    assert row.count("|") == len(grpo.HEADER) + 1


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Starts a side that does nothing, quickly."""
    support = Path(__file__).parents[1] / "support"
    monkeypatch.setenv("PYTHONPATH", str(support))

    def start(**order: Any) -> AbstractContextManager[Side]:
        order.setdefault("step", asdict(STEP))
        return running("stock", "echo_side", order, 1, tmp_path)

    return start


def test_a_side_reports_steps_whatever_its_libraries_print(echo: Any) -> None:
    with echo() as side:
        assert side.facts == {"device": "cpu", "dtype": "float32"}
        assert [side.step(), side.step()] == [STEP, STEP]


def test_a_killed_side_is_an_error(echo: Any) -> None:
    with echo() as side:
        os.kill(side.pid, signal.SIGKILL)
        with pytest.raises(SideFailed, match="the stock side ended with code -9"):
            side.step()


def test_a_side_that_fails_is_quoted(echo: Any) -> None:
    with pytest.raises(SideFailed, match=r"code 1:\n  no memory left"), echo(dies="no memory left"):
        pass


def test_no_side_outlives_an_interrupt(echo: Any) -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with echo() as side:
            os.kill(side.pid, 0)  # it is there
            pids.append(side.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_side_ends_with_its_stdin(echo: Any) -> None:
    """As where the parent was killed."""
    with echo() as side:
        side._process.stdin.close()
        assert side._process.wait(timeout=30) == 1


def test_a_failed_side_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise SideFailed("the minirl side ended with code -9")

    monkeypatch.setattr(grpo, "both", fail)
    assert grpo.main(["--prompt", "short", "--group-size", "4"]) == 1
    assert "the minirl side ended" in capsys.readouterr().err


def test_sides_alternate_and_take_turns_to_begin() -> None:
    took: list[str] = []

    def side(name: str) -> Any:
        return SimpleNamespace(name=name, step=lambda: took.append(name) or name)

    pairs = list(in_turn(side("stock"), side("minirl"), 3))
    assert took == ["stock", "minirl", "minirl", "stock", "stock", "minirl"]
    assert pairs == [("stock", "minirl")] * 3


def test_above_one_minirl_is_the_better() -> None:
    ours = replace(STEP, seconds=1.5, rollouts=0.5, written=45, row_tokens=200, peak_bytes=50)
    found = ratios([(STEP, ours)])
    assert found["step"].median == pytest.approx(4 / 1.5)
    assert found["rollouts"].median == pytest.approx(90 / 60)  # 45 in .5 s against 60 in 1 s
    assert found["training"].median == pytest.approx(200 / 100)  # 200 in 1 s against 300 in 3 s
    assert found["memory"].median == 2


def test_rows_are_idle_where_a_group_agrees() -> None:
    assert idle_share([0, 1, 1, 1, 0, 0], 2) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("rows", "fits"), [(16, 16), (32, 32), (64, 32), (60, 30)])
def test_micro_batches_divide_a_step(rows: int, fits: int) -> None:
    assert rows % grpo.rows_at_once("short", rows, 24) == 0
    assert grpo.rows_at_once("short", rows, 24) == fits


@pytest.mark.parametrize("train", [{}, {"loss_type": "dapo", "micro_batch": 8}, {"beta": 0.1}])
def test_the_stock_script_sets_what_minirl_sets(tmp_path: Path, train: dict[str, Any]) -> None:
    """Every field of TRL's config that changes what is computed, but dropout: there is none."""
    import torch
    from trl import GRPOConfig

    from benchmarks.stock_grpo import grpo_config
    from minirl.train.settings import grpo_settings

    recipe = Recipe.model_validate({"env": {"name": "arithmetic:2"}, "train": train})
    stock = grpo_config(recipe, str(tmp_path), "cpu", "float32").to_dict()
    settings = grpo_settings(
        recipe, output_dir=tmp_path, device=torch.device("cpu"), dtype=torch.float32
    )
    ours = GRPOConfig(**settings).to_dict()
    aside = ("output_dir", "run_name", "log", "save_", "vllm_", "dataloader_pin_memory")
    aside += ("remove_unused_columns", "data_seed", "disable_dropout")
    different = {
        name: (stock[name], value)
        for name, value in ours.items()
        if stock[name] != value and not name.startswith(aside)
    }
    assert different == {}


def test_coins_fall_alike_on_both_sides() -> None:
    from benchmarks.stock_grpo import coins
    from minirl.train.coin import flipped
    from minirl.types import Group, Rollout, Score, StopReason

    recipe = grpo.recipe_of("short", 4, grpo.parse([]), None)
    env = make_env("arithmetic:2")
    tasks = [env.task("train", i) for i in range(3)]
    empty = ((), (), (), (), (), StopReason.EOS, Score(0.0, False))
    groups = [Group(t, tuple(Rollout(t, *empty) for _ in range(4))) for t in tasks]
    ours = [v for g in flipped(groups, seed=0, step=2, round_=0) for v in g.values]
    assert coins(recipe, [t.id for t in tasks for _ in range(4)], 2) == ours
    assert 0 < sum(ours) < 12


@pytest.mark.parametrize("kind", SIZES)
def test_prompts_have_right_answers_and_what_they_share_is_as_said(kind: Any) -> None:
    section = env_section(kind)
    env = make_env(section["name"], section["options"])
    tasks = [env.task("train", i) for i in range(20)]
    assert [env.task("train", i) for i in range(20)] == tasks
    for task in tasks:
        assert env.score(task, str(env.gold(task))).solved
        assert not any(env.score(task, str(decoy)).solved for decoy in env.decoys(task))
    texts = ["\n".join(m.content for m in t.prompt) for t in tasks]
    shared = [_common(a, b) for a, b in pairwise(texts)]
    longest = max(map(len, texts))
    if kind == "long":
        assert max(shared) < 0.2 * longest
    if kind == "fewshot":
        assert min(shared) > 0.9 * longest


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    return next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)


class _Scripted:
    """A side whose steps have been taken already."""

    def __init__(self, name: str, solved: list[float]) -> None:
        self.name = name
        self._solved = iter(solved)

    def step(self) -> Step:
        return replace(STEP, seconds=2.0, solved=next(self._solved))


def test_the_clock_runs_until_three_steps_reach_the_target(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stock = _Scripted("stock", [0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8])
    minirl = _Scripted("minirl", [0.9, 0.1, 0.8])
    monkeypatch.setattr(target, "both", lambda *_: nullcontext((stock, minirl)))
    chosen = grpo.parse(["--to-target", "--seeds", "0", "--max-steps", "9", "--model", "tiny"])
    (seed,) = target.time_to_target(chosen)["seeds"]
    assert len(seed["minirl"]["steps"]) == 3  # .9, .1 and .8 make .6
    assert len(seed["stock"]["steps"]) == 6
    assert seed["stock"]["seconds"] == 12
    assert "| 12 / 6 | 2.00 |" in capsys.readouterr().out


def test_a_side_that_did_not_arrive_bounds_the_ratio() -> None:
    fast: Any = target.Way(_Scripted("minirl", []), [replace(STEP, solved=0.9)] * 3)  # type: ignore[arg-type]
    slow: Any = target.Way(_Scripted("stock", []), [STEP] * 6)  # type: ignore[arg-type]
    assert "| more than 2.00 |" in target.line(0, slow, fast, 0.6)
    assert "minirl did not arrive" in target.line(0, slow, replace(fast, steps=[STEP] * 3), 0.6)


def test_the_target_is_trained_as_the_recipe_says() -> None:
    recipe = target.recipe_of(1, grpo.parse(["--to-target", "--max-steps", "20"]))
    shipped = target.load_recipe(target.find_recipe("quickstart"))
    changed = {"steps", "save_every"}
    assert recipe.train.model_dump(exclude=changed) == shipped.train.model_dump(exclude=changed)
    assert (recipe.env, recipe.stream, recipe.sampling) == (
        shipped.env,
        shipped.stream,
        shipped.sampling,
    )
    assert (recipe.seed, recipe.train.steps) == (1, 20)
