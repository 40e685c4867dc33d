from __future__ import annotations

import io
import os

import pytest
from rich.console import Console

from minirl.report.console import (
    Output,
    TrainingView,
    evaluation_table,
    evaluation_verdict,
    notices,
    progress_bar,
    results,
    rollout_text,
)

HOSTILE = "\x1b[2J[bold]x[/bold] :smile: [link=file:///etc]"
SHOWN = r"\x1b[2J[bold]x[/bold] :smile: [link=file:///etc]"


def printed(thing, **options) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(thing, **options)
    return out.getvalue()


def rate(value: float) -> dict:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 20}


def side(value: float, lenient: float | None = None) -> dict:
    return {
        "solved": rate(value),
        "lenient": None if lenient is None else rate(lenient),
        "truncated": 0.05,
        "mean_tokens": 12.0,
    }


EVALUATION = {
    "env": "arithmetic:2",
    "temperature": 1.0,
    "base": side(0.3),
    "tuned": side(0.6),
    "difference": {"value": 0.3, "low": 0.1, "high": 0.45, "tasks": 20},
    "gained": 7,
    "lost": 1,
    "mcnemar_p": 0.0703,
}


def test_a_rollout_is_shown_and_never_obeyed():
    message = {"role": "assistant", "content": HOSTILE + "\nsecond line"}
    record = {
        "task": "t/test/0",
        "prompt": [{"role": "user", "content": HOSTILE}],
        "messages": [message],
        "parts": {"format": 1.0},
        "solved": False,
        "value": 0.0,
        "reason": HOSTILE,
        "tokens": 5,
        "stop": "eos",
    }
    text = printed(rollout_text(record), soft_wrap=True)
    assert text.count(SHOWN) == 3
    assert "\x1b" not in text
    assert "          | second line" in text
    assert "(format 1; 5 tokens, stop: eos)" in text
    assert "not solved" in text


def test_what_is_said_is_neither_markup_nor_broken(capsys):
    notices().say(HOSTILE + "x" * 300)
    results().say("a result")
    out, err = capsys.readouterr()
    assert err == SHOWN + "x" * 300 + "\n"
    assert out == "a result\n"


class Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_results_tell_when_nobody_reads_them():
    with pytest.raises(BrokenPipeError):
        Output(file=Closed()).say("x")


def test_training_goes_on_when_nobody_reads_its_progress(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        console = notices()
        console.say("x")
        console.say("y")
        assert console.quiet  # and closing the file, which flushes it, raises nothing


def test_evaluation_says_n_intervals_and_the_paired_test():
    text = printed(evaluation_table(EVALUATION))
    assert "arithmetic:2" in text
    assert "30.0 % [20.0, 40.0] (n = 20)" in text
    assert "60.0 % [50.0, 70.0] (n = 20)" in text
    assert "lenient" not in text
    with_lenient = {**EVALUATION, "base": side(0.3, 0.5), "tuned": side(0.6, 0.7)}
    assert "lenient" in printed(evaluation_table(with_lenient))
    assert evaluation_verdict(EVALUATION) == (
        "tuned - base: +30.0 points [+10.0, +45.0], paired over 20 tasks; "
        "7 gained, 1 lost (McNemar p = 0.07)"
    )
    assert "McNemar" not in evaluation_verdict({**EVALUATION, "mcnemar_p": None})


def step(number: int, solved: float, seconds: float = 2.0) -> dict:
    return {
        "step": number,
        "reward": solved,
        "solved": solved,
        "solved_n": 10.0,
        "signal": 0.5,
        "time": {"step": seconds, "tokens_per_second": None},
    }


def test_training_view_pools_five_steps_and_tells_what_is_left():
    out = io.StringIO()
    console = Console(file=out, width=200)
    with progress_bar(console) as progress:
        view = TrainingView(console, steps=10, progress=progress)
        for number in range(1, 8):
            view.rollouts(3, 8)
            view.step(step(number, 0.0 if number < 3 else 1.0))
    lines = out.getvalue().splitlines()
    assert lines[0].split()[0] == "step"
    assert len(lines) == 8
    assert "(n = 10  )" in lines[1]
    assert "100 % [ 93, 100] (n = 50  )" in lines[7]  # steps 3 to 7
    assert lines[7].endswith("6 s")
