"""What the commands print: JSON that is nothing else, help with examples, text that is harmless."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
import typer.main

import minirl as package
from minirl.cli.main import app


def commands(group=None, path=()):
    """Every command and group, as the words that call it."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        yield (*path, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_help_has_an_example_of_its_own_command(minirl, words):
    ended = minirl(*words, "--help")
    assert ended.code == 0
    assert f"Example: minirl {' '.join(words)}" in " ".join(ended.out.split())


def test_the_walk_finds_the_commands():
    assert {("run",), ("play",), ("envs",), ("models", "pull")} <= set(commands())


def test_version(minirl):
    assert minirl("--version") == (0, f"minirl {package.__version__}\n", "")


@pytest.mark.parametrize("words", [("--debug", "run", "tinny"), ("run", "tinny", "--debug")])
def test_debug_shows_the_traceback(minirl, words):
    ended = minirl(*words)
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert "Traceback" not in minirl("run", "tinny").err


def test_a_bug_of_ours_is_told_as_one(minirl, monkeypatch):
    def bug():
        raise AssertionError("\x1b[31mno")

    monkeypatch.setattr("minirl.envs.list_envs", bug)
    ended = minirl("envs", "ls")
    assert ended.code == 1
    assert r"unexpected AssertionError: \x1b[31mno" in ended.err
    assert "--debug" in ended.err


# JSON ---------------------------------------------------------------------------------------------


def test_lists_as_json(minirl):
    envs = json.loads(minirl("envs", "ls", "--json").out)
    assert "arithmetic" in [e["name"] for e in envs]
    assert "quickstart" in json.loads(minirl("recipes", "ls", "--json").out)
    models = json.loads(minirl("models", "ls", "--json").out)
    assert [m["name"] for m in models] == ["smollm2-135m", "tiny"]


def test_samples_are_a_json_line_each(minirl):
    ended = minirl("sample", "tiny", "--policy", "gold", "--tasks", "2", "-n", "3", "--json")
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert [r["solved"] for r in records] == [True] * 6
    assert len({r["task"] for r in records}) == 2


def test_train_eval_and_run_print_one_json_object(minirl, tiny_cache):
    short = ("--set", "train.steps=1", "--set", "eval.tasks=4", "--json")
    trained = minirl("train", "tiny", *short)
    assert json.loads(trained.out) == {
        "run": "runs/tiny",
        "adapter": "runs/tiny/adapter",
        "eval": None,
    }
    assert "training on arithmetic for 1 steps" in trained.err

    evaluated = json.loads(minirl("eval", "tiny", "--json").out)["eval"]
    assert evaluated["tuned"]["solved"]["n"] == 4
    again = minirl("eval", "tiny", "--set", "eval.tasks=8", "--force", "--json")
    assert json.loads(again.out)["eval"]["tuned"]["solved"]["n"] == 8

    assert json.loads(minirl("run", "tiny", *short, "--no-probe", "--force").out)["eval"]["base"]

    tuned = minirl("sample", "tiny", "--tasks", "1", "-n", "1", "--json")
    assert json.loads(tuned.out)["task"] == "arithmetic/test/0"
    assert minirl("sample", "tiny", "--env", "countdown").code == 2


# A pipe, and hostile text -------------------------------------------------------------------------


@pytest.mark.parametrize("form", [("--json",), ()])
def test_a_reader_that_leaves_is_no_error(form):
    words = ["sample", "tiny", "--policy", "gold", "--tasks", "20", "-n", "99", *form]
    with subprocess.Popen(
        [sys.executable, "-m", "minirl", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, b"")


def test_samples_cannot_command_the_terminal(minirl, my_env):
    ended = minirl("sample", "tiny", "--env", my_env, "--policy", "gold", "--tasks", "1", "-n", "1")
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert r"\x1b[2J[bold]why[/bold]" in ended.out


def test_another_environment_leaves_the_recipes_options(minirl, my_env):
    words = ("sample", "tiny", "--env", my_env, "--policy", "gold", "--json")
    assert minirl(*words).code == 0
    assert "no such key" in minirl(*words, "--set", "env.options.left=3").err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("7\n\n", r"solved: score 1 () \x1b[2J[bold]why[/bold]"),
        ("seven", "not solved: score 0"),
        ("", "not solved: score 0 () the player left"),
    ],
)
def test_play(minirl, my_env, monkeypatch, typed, told):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    ended = minirl("play", my_env, "--gold")
    assert ended.code == 0
    assert told in ended.out
    assert ended.out.endswith("gold:\n7\n")
    assert "\x1b" not in ended.out


def test_play_tells_whose_bug_it_is(minirl, my_env, tmp_path, monkeypatch):
    (tmp_path / "do").write_text("raise in train")
    monkeypatch.setattr(sys, "stdin", io.StringIO("7\n\n"))
    ended = minirl("play", my_env)
    assert ended.code == 1
    assert "environment my_env failed in step(): ZeroDivisionError" in ended.err


def test_recipes_are_copied_shown_and_checked(minirl, tmp_path):
    assert minirl("recipes", "cp", "tiny", "mine.toml").code == 0
    shown = minirl("recipes", "show", "mine.toml").out
    assert shown == (tmp_path / "mine.toml").read_text()
    assert minirl("recipes", "check", "mine.toml").out.startswith("mine.toml: good (arithmetic")
    (tmp_path / "mine.toml").write_text("# mine")
    assert minirl("recipes", "cp", "tiny", "mine.toml").code == 2
    assert (tmp_path / "mine.toml").read_text() == "# mine"
    assert "train.group_size (default 8): G:" in minirl("recipes", "show", "tiny", "--explain").out


def test_envs_show_proves_what_it_says(minirl):
    out = minirl("envs", "show", "arithmetic:2", "--tasks", "1").out
    assert "arithmetic:2/train/0" in out
    assert "[gold] " in out
    assert "option left" in out


def test_what_an_environment_says_of_itself_is_shown(minirl):
    words = ("sample", "quickstart", "--env", "gsm8k:procedural", "--policy", "gold", "--json")
    ended = minirl(*words, "--tasks", "1", "-n", "1")
    assert ended.code == 0
    assert "note: gsm8k:procedural is not GSM8K" in ended.err
    assert json.loads(ended.out)["solved"] is True
