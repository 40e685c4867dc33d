"""`minirl chat`: a turn a line, through llama.cpp and through transformers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_families import add_adapter
from tiny_gguf import write_tiny_gguf

from minirl.cli.session import read_recipe
from minirl.export.llama.backends import BACKENDS, is_installed
from minirl.rundir import RunDir

TASK = "What is 345 + 0? End with Answer: and the number."


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pipes lines into the next command."""

    def pipe(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return pipe


def test_a_gguf_answers_a_turn_a_line(minirl, stdin, tiny_cache: Path, tmp_path: Path) -> None:
    if not any(map(is_installed, BACKENDS)):
        pytest.skip("no llama.cpp: pip install -c constraints.txt '.[gguf]'")
    file = write_tiny_gguf(tiny_cache / "tiny", tmp_path / "tiny.gguf")
    stdin(TASK, "", "/reset", TASK, "/exit", TASK)
    ended = minirl("chat", str(file), "--temperature", "0", "--max-tokens", "20")
    assert ended.code == 0
    first, second = ended.out.splitlines()
    assert first == second
    assert "nswer" in first
    assert "loading tiny.gguf in llama.cpp" in ended.err

    stdin(TASK, TASK)  # the second turn has the first before it
    ended = minirl("chat", str(file), "--temperature", "0", "--max-tokens", "20")
    assert ended.code == 0, ended.err
    first_again, other = ended.out.splitlines()
    assert first_again == first != other


def test_a_run_answers_with_its_adapter_and_without(
    minirl, stdin, tiny_cache: Path, tmp_path: Path
) -> None:
    recipe = read_recipe("tiny", overrides=[], env=None, seed=None)
    config = recipe.model_dump(mode="json")
    run = RunDir.create(tmp_path / "runs" / "tiny", recipe_toml="", config=config, force=False)
    words = ("chat", "tiny", "--temperature", "0", "--max-tokens", "20")
    assert "tiny has no adapter" in minirl(*words).err
    sizes = {"r": recipe.model.lora_r, "lora_alpha": 8 * recipe.model.lora_alpha}
    add_adapter(tiny_cache / "tiny", run.adapter, **sizes)

    answers = []
    for more in ((), ("--base",)):
        stdin(TASK)
        ended = minirl(*words, *more)
        assert ended.code == 0, ended.err
        answers.append(ended.out)
    tuned, base = answers
    assert "nswer" in base
    assert tuned.strip() != base.strip()

    stdin("x" * 2000)
    long = minirl(*words)
    assert long.code == 1
    assert "whole context" in long.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("nothing-here",), "nothing-here"),
        (("none.gguf",), "no such GGUF file"),
        (("none.gguf", "--base"), "--base is for a run"),
        (("tiny", "--lora", "x.gguf"), "--lora is for a GGUF"),
    ],
)
def test_wrong_usage(minirl, words: tuple[str, ...], complaint: str) -> None:
    ended = minirl("chat", *words)
    assert ended.code in (1, 2)
    assert complaint in ended.err


class Scripted:
    """Says hostile things, is stopped in the second answer, and forgets nothing."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []

    def answer(self, messages, say, **_) -> None:
        self.heard.append([m.content for m in messages])
        say("\x1b[31mred\n")
        say("\u202eend")
        if len(self.heard) == 2:
            raise KeyboardInterrupt


def test_a_person_stops_an_answer_and_sees_no_terminal_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from minirl.cli import chat

    lines: Iterator[str] = iter(["one", "two", "  ", "three", "/reset", "four"])

    def typed(_: str) -> str:
        line = next(lines, None)
        if line is None:
            raise KeyboardInterrupt  # at the prompt it leaves
        return line

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    speaker = Scripted()
    chat._talk(speaker, "be brief", 0.7, 10, 0)
    said = "\x1b[31mred\n\u202eend"
    assert speaker.heard == [
        ["be brief", "one"],
        ["be brief", "one", said, "two"],
        ["be brief", "one", said, "two", said, "three"],
        ["be brief", "four"],
    ]
    out = capsys.readouterr().out
    assert out.startswith("\\x1b[31mred\n\\u202eend\n")
    assert "\x1b" not in out
    assert out.count("[stopped]") == 1
