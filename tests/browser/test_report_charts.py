"""`minirl report`'s page in a real browser: every chart as the numbers say, on any screen."""

from __future__ import annotations

import json
from itertools import pairwise

import finished_export as finished
import finished_run as made
import pytest
from chromium import Browser
from report_reader import dots, of, write

from minirl.rundir import read_jsonl

CHARTS = {
    "probed": {"probe-p", "probe-signal", "ladder"},
    "mid": {"reward", "signal", "lengths", "truncated", "entropy", "lr", "grad", "kl", "loss"}
    | {"speed", "timing"},
}
CHARTS["full"] = (
    CHARTS["probed"]
    | CHARTS["mid"]
    | {"eval", "pass-at-k", "pass-difference", "checkpoints", "histogram", "coverage", "policies"}
    | {"diversity", "distance", "regressions", "export"}
)


MARKS = """
[...document.querySelectorAll('svg.chart')].map(chart => {
  const names = ['d', 'x', 'y', 'x1', 'x2', 'y1', 'y2', 'cx', 'cy', 'width', 'height'];
  const box = chart.viewBox.baseVal;
  return {
    width: box.width, height: box.height, shown: chart.getBoundingClientRect().width,
    numbers: [...chart.querySelectorAll('*')]
      .flatMap(n => names.map(a => n.getAttribute(a)).filter(v => v !== null)),
    boxes: [...chart.querySelectorAll('path, rect, circle, text')].map(n => {
      const b = n.getBBox();
      return [b.x, b.y, b.x + b.width, b.y + b.height];
    }),
  };
})
"""
OVERLAPS = """
[...document.querySelectorAll('svg.chart, .ticks svg')].flatMap(chart => {
  const texts = [...chart.querySelectorAll('text')].filter(t => t.textContent);
  const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
    .filter(([, q]) => p.left < q.right - 1 && q.left < p.right - 1
      && p.top < q.bottom - 3 && q.top < p.bottom - 3)
    .map(([b]) => `${chart.getAttribute('aria-labelledby')}: ${a} / ${b}`));
})
"""


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", ["full", "probed", "mid"])
def test_opens_from_disk_without_a_complaint_and_asks_for_nothing(browser, urls, name, width):
    browser.open(urls[name], width=width)
    assert browser.complaints() == []
    assert [u for u in browser.requested() if not u.startswith("data:")] == [urls[name]]
    assert browser.value("performance.getEntriesByType('resource').length") == 0
    assert browser.value("document.documentElement.scrollWidth") <= width
    shown = browser.value(
        "[...document.querySelectorAll('[data-figure]')].map(f => f.dataset.figure)"
    )
    assert set(shown) == CHARTS[name]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", ["full", "probed", "mid"])
def test_every_mark_is_finite_and_inside_its_picture(browser, urls, name, width):
    browser.open(urls[name], width=width)
    charts = browser.value(MARKS)
    assert charts
    for chart in charts:
        assert 200 < chart["width"] <= width
        assert abs(chart["shown"] - chart["width"]) < 1.5  # text keeps its size
        assert not any("NaN" in n or "Infinity" in n or "undefined" in n for n in chart["numbers"])
        for left, top, right, bottom in chart["boxes"]:
            assert -2 <= left <= right <= chart["width"] + 4
            assert -2 <= top <= bottom <= chart["height"] + 4


@pytest.mark.parametrize("width", [1280, 390, 360])
def test_no_two_labels_of_a_chart_overlap(browser, urls, width):
    browser.open(urls["full"], width=width)
    overlaps = browser.value(OVERLAPS)
    assert overlaps == []


def test_pass_at_k_is_drawn_where_the_numbers_say(browser, runs, urls):
    browser.open(urls["full"])
    record = json.loads(runs["full"].prove.read_text())
    drawn = dots(browser, "pass-at-k")
    assert {name: len(points) for name, points in drawn.items()} == {
        "Base": 6, "Tuned": 6, "Tuned at T = 1.8, the base's entropy": 5,
        "Trained on coin flips": 4, "Guessing": 6,
    }  # fmt: skip
    for name, key in (("Base", "base"), ("Tuned", "tuned")):
        xs, ys = zip(*drawn[name], strict=True)
        steps = [b - a for a, b in pairwise(xs)]
        assert max(steps) - min(steps) < 0.3  # 1, 2, 4, …: a log axis
        values = [s["value"] for s in record["pass_at_k"][key]]
        # y is linear in the value: the slope between any two points is that of the axis, 0 to 1.
        heights = browser.value(
            "[...document.querySelectorAll('[data-figure=pass-at-k] line.grid')]"
            ".map(l => Number(l.getAttribute('y1')))"
        )
        bottom, top = max(heights), min(heights)
        assert ys == pytest.approx([bottom - v * (bottom - top) for v in values], abs=0.06)
    bands = browser.value("document.querySelectorAll('[data-figure=pass-at-k] path.band').length")
    assert bands == 3  # base, tuned, guessing; the two others have whiskers
    assert (
        browser.value("document.querySelectorAll('[data-figure=pass-at-k] .whisker').length")
        == 5 + 4
    )
    crossed = record["pass_at_k"]["crossover"]["k"]
    assert (
        browser.value("document.querySelector('[data-figure=pass-at-k] .mark text').textContent")
        == f"crossover at k = {crossed}"
    )


def test_training_curves_have_a_point_a_step(browser, runs, urls):
    browser.open(urls["mid"])
    steps = [r["step"] for r in read_jsonl(runs["mid"].metrics)]
    assert len(steps) == 7
    for figure in ("reward", "signal", "lengths", "entropy", "grad"):
        assert {len(p) for p in dots(browser, figure).values()} == {7}, figure
    assert "Step 7 of 30" in browser.value("document.querySelector('#training').textContent")


def test_bars_are_as_tall_as_their_counts(browser, runs, urls):
    browser.open(urls["full"])
    histogram = json.loads(runs["full"].prove.read_text())["histogram"]
    for name in ("base", "tuned"):
        tall = browser.value(
            f"[...document.querySelectorAll('{of('histogram')} [data-series={name.title()}] rect')]"
            ".map(r => Number(r.getAttribute('height')))"
        )
        scale = max(tall) / max(histogram[name])
        assert tall == pytest.approx([scale * n for n in histogram[name]], abs=0.11)


def test_the_numbers_of_a_chart_can_be_read(browser, runs, urls):
    browser.open(urls["full"])
    browser.value(
        "document.querySelector('[data-figure=pass-at-k] details.numbers > summary').click()"
    )
    browser.wait("document.querySelector('[data-figure=pass-at-k] table')")
    rows = browser.value(
        "[...document.querySelectorAll('[data-figure=pass-at-k] tbody tr')].map(r =>"
        " [...r.children].map(c => c.textContent))"
    )
    curve = json.loads(runs["full"].prove.read_text())["pass_at_k"]
    assert [r[0] for r in rows] == [str(k) for k in curve["k"]]
    first = curve["base"][0]
    assert rows[0][1] == (
        f"{100 * first['value']:.0f}\u00a0% [{100 * first['low']:.0f}\u00a0%, "
        f"{100 * first['high']:.0f}\u00a0%]"
    )


EXPORTED = """
[...document.querySelectorAll('[data-figure=export] tbody tr')].map(r =>
  [...r.children].map(c => c.innerText))
"""


@pytest.mark.parametrize("width", [1280, 360])
def test_the_export_is_a_row_a_file_and_its_failures_are_text(browser, urls, width):
    browser.open(urls["full"], width=width)
    rows = {row[0]: row[1:] for row in browser.value(EXPORTED)}
    assert list(rows) == list(finished.exported()["files"])
    size, top1, _, solved, _, verdict = rows["sums-q4_k_m.gguf"]
    assert (size, verdict) == ("105.0 MB", "FAILED")
    assert top1.startswith("99.0 %\n[")  # its interval on a line of its own
    assert solved.startswith("50.0 %\n[43.1, 56.9]\n-25.0 [")
    assert rows["merged"][1:] == ["–"] * 5
    section = browser.value("document.querySelector('#export').textContent")
    assert "transformers, float32): solved 75.0 % [" in section
    assert "FAILED: first at token 7 of text 0, after 'x': '\\x1b[31m<b>|'" in section
    assert browser.value("document.querySelectorAll('#export .verified.bad').length") == 1
    assert browser.value("document.querySelectorAll('#export .said b').length") == 0


def test_without_an_export_nothing_is_said_of_one(browser, runs, urls):
    shown = "['section#export', 'nav a[href=\"#export\"]'].map(s => document.querySelector(s))"
    visible = f"{shown}.map(e => e.getClientRects().length > 0)"
    browser.open(urls["full"])
    assert browser.value(visible) == [True, True]
    browser.open(urls["probed"])
    assert browser.value(visible) == [False, False]
    assert browser.value("document.querySelectorAll('section[hidden]').length") == 1


def luminance(colour: str) -> float:
    parts = [float(c) / 255 for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(browser: Browser, selector: str, what: str = "color") -> float:
    paper = luminance(browser.value("getComputedStyle(document.body).backgroundColor"))
    ink = luminance(browser.value(f"getComputedStyle(document.querySelector('{selector}')).{what}"))
    high, low = max(paper, ink), min(paper, ink)
    return (high + 0.05) / (low + 0.05)


VERIFIED = (".verified.good", ".verified.bad", ".said")


@pytest.mark.parametrize("dark", [False, True])
def test_the_colours_follow_the_reader_and_the_button(browser, urls, dark):
    browser.open(urls["full"], dark=dark)
    papers = []
    for _ in range(2):
        papers.append(luminance(browser.value("getComputedStyle(document.body).backgroundColor")))
        for selector in (
            "body",
            "figcaption p",
            "dt",
            ".badge",
            "nav a",
            ".verdict .by",
            *VERIFIED,
        ):
            assert contrast(browser, selector) >= 4.5, selector
        for series in ("c-base", "c-tuned", "c-matched", "c-random", "c-guess"):
            assert contrast(browser, f".{series} .line", "stroke") >= 3, series
        browser.value("document.getElementById('theme').click()")
    assert (papers[0] < 0.1) is dark
    assert (papers[1] < 0.1) is not dark
    browser.value("localStorage.clear()")


def test_everything_can_be_reached_and_has_a_name(browser, urls):
    browser.open(urls["full"])
    assert (
        browser.value(
            "[...document.querySelectorAll('select, input')].filter(e => !e.labels.length).length"
        )
        == 0
    )
    assert (
        browser.value(
            "[...document.querySelectorAll('svg[role=img]')].filter(s => !document.getElementById("
            "s.getAttribute('aria-labelledby'))?.textContent).length"
        )
        == 0
    )
    assert (
        browser.value(
            "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) =>"
            " all.indexOf(id) !== i)"
        )
        == []
    )
    browser.value("document.querySelector('.rollout > summary').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter",
                     windowsVirtualKeyCode=13, text="\r")  # fmt: skip
    browser.wait("document.querySelector('.rollout[open] .conversation')")


def test_what_is_optional_may_be_missing(browser, tmp_path):
    run = made.make_run(tmp_path / "bare", steps=1)
    writer = made.Writer(made.tokenizer(run.adapter))
    made.add_probe(run, verdict="cold_start")
    made.add_training(run, writer, steps=1)
    made.add_eval(run, writer, tasks=2)
    made.add_proof(run, writer, tasks=5, n=4)
    probe, evaluation, proof = (json.loads(p.read_text()) for p in (run.probe, run.eval, run.prove))
    probe |= {"lenient": None, "guess": None, "price": None, "decided": False}
    probe["recommend"] = {"group_size": None, "max_tokens": 64, "why": []}
    for side in (evaluation["base"], evaluation["tuned"], proof["base"], proof["tuned"]):
        side["lenient"] = None
    evaluation |= {"gained": None, "lost": None, "mcnemar_p": None}
    proof |= dict.fromkeys(("kl", "perplexity", "matched", "random_reward", "plain_text"))
    proof |= {"checkpoints": [], "regressions": [], "also": ["narrowed"], "guess": None}
    proof["pass_at_k"]["crossover"] = None
    for path, record in ((run.probe, probe), (run.eval, evaluation), (run.prove, proof)):
        path.write_text(json.dumps(record))
    browser.open(write(run), width=360)
    assert browser.complaints() == []
    assert "cannot be drawn" not in browser.value("document.querySelector('main').textContent")
    for bad in ("undefined", "NaN", "[object"):
        assert bad not in browser.value("document.querySelector('main').textContent")
    shown = browser.value(
        "[...document.querySelectorAll('[data-figure]')].map(f => f.dataset.figure)"
    )
    absent = {
        "distance",
        "regressions",
        "checkpoints",
        "lr",
        "grad",
        "loss",
        "kl",
        "speed",
        "export",
    }
    assert set(shown) == CHARTS["full"] - absent
    assert {len(p) for p in dots(browser, "reward").values()} == {1}
    verdicts = browser.value("document.querySelector('#verdicts').textContent")
    assert "Cold start first" in verdicts
    assert "Not settled within probe.groups" in verdicts
    assert "Also: narrowed." in verdicts


def test_a_part_from_another_version_does_not_hide_the_others(browser, tmp_path):
    run = made.make_run(tmp_path / "odd")
    made.add_probe(run)
    run.prove.write_text(json.dumps({"format": 9, "verdict": "grown", "reasons": ["?"]}))
    browser.open(write(run))
    assert "cannot be drawn" in browser.value("document.querySelector('#prove').textContent")
    assert browser.value("document.querySelectorAll('#probe svg.chart').length") == 2
