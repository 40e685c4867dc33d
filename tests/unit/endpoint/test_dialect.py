"""What servers refuse, in the words they are known to use."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from minirl.endpoint.dialect import Dialect, adapted
from minirl.endpoint.wire import Question, Sampling

TOOL = {"type": "function", "function": {"name": "add"}}
QUESTION = Question(
    "m", ({"role": "user", "content": "hi"},), (TOOL,), 4, 50, Sampling(1.0, 0.9, 20), 7
)


def openai(message, param=None):
    return json.dumps({"error": {"message": message, "param": param, "code": None}})


def test_a_whole_body():
    assert Dialect().body(QUESTION) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 1.0,
        "max_tokens": 50,
        "seed": 7,
        "n": 4,
        "top_p": 0.9,
        "top_k": 20,
        "tools": [TOOL],
    }


def test_what_is_off_is_not_sent():
    plain = replace(QUESTION, n=1, tools=(), sampling=Sampling())
    assert Dialect().body(plain).keys() == {
        "model",
        "messages",
        "temperature",
        "max_tokens",
        "seed",
    }


@pytest.mark.parametrize(
    ("refusal", "dialect"),
    [
        (
            openai(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "max_tokens",
            ),
            Dialect(limit="max_completion_tokens"),
        ),
        (
            openai("Unrecognized request argument supplied: top_k"),
            Dialect(left_out=frozenset({"top_k"})),
        ),
        (
            '{"detail":[{"loc":["body","seed"],"msg":"extra"}]}',
            Dialect(left_out=frozenset({"seed"})),
        ),
        (openai("Unknown name", "seed"), Dialect(left_out=frozenset({"seed"}))),
        (
            openai("Unsupported value: 'temperature' does not support 0.7. Only the default (1)"),
            Dialect(left_out=frozenset({"temperature"})),
        ),
        ('{"message":"n must be 1 when using greedy sampling, got 4."}', Dialect(single=True)),
        ("'n' is not supported", Dialect(single=True)),
        (openai("Field 'n': Value must be between 1 <= value <= 4"), Dialect(single=True)),
        (openai("Only one completion choice is allowed", "n"), Dialect(single=True)),
        (
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser',
            Dialect(tools_as_text=True),
        ),
    ],
)
def test_refusals_are_understood_once(refusal, dialect):
    found = adapted(Dialect(), QUESTION, refusal)
    assert found is not None
    assert found[0] == dialect
    assert adapted(dialect, QUESTION, refusal) is None


def test_each_change_takes_the_parameter_out():
    body = Dialect(
        limit="max_completion_tokens",
        tools_as_text=True,
        left_out=frozenset({"seed", "top_k", "temperature"}),
    ).body(QUESTION)
    assert body.keys() == {
        "model", "messages", "max_completion_tokens", "n", "top_p", "tools", "tool_choice",
    }  # fmt: skip
    assert body["tool_choice"] == "none"


@pytest.mark.parametrize(
    "refusal",
    [
        "",
        "[" * 100_000,
        '{"error": "bad request"}',
        openai("This model's maximum context length is 4096 tokens in the messages"),
        openai("you can not do that\\n in here"),
    ],
)
def test_other_refusals_change_nothing(refusal):
    assert adapted(Dialect(), QUESTION, refusal) is None


def test_another_temperature_is_never_left_out():
    hot = replace(QUESTION, sampling=Sampling(0.7))
    assert adapted(Dialect(), hot, openai("Unsupported value", "temperature")) is None
