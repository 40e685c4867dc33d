"""The report's samples in a real browser: found, shaded, folded; hostile text stays text."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import finished_run as made
import pytest
from chromium import Browser
from report_reader import choose, dots, every_rollout, write

from minirl.report.text import visible
from minirl.rundir import read_jsonl

LONG = "x" * 100_000


def test_filters_find_what_an_independent_count_finds(browser, runs, urls):
    browser.open(urls["full"])
    rollouts = every_rollout(runs["full"])
    found = lambda keep: sum(keep(r) for r in rollouts)  # noqa: E731
    assert choose(browser) == len(rollouts)
    assert choose(browser, outcome="1") == found(lambda r: r["solved"])
    assert choose(browser, outcome="0") == found(lambda r: not r["solved"])
    assert choose(browser, source="training") == found(
        lambda r: r["source"] == "training" and not r["solved"]
    )
    assert choose(browser, step="12", outcome="") == found(lambda r: r.get("step") == 12)
    assert choose(browser, step="", source="prove: tuned", outcome="1") == found(
        lambda r: r["source"] == "prove: tuned" and r["solved"]
    )
    assert choose(browser, source="", outcome="", task="arithmetic:2/test/7") == found(
        lambda r: r["task"] == "arithmetic:2/test/7"
    )
    assert choose(browser, task="", search="Answer: 17") == found(
        lambda r: "answer: 17" in r["messages"][-1]["content"].lower()
    )
    assert browser.value("document.querySelectorAll('.rollouts > li').length") <= 40
    browser.value("document.getElementById('f-clear').click()")
    assert choose(browser) == len(rollouts)
    browser.value("document.getElementById('more').click()")
    assert browser.value("document.querySelectorAll('.rollouts > li').length") == 80


def opened_text(browser: Browser, search: str) -> str:
    """The only rollout with these words: what it reads when it is opened."""
    assert choose(browser, search=search) == 1
    browser.value("document.querySelector('.rollout > summary').click()")
    browser.wait("document.querySelector('.rollout .assistant .text')")
    return str(browser.value("document.querySelector('.rollout .assistant .text').textContent"))


@pytest.mark.parametrize(
    ("text", "search"),
    [*zip(made.HOSTILE, ("alert(1)", "alert(3)", "bidi", "alert(4)"), strict=True),
     (LONG, "xxxxxxx"), ("lone \ud800 half", "lone")],
)  # fmt: skip
@pytest.mark.parametrize("width", [1280, 360])
def test_a_hostile_completion_is_text(browser, urls, text, search, width):
    browser.open(urls["full"], width=width)
    shown = opened_text(browser, search)
    assert shown.removesuffix("<|end|>") == visible(text)
    assert len(shown) < 4100
    assert browser.complaints() == []  # no dialog, no blocked script: nothing tried to run
    assert (
        browser.value("document.querySelectorAll('img, main script, main svg[onload]').length") == 0
    )
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.querySelectorAll('script').length") == 2


def test_tokens_are_shaded_by_their_probability(browser, runs, urls):
    browser.open(urls["full"])
    record = next(r for r in every_rollout(runs["full"]) if r["source"] == "eval: tuned")
    choose(browser, source="eval: tuned", task=record["task"])
    browser.value("document.querySelector('.rollout > summary').click()")
    browser.wait("document.querySelector('.rollout .tok')")
    tokens = browser.value(
        "[...document.querySelectorAll('.rollout .assistant .tok')].map(t =>"
        " [t.textContent, Number(t.className.match(/p(\\d)/)[1]), t.title])"
    )
    logprobs = record["logprobs"]
    assert len(tokens) == len(logprobs)
    assert "".join(t for t, _, _ in tokens) == record["messages"][0]["content"] + "<|end|>"
    for (_, level, title), logprob in zip(tokens, logprobs, strict=True):
        assert math.log(float(title.removeprefix("p = "))) == pytest.approx(logprob, abs=0.35)
        assert abs(level - min(7, 4.4 * math.log1p(-logprob))) < 0.7
    likely, unlikely = (tokens[logprobs.index(f(logprobs))][1] for f in (max, min))
    assert likely < unlikely


def test_tool_calls_are_folded_and_open(browser, urls):
    browser.open(urls["full"])
    choose(browser, source="eval: base", task="arithmetic:2/test/1")
    browser.value("document.querySelector('.rollout > summary').click()")
    browser.wait("document.querySelector('.rollout .call')")
    assert browser.value("document.querySelectorAll('.rollout details.call[open]').length") == 0
    names = browser.value(
        "[...document.querySelectorAll('.rollout .call > summary')].map(s => s.textContent)"
    )
    assert names == ["Tool call: add", "Tool result"]
    browser.value("document.querySelectorAll('.rollout .call > summary').forEach(s => s.click())")
    browser.wait("document.querySelectorAll('.rollout .call pre').length === 1")
    arguments = browser.value("document.querySelector('.rollout .call pre').textContent")
    assert json.loads(arguments) == {"a": 7, "b": 5}
    roles = browser.value(
        "[...document.querySelectorAll('.rollout .role')].map(r => r.textContent)"
    )
    assert roles == ["system", "user", "assistant", "tool", "assistant"]


def test_five_thousand_long_rollouts_fit_and_open_quickly(browser, tmp_path):
    run = made.make_run(tmp_path / "big", steps=125)
    writer = made.Writer(made.tokenizer(run.adapter))
    made.add_training(run, writer, steps=125, prompts=4, words=92)
    made.finish_training(run)
    rollouts = read_jsonl(run.rollouts)
    assert len(rollouts) == 5000
    assert 90 < sum(r["tokens"] for r in rollouts) / 5000 < 120
    began = time.process_time()
    url = write(run)
    assert time.process_time() - began < 10  # 3 s on a machine that does nothing else
    assert run.report.stat().st_size < 5_000_000
    assert browser.open(url) < 10
    assert choose(browser) == 5000
    began = time.monotonic()
    assert choose(browser, search="Answer: 17") == sum(
        "Answer: 17" in r["messages"][0]["content"] for r in rollouts
    )
    assert time.monotonic() - began < 5
    assert browser.complaints() == []


def test_watch_renews_the_page_and_keeps_the_readers_place(browser, tmp_path):
    run = made.make_run(tmp_path / "live")
    writer = made.Writer(made.tokenizer(run.checkpoint(10)))
    made.add_training(run, writer, steps=4)
    command = [sys.executable, "-m", "minirl", "report", str(run.path), "--watch"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        url = lines[1].split()[1]
        assert url.startswith("http://127.0.0.1:")
        browser.open(url, height=700)
        assert len(dots(browser, "entropy")["Entropy"]) == 4
        before = choose(browser, outcome="1", step="2")
        browser.value("document.querySelector('.rollout > summary').click()")
        browser.value("document.querySelector('#samples').scrollIntoView({behavior: 'instant'})")
        browser.value("document.getElementById('f-search').focus({preventScroll: true})")
        top = "document.querySelector('#samples').getBoundingClientRect().top"
        place = browser.value(top)
        made.add_training(run, writer, steps=2, first=5)
        browser.wait(
            "document.querySelectorAll('[data-figure=entropy] [data-series] circle').length === 6"
        )
        assert (
            choose(browser)
            == before
            == sum(r["solved"] and r["step"] == 2 for r in read_jsonl(run.rollouts))
        )
        assert browser.value("document.getElementById('f-step').value") == "2"
        assert browser.value("document.activeElement.id") == "f-search"
        assert browser.value("document.querySelectorAll('.rollout[open]').length") == 1
        assert browser.value(top) == pytest.approx(place, abs=2)
        assert browser.value("document.querySelectorAll('#f-step option').length") == 1 + 6
        assert browser.complaints() == []
        assert all(u.startswith((url, "data:")) for u in browser.requested())
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == f"minirl: stopped; {run.report} is as it was last written\n"
    assert Path(run.report).stat().st_size > 0
