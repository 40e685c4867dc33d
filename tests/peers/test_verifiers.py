"""``verifiers:PACKAGE`` gives the rewards that verifiers itself gives, in both of its APIs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from peers import PACKAGES, run_peer

from minirl.envs import make_env, recite
from minirl.errors import ConfigError
from minirl.types import SPLITS

pytestmark = [pytest.mark.network, pytest.mark.slow]
V0, V1 = ("verifiers==0.3.1", "reasoning-gym==0.1.25"), ("verifiers==0.4.0",)

# Their rubric alone, on a finished conversation: no rollout of theirs or ours.
V0_RUBRIC = """
import asyncio, json, sys
import verifiers as vf
from verifiers.types import AssistantMessage
async def main():
    given = json.load(sys.stdin)
    env = vf.load_environment(given["name"])
    held = env.get_eval_dataset() if given["part"] == "eval" else env.get_dataset()
    rows = held.to_list()
    out = []
    for row, text in given["answers"]:
        state = {**rows[row], "input": rows[row], "task": rows[row], "trajectory": []}
        state = vf.State(state)
        state["completion"] = [AssistantMessage(content=text)]
        await env.rubric.score_rollout(state)
        out.append([state["reward"], state["metrics"]])
    print(json.dumps(out))
asyncio.run(main())
"""
V0_ROWS = """
import json, sys
import verifiers as vf
env = vf.load_environment(json.load(sys.stdin)["name"])
print(json.dumps([env.rg_dataset[int(r["answer"])]["answer"] for r in env.get_eval_dataset()]))
"""
V1_TASK = """
import asyncio, json, sys
import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_taskset, taskset_config_type
async def main():
    given = json.load(sys.stdin)
    config = taskset_config_type(given["name"])
    tasks = list(load_taskset(config(id=given["name"], split="test")))
    out = []
    for row, text in given["answers"]:
        task = tasks[row]
        data = vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)
        trace = vf.Trace(task=data, agent=vf.AgentInfo(config=vf.AgentConfig()))
        said = vf.AssistantMessage(content=text)
        trace.nodes.append(vf.MessageNode(message=said, sampled=True))
        await task.score(trace)
        out.append([trace.reward, trace.metrics])
    print(json.dumps(out))
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _among_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PACKAGES)


def test_v0_rewards_of_their_reasoning_gym_env_are_theirs(peer: Callable[..., str]) -> None:
    python = peer(*V0)
    env = make_env("verifiers:peer_v0_sums", {"python": python, "timeout_s": 300})
    golds = run_peer(python, V0_ROWS, {"name": "peer_v0_sums"}, [PACKAGES])
    tasks = [env.task("test", i) for i in range(60)]
    said = []
    for task in tasks:
        gold = golds[task.data["row"]]
        forms = (f"<answer>{gold}</answer>", f"<answer>\n {gold} \n</answer>", gold, "")
        wrong = (f"<answer>{gold}0</answer>", f"<answer>so {gold} or 3</answer>", f"= {gold}")
        odd = ("<answer></answer>", f"<answer>{gold}", "\x00", "<answer>nan</answer>", "9" * 999)
        more = tuple(f"<answer>{int(gold) + d}</answer>" for d in (-2, -1, 1, 2, 10))
        said += [(task, text) for text in (*forms, *wrong, *odd, *more)]
    given = {
        "name": "peer_v0_sums",
        "part": "eval",
        "answers": [(t.data["row"], text) for t, text in said],
    }
    theirs = run_peer(python, V0_RUBRIC, given, [PACKAGES])
    assert len(said) >= 1000
    solved = 0
    for (task, text), (reward, metrics) in zip(said, theirs, strict=True):
        score = recite(env, task, text)
        assert score.parts["reward"] == reward
        for name in ("check_answer_reward_func", "format_reward_func"):
            assert score.parts[name] == metrics[name]
        assert score.solved == (reward >= 1)
        solved += score.solved
    assert 120 <= solved < 600
    assert 0.0 < max(r for r, _ in theirs if r < 1) < 1  # crumbs, which are logged and not paid
    env.pipe.close()  # type: ignore[attr-defined]


def test_v0_rewards_of_a_strangers_package(
    peer: Callable[..., str], stranger: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reward-hacking study that somebody published on PyPI; it knows nothing of minirl."""
    python = peer(*V0)
    home = stranger(python, "sophistry-bench-sprint==0.1.6")
    monkeypatch.chdir(home)
    env = make_env("verifiers:sophistry_bench_sprint", {"python": python, "timeout_s": 300})
    assert env.size("train") + env.size("test") == 100  # type: ignore[operator]
    tasks = [env.task(split, i) for split in SPLITS for i in range(env.size(split) or 0)]
    assert {task.data["part"] for task in tasks} == {"train"}
    said = []
    for task in tasks:
        passage = task.prompt[0].content.partition("PASSAGE:")[2]
        quotes = [q for q in re.findall(r"[a-z ,]{20,60}", passage) if len(q.strip(" ,")) > 15]
        claims = [f"<claim>It says {i}.</claim><cite>{q}</cite>" for i, q in enumerate(quotes * 9)]
        paid = "\n".join(claims[:8])  # what its study says a policy will find
        shouted = f"<claim>x</claim><cite>{quotes[0].upper()} and more, and more</cite>"
        plain = (paid, "", claims[0], claims[0] * 20, "\n".join(claims[:9]), quotes[0], shouted)
        odd = (f"<claim>{quotes[0]}", "<cite>short</cite>", "\x00" * 9, task.prompt[-1].content)
        said += [(task, text) for text in (*plain, *odd)]
    answers = [(t.data["row"], text) for t, text in said]
    given = {"name": "sophistry_bench_sprint", "part": "train", "answers": answers}
    theirs = run_peer(python, V0_RUBRIC, given, [home])
    assert len(said) >= 1000
    for (task, text), (reward, metrics) in zip(said, theirs, strict=True):
        score = recite(env, task, text)
        assert score.parts["reward"] == reward
        del metrics["num_turns"]  # no conversation was played there
        assert {k: score.parts[k] for k in metrics} == metrics
        assert score.solved == (reward == 1.0)
        if text.count("<cite>") == 8:
            assert score.solved
    assert len({reward for reward, _ in theirs}) >= 5
    env.pipe.close()  # type: ignore[attr-defined]


def test_v1_rewards_of_a_taskset_are_theirs(peer: Callable[..., str]) -> None:
    python = peer(*V1)
    options = {"python": python, "eval_args": {"split": "test"}, "timeout_s": 300}
    env = make_env("verifiers:peer_v1_reverse", options)
    tasks = [env.task("test", i) for i in range(100)]
    said = []
    for task in tasks:
        right, shown = task.data["answer"], task.prompt[-1].content
        inside = (right, f" {right}\n", right[:-1], right.upper(), shown, right[::-1] + "x", "")
        said += [(task, f"<reversed_text>{text}</reversed_text>") for text in inside]
        said += [(task, text) for text in (right, "", f"<reversed_text>{right}", "\x00")]
    given = {"name": "peer_v1_reverse", "answers": [(t.data["row"], text) for t, text in said]}
    theirs = run_peer(python, V1_TASK, given, [PACKAGES])
    assert len(said) >= 1000
    for (task, text), (reward, metrics) in zip(said, theirs, strict=True):
        score = recite(env, task, text)
        assert score.parts["reward"] == reward
        assert score.parts["length"] == metrics["length"]
        assert score.solved == (reward == 1)
    assert {
        recite(env, t, f"<reversed_text>{t.data['answer']}</reversed_text>").value
        for t in tasks[:9]
    } == {1.0}
    env.pipe.close()  # type: ignore[attr-defined]


def test_tools_and_turns_of_v0(peer: Callable[..., str]) -> None:
    python = peer(*V0)
    env = make_env("verifiers:peer_v0_tool", {"python": python, "timeout_s": 300})
    task = env.task("test", 3)
    assert [t["function"]["name"] for t in task.data["tools"]] == ["add"]
    answer = task.data["answer"]
    call = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
    episode = env.episode(task)
    assert recite(env, task, answer).parts["reward"] == 1.0
    both = recite(env, task, (call, answer))
    assert (both.value, both.parts["reward"], both.parts["add_calls"]) == (1.0, 1.25, 1.0)
    assert recite(env, task, (call, "0")).parts["reward"] == 0.25
    assert episode.give_up("over").value == 0.0
    turns = make_env(
        "verifiers:peer_v0_tool", {"python": python, "args": {"kind": "turns"}, "solved_at": 1}
    )
    task = turns.task("test", 3)
    assert recite(turns, task, ("0", "99999", task.data["answer"])).parts["num_turns"] == 3
    assert turns.gold(task) == task.data["answer"]
    with pytest.raises(ConfigError, match="second model"):
        make_env("verifiers:peer_v0_tool", {"python": python, "args": {"kind": "judge"}})
    for made in (env, turns):
        made.pipe.close()  # type: ignore[attr-defined]


def test_a_scripted_user_of_v1_and_what_is_refused(peer: Callable[..., str]) -> None:
    python = peer(*V1)
    env = make_env("verifiers:peer_v1_turns", {"python": python, "limit": 60, "timeout_s": 300})
    assert 0 < env.size("test") < 60  # type: ignore[operator]
    task = env.task("test", 0)
    first = int(task.prompt[0].content.removeprefix("Start with ").rstrip("."))
    score = recite(env, task, (str(first), "x", "y"))
    assert (score.parts["reward"], score.solved) == (pytest.approx(1 / 3), False)
    env.pipe.close()  # type: ignore[attr-defined]
    tools = {"python": python, "limit": 5, "args": {"task": {"tools": True}}, "timeout_s": 300}
    with pytest.raises(ConfigError, match="tools are servers"):
        make_env("verifiers:peer_v1_turns", tools)
