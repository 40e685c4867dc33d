"""`minirl plan`."""

from __future__ import annotations

import json

import pytest


def test_json_says_all(minirl):
    ended = minirl("plan", "quickstart", "--gpu", "rtx 3060", "--json")
    record = json.loads(ended.out)
    assert ended.code == 0
    assert record["target"]["name"] == "RTX 3060"
    assert record["total"] == sum(record["parts"].values())
    assert record["fits"] is True
    assert record["backend"] == "unsloth"
    assert record["pace"]["note"] == "rough estimate, not measured"
    assert record["licence"] == "Apache-2.0"


def test_a_table_and_a_verdict(minirl):
    out = minirl("plan", "quickstart", "--vram", "8").out
    assert "activations" in out
    assert "fits:" in out
    assert "settled: model.max_seq_length = " in out
    assert "estimated" in out or "tokenized" in out


def test_advice_can_be_pasted_and_holds(minirl):
    big = ("plan", "quickstart", "--gpu", "T4", "--set", "model.name=Qwen/Qwen3-8B", "--json")
    record = json.loads(minirl(*big).out)
    assert record["fits"] is False
    [advice] = record["advice"]
    words = [w for part in advice.split("--set ")[1:] for w in ("--set", part.split()[0])]
    assert words
    assert json.loads(minirl(*big, *words).out)["fits"] is True


def test_this_machine_and_its_cpu(minirl):
    assert json.loads(minirl("plan", "tiny", "--cpu", "--json").out)["target"]["device"] == "cpu"
    assert json.loads(minirl("plan", "tiny", "--json").out)["fits"] is True


def test_env_and_vram_override(minirl, my_env):
    record = json.loads(
        minirl("plan", "tiny", "--env", my_env, "--gpu", "3090", "--vram", "6", "--json").out
    )
    assert record["target"]["memory"] == 6 * 2**30


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--gpu", "RTX 3061"), "no card is called"),
        (("--vram", "0"), "--vram 12"),
        (("--cpu", "--vram", "8"), "contradicts"),
        (("--set", "model.name=smolm2-135m"), "did you mean smollm2-135m?"),
        (("--cpu", "--set", "model.backend=unsloth"), "--set model.backend=auto"),
    ],
)
def test_one_clear_message(minirl, words, told):
    ended = minirl("plan", "quickstart", *words)
    assert ended.code == 2
    assert ended.out == ""
    assert told in ended.err
    assert ended.err.startswith("minirl: error: ")
