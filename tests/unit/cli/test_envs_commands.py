"""`minirl envs check`, `minirl envs new`, and tools in `minirl play`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import faulty_envs
import pytest

from minirl.cli.play import short_call
from minirl.envs import make_env
from minirl.envs.scaffold import write_scaffold
from minirl.testing import assert_audited

FAULTY = Path(faulty_envs.__file__)


def test_a_sound_environment_passes(minirl):
    ended = minirl("envs", "check", f"{FAULTY}:Sum", "--tasks", "20", "--quick")
    assert (ended.code, ended.err) == (0, "")
    assert "passed" in ended.out
    assert "FAILED" not in ended.out


def test_a_faulty_one_shows_the_failing_example_in_full(minirl):
    ended = minirl("envs", "check", f"{FAULTY}:KindOnUnicode", "--tasks", "20", "--quick")
    assert ended.code == 1
    assert "look_alikes (FAILED, " in ended.out
    assert "task:       sum/train/0" in ended.out
    assert "[user] What is " in ended.out
    assert "completion: Answer: " in ended.out
    assert "score:      1, solved" in ended.out
    assert "FAILED (look_alikes)" in ended.out


def test_the_example_cannot_command_the_terminal(minirl):
    ended = minirl("envs", "check", f"{FAULTY}:EmptyPasses", "--tasks", "12", "--quick")
    assert ended.code == 1
    assert not {"\x1b", "\x00", "\u200b", "\u202e"} & set(ended.out)


def test_json_holds_every_check_with_its_counts(minirl):
    words = ("envs", "check", f"{FAULTY}:NoDecoys", "--tasks", "12", "--quick", "--json")
    ended = minirl(*words)
    (record,) = json.loads(ended.out)
    checks = {c["check"]: c for c in record["checks"]}
    assert (ended.code, record["passed"]) == (1, False)
    assert checks["gold"]["outcome"] == "passed"
    assert checks["gold"]["tries"] == 24
    assert checks["decoys"]["outcome"] == "FAILED"
    assert checks["decoys"]["example"]["why"].startswith("decoys() is empty")
    assert checks["alternatives"]["outcome"] == "not tried"


def test_an_unknown_environment_is_a_usage_error(minirl):
    ended = minirl("envs", "check", "arithmetik")
    assert ended.code == 2
    assert "did you mean 'arithmetic'?" in ended.err


@pytest.mark.parametrize(
    ("kind", "spec"), [((), "./my_env.py:MyEnv"), (("--multi-turn",), "./my_env.py:MyEnv")]
)
def test_the_scaffold_passes_its_own_audit(minirl, tmp_path, kind, spec):
    ended = minirl("envs", "new", "my_env", *kind)
    assert ended.code == 0
    assert f"minirl envs check {spec}" in ended.out
    assert {p.name for p in tmp_path.iterdir()} == {"my_env.py", "test_my_env.py"}
    assert "assert_audited(SPEC" in (tmp_path / "test_my_env.py").read_text()
    ended = minirl("envs", "check", f"{spec}:1", "--tasks", "40", "--quick", "--json")
    assert ended.code == 0, ended.out


def test_the_scaffolds_levels_keep_their_splits_apart(tmp_path):
    spec = write_scaffold("begun", tmp_path, multi_turn=False, force=False).spec
    one, two = (make_env(f"{spec}:{level}") for level in "12")
    keys = {
        split: {env.task(split, i).data["key"] for env in (one, two) for i in range(60)}
        for split in ("train", "test")
    }
    assert not keys["train"] & keys["test"]


def test_new_never_overwrites_unless_told_to(minirl, tmp_path):
    (tmp_path / "my_env.py").write_text("mine")
    ended = minirl("envs", "new", "my_env")
    assert ended.code == 2
    assert "there already" in ended.err
    assert (tmp_path / "my_env.py").read_text() == "mine"
    assert not (tmp_path / "test_my_env.py").exists()
    assert minirl("envs", "new", "my_env", "--force").code == 0
    assert "class MyEnv(" in (tmp_path / "my_env.py").read_text()


@pytest.mark.parametrize(
    "name", ["../evil", "My", "a-b", "class", "", "a" * 41, "1a", "a.b", "\u0430"]
)
def test_only_identifiers_are_names(minirl, tmp_path, name):
    ended = minirl("envs", "new", "--", name)
    assert ended.code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_helper_of_authors_tells_what_failed():
    with pytest.raises(AssertionError, match="pickles") as failure:
        assert_audited(f"{FAULTY}:Unpicklable", tasks=12)
    assert "it cannot be pickled" in str(failure.value)


def test_play_calls_tools_by_their_short_form(minirl, monkeypatch):
    box = make_env(f"{FAULTY}:Vault").task("train", 0).data["box"]
    typed = f"open_box box={box}\n\nAnswer: nothing\n\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    ended = minirl("play", f"{FAULTY}:Vault")
    content = make_env(f"{FAULTY}:Vault").task("train", 0).data["content"]
    assert ended.code == 0
    assert "open_box(box: integer)  Open a box." in ended.out
    assert "for example:  open_box box=" in ended.out
    assert f"[tool] {content}" in ended.out
    assert "not solved: score 0" in ended.out


TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "find",
            "parameters": {"properties": {"text": {"type": "string"}, "n": {"type": "integer"}}},
        },
    },
)


@pytest.mark.parametrize(
    ("typed", "arguments"),
    [
        ("find", {}),
        ("find text=12 n=3", {"text": "12", "n": 3}),
        ("find text='two words' n=[1]", {"text": "two words", "n": [1]}),
        ("find n=three name=x", {"n": "three", "name": "x"}),
        ("find text=a=b", {"text": "a=b"}),
    ],
)
def test_a_short_call_is_the_call_it_means(typed, arguments):
    call = short_call(typed, TOOLS)
    assert call is not None
    body = json.loads(call.removeprefix("<tool_call>").removesuffix("</tool_call>"))
    assert body == {"name": "find", "arguments": arguments}


@pytest.mark.parametrize("typed", ["", "find it", "lose n=1", "find 'n=1", "Answer: find"])
def test_other_text_is_no_call(typed):
    assert short_call(typed, TOOLS) is None
