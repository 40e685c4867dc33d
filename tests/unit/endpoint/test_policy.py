"""The policy in the engine, against a real server: what is asked, and what comes of the answers."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import replace

import pytest
from openai_server import KEY, solve

from minirl.endpoint import Cap, CapReached, Journal, Prices, Sampling, Spent
from minirl.envs import make_env
from minirl.envs.base import Environment, Step
from minirl.rollout import play
from minirl.types import Message, Request, Score, StopReason, Task, ToolCall, json_line

ENV = make_env("arithmetic:1")
TASKS = [ENV.task("train", i) for i in range(6)]


def run(policy, n=4, tasks=TASKS, seed=3, env=ENV, max_tokens=40):
    return play(policy, env, tasks, n, max_tokens=max_tokens, seed=seed)


def truth(body):
    """What the server's model answers to a request, computed here."""
    last = body["messages"][-1]["content"]
    keys = [json.dumps([body["messages"], body["seed"], k]) for k in range(body.get("n", 1))]
    right = [random.Random(key).random() < 0.5 for key in keys]
    return [f"Answer: {solve(last)}" if r else "no idea" for r in right]


def test_rollouts_are_what_the_server_answered(server, ask):
    policy = ask(sampling=Sampling(0.9, 0.8, 5))
    groups = run(policy)
    by_question = {b["messages"][-1]["content"]: b for b in server.bodies}
    assert len(server.bodies) == len(TASKS)
    for group in groups:
        body = by_question[group.task.prompt[-1].content]
        assert body["messages"] == [m.as_dict() for m in group.task.prompt]
        asked = {k: body[k] for k in ("model", "n", "temperature", "top_p", "top_k", "max_tokens")}
        assert asked == {
            "model": "m", "n": 4, "temperature": 0.9, "top_p": 0.8, "top_k": 5, "max_tokens": 40,
        }  # fmt: skip
        assert [r.text for r in group.rollouts] == truth(body)
        assert [r.score.solved for r in group.rollouts] == [t != "no idea" for t in truth(body)]
        counted = sum(len(t) + 1 for t in truth(body))
        assert sum(r.tokens_written for r in group.rollouts) == counted
        assert all(r.logprobs == (0.0,) * r.tokens_written for r in group.rollouts)
    assert 0 < sum(g.solved for g in groups) < 24
    assert len({b["seed"] for b in server.bodies}) == len(TASKS)
    assert policy.notes == []
    assert {r["authorization"] for r in server.log()["requests"]} == {f"Bearer {KEY}"}


def test_equal_seeds_give_equal_rollouts(ask):
    assert run(ask()) == run(ask())
    policy = ask()
    assert run(policy) == run(policy)
    assert [g.values for g in run(ask())] != [g.values for g in run(ask(), seed=4)]


def test_requests_go_out_together_and_no_more_than_allowed(server, ask):
    server.plan(delay=0.15)
    run(ask(concurrency=3), n=1)
    assert server.log()["most_active"] == 3


@pytest.mark.parametrize("how", ["ignored", "refused"])
def test_a_server_without_n_is_asked_one_by_one(server, ask, how):
    server.plan(**({"n": False} if how == "ignored" else {"refuse": ["n"]}))
    policy = ask()
    groups = run(policy, n=5)
    assert [len(g.rollouts) for g in groups] == [5] * 6
    assert len(policy.notes) == 1
    assert "one completion a request" in policy.notes[0]
    answered = [r["body"] for r in server.log()["requests"] if r["answered"]]
    assert len(answered) == 30
    assert len({b["seed"] for b in answered}) == 30  # equal seeds would give one answer five times
    assert sum(g.solved for g in groups) == sum(
        truth({**b, "n": 1})[0] != "no idea" for b in answered
    )
    server.plan(n=False)
    run(policy, n=2, seed=9)
    assert all("n" not in b for b in server.bodies)


def test_by_itself_it_asks_for_one_completion_a_request(server, ask):
    groups = run(ask(choices=1))
    assert len(server.bodies) == len({b["seed"] for b in server.bodies}) == 24
    assert all("n" not in b for b in server.bodies)
    assert all(r.tokens_written == len(r.text) + 1 for g in groups for r in g.rollouts)


def test_a_count_of_one_choice_alone_is_not_believed(server, ask):
    """What llama-server says of several choices."""
    message = {"message": {"content": "x" * 20}, "finish_reason": "stop"}
    body = {"choices": [message] * 4, "usage": {"completion_tokens": 5, "prompt_tokens": 9}}
    server.plan(always={"kind": "raw", "text": json.dumps(body)})
    policy = ask()
    groups = run(policy)
    assert {r.tokens_written for g in groups for r in g.rollouts} == {5}  # and not 5 / 4
    assert policy.estimates


def test_many_samples_are_several_requests(server, ask):
    run(ask(), n=40, tasks=TASKS[:1])
    assert sorted(b["n"] for b in server.bodies) == [8, 16, 16]
    assert len({b["seed"] for b in server.bodies}) == 3


@pytest.mark.parametrize("word", ["seed", "top_k"])
def test_a_refused_parameter_is_left_out_and_said(server, ask, word):
    server.plan(refuse=[word])
    policy = ask(sampling=Sampling(top_k=7))
    assert len(run(policy)) == 6
    assert len(policy.notes) == 1
    assert f"refuses {word}" in policy.notes[0]
    assert policy.dialect.left_out == {word}
    assert [word in b for b in server.bodies[-1:]] == [False]


def test_the_limit_may_have_another_name(server, ask):
    server.plan(wants_max_completion_tokens=True)
    policy = ask()
    run(policy)
    answered = [r["body"] for r in server.log()["requests"] if r["answered"]]
    assert {b["max_completion_tokens"] for b in answered} == {40}
    assert len(policy.notes) == 1


def test_a_cut_off_answer_is_as_long_as_the_limit(server, ask):
    server.plan(p=1.0, finish="length")
    groups = run(ask())
    rollouts = [r for g in groups for r in g.rollouts]
    assert {r.stop for r in rollouts} == {StopReason.LENGTH}
    assert {r.tokens_written for r in rollouts} == {40}
    assert not any(r.score.solved for r in rollouts)


def test_a_server_that_does_not_count_is_estimated_and_that_is_said(server, ask):
    server.plan(usage=False)
    policy = ask()
    groups = run(policy)
    assert {r.tokens_written for g in groups for r in g.rollouts} == {
        2,
        3,
    }  # "no idea", "Answer: 5"
    assert policy.estimates
    assert sum("does not count" in n for n in policy.notes) == 1
    assert policy.spent.prompt_tokens > 0


@pytest.mark.parametrize(
    "text", ["\x00\u202e[bold]\x1b[2J", "a\ud800b", "x" * 100_000, "", "</tool_call>" * 50]
)
def test_hostile_completions_are_kept_as_text(server, ask, tmp_path, text):
    server.plan(turns=[text])
    path = tmp_path / "answers.jsonl"
    groups = run(ask(journal=Journal(path)), n=2, tasks=TASKS[:1])
    shown = text.replace("\ud800", "\ufffd")
    assert [r.text for r in groups[0].rollouts] == [shown] * 2
    assert (
        json.loads(json_line(groups[0].rollouts[0].as_record()))["messages"][0]["content"] == shown
    )
    server.plan(always={"kind": "status", "status": 500})
    assert run(ask(journal=Journal(path)), n=2, tasks=TASKS[:1]) == groups


# Several turns --------------------------------------------------------------------------------

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


class Calculator(Environment):
    """Call the tool ``add``, then say what it returned."""

    name = "calculator"
    max_turns = 3

    def task(self, split, index):
        return Task(self.name, split, index, (Message("user", f"Add 3 and {index}."),))

    def episode(self, task):
        return CalculatorEpisode(task)


class CalculatorEpisode:
    tools = (ADD,)

    def __init__(self, task):
        self.messages = task.prompt
        self.seen = []

    def step(self, message):
        self.seen.append(message)
        if not message.tool_calls:
            right = len(self.seen) > 1 and message.content == "7"
            return Step(score=Score(float(right), right))
        return Step(
            tuple(Message("tool", str(sum(c.arguments.values()))) for c in message.tool_calls)
        )

    def give_up(self, reason):
        return Score(0.0, False, reason=reason)


def calculate(policy, n=2):
    env = Calculator(Calculator.Config())
    return play(policy, env, [env.task("train", 4)], n, max_tokens=200, seed=0)


def call(arguments, identity):
    return {
        "id": identity,
        "type": "function",
        "function": {"name": "add", "arguments": arguments},
    }


def test_structured_calls_go_back_as_they_came(server, ask):
    calls = [call('{"a": 3, "b": 4}', "x1"), call('{"a":3,"b":4}', "x2")]
    asked = {"role": "assistant", "content": None, "tool_calls": calls}
    server.plan(turns=[asked, "7"])
    (group,) = calculate(ask())
    assert group.values == (1.0, 1.0)
    first, *results, last = group.rollouts[0].messages
    assert first.tool_calls == (ToolCall("add", {"a": 3, "b": 4}),) * 2
    assert first.content.count("<tool_call>") == 2
    assert results == [Message("tool", "7")] * 2
    assert last == Message("assistant", "7")
    opened, *later = server.bodies
    assert all(b["tools"] == [ADD] for b in server.bodies)
    assert opened["messages"] == [{"role": "user", "content": "Add 3 and 4."}]
    assert [b["messages"] for b in later] == [
        [
            {"role": "user", "content": "Add 3 and 4."},
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "content": "7", "tool_call_id": "x1"},
            {"role": "tool", "content": "7", "tool_call_id": "x2"},
        ]
    ] * 2
    assert later[0]["seed"] != later[1]["seed"]


def test_calls_in_the_text_go_back_verbatim(server, ask):
    text = ' <tool_call>{"name": "add", "arguments": {"a": 3, "b": 4}}</tool_call>\n'
    server.plan(turns=[text, "7"])
    (group,) = calculate(ask())
    assert group.values == (1.0, 1.0)
    assert server.bodies[-1]["messages"][1] == {"role": "assistant", "content": text}
    masked = group.rollouts[0]
    assert masked.tokens_written == len(text) + 1 + len("7") + 1
    assert len(masked.loss_mask) == masked.tokens_written + 1  # the tool's answer is one id


def test_a_server_that_parses_no_calls_is_shown_the_tools_all_the_same(server, ask):
    said = '"auto" tool choice requires --enable-auto-tool-choice'
    server.plan(turns=["7"], faults={"0": {"kind": "status", "status": 400, "body": said}})
    policy = ask()
    calculate(policy)
    assert server.bodies[-1]["tool_choice"] == "none"
    assert server.bodies[-1]["tools"] == [ADD]
    assert "tool calls" in policy.notes[0]


def test_turns_are_journalled_apart(server, ask, tmp_path):
    text = '<tool_call>{"name": "add", "arguments": {"a": 3, "b": 4}}</tool_call>'
    server.plan(turns=[text, "7"])
    path = tmp_path / "answers.jsonl"
    first = calculate(ask(journal=Journal(path)), n=3)
    assert len(Journal(path)) == 6
    server.plan(always={"kind": "status", "status": 500})
    assert calculate(ask(journal=Journal(path)), n=3) == first
    assert server.bodies == []


# Codec ----------------------------------------------------------------------------------------


def test_a_conversation_is_recovered_from_its_ids(ask):
    policy = ask()
    opening = (Message("system", "s"), Message("user", "u\x00"))
    ids = policy.encode_open(opening, [ADD])
    assert ids == policy.encode_open(opening, [ADD])
    assert ids != policy.encode_open(opening)
    ids += policy.encode_reply([Message("tool", "1"), Message("user", "2")], [ADD])
    messages, tools = policy.conversation(ids)
    assert tools == (ADD,)
    assert [(m["role"], m["content"]) for m in messages] == [
        ("system", "s"), ("user", "u\x00"), ("tool", "1"), ("user", "2"),
    ]  # fmt: skip


# Caps and progress ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "prices"),
    [
        (Cap(requests=3), None),
        (Cap(tokens=900), None),
        (Cap(cost=900e-6), Prices(1, 1)),
    ],
)
def test_a_cap_is_not_passed_and_a_larger_one_goes_on(server, ask, tmp_path, cap, prices):
    path = tmp_path / "answers.jsonl"
    whole = run(ask())
    server.plan()
    policy = ask(journal=Journal(path), cap=cap, prices=prices)
    with pytest.raises(CapReached, match="cap on spend"):
        run(policy)
    first = len(server.bodies)
    assert 0 < first < 6
    assert policy.spent.requests == first
    assert cap.allows(policy.spent, prices)
    with pytest.raises(CapReached):  # what was spent before counts
        run(ask(journal=Journal(path), cap=cap, prices=prices))
    assert len(server.bodies) == first
    assert run(ask(journal=Journal(path))) == whole
    assert len(server.bodies) == 6


def test_each_answer_is_told(ask):
    seen: list[Spent] = []
    policy = ask(on_answer=seen.append)
    run(policy)
    assert [s.requests for s in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1] == policy.spent
    assert policy.spent.completion_tokens > 6


def test_an_interrupt_stops_at_once_and_keeps_what_came(server, ask, tmp_path, monkeypatch):
    server.plan(faults={str(i): {"kind": "hang", "seconds": 30} for i in range(3, 9)})
    path = tmp_path / "answers.jsonl"
    join = threading.Thread.join

    def interrupted(thread, timeout=None):
        if thread.name != "endpoint" or timeout is not None:
            return join(thread, timeout)
        join(thread, 1.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(ask(journal=Journal(path)))
    assert time.monotonic() - began < 10
    assert len(Journal(path)) == 3 * 4


def test_a_notebooks_loop_is_not_in_the_way(ask):
    import asyncio

    async def cell():
        return run(ask())

    assert asyncio.run(cell()) == run(ask())


def test_requests_say_what_the_engine_asked(ask):
    """A policy by hand, without the engine."""
    policy = ask()
    ids = policy.encode_open(TASKS[0].prompt)
    request = Request(ids, 2, 40, TASKS[0])
    (first, second) = policy.sample([request, replace(request, turn=1)], seed=1)
    assert [policy.decode(s.ids) for s in first] != []
    assert [len(g) for g in (first, second)] == [2, 2]
    assert policy.spent.requests == 2
