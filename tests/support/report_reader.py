"""Reading a report in a browser as a person does: filters, charts, what stands where."""

from __future__ import annotations

import json
from typing import Any

from chromium import Browser

from minirl.report.page import gather, render
from minirl.rundir import RunDir, read_jsonl


def write(run: RunDir) -> str:
    """Write the run's page; returns its address."""
    run.report.write_text(render(gather(run).data), encoding="utf-8")
    return run.report.as_uri()


def of(figure: str) -> str:
    return f"[data-figure={figure}]"


def dots(browser: Browser, figure: str) -> dict[str, list[list[float]]]:
    """cx and cy of each series' points."""
    found: dict[str, list[list[float]]] = browser.value(
        f"Object.fromEntries([...document.querySelectorAll('{of(figure)} [data-series]')].map(g =>"
        " [g.dataset.series, [...g.querySelectorAll('circle')].map(c =>"
        " [Number(c.getAttribute('cx')), Number(c.getAttribute('cy'))])]))"
    )
    return found


def every_rollout(run: RunDir) -> list[dict[str, Any]]:
    """All rollouts with their source, read independently of the page."""
    out = [{"source": "training", **r} for r in read_jsonl(run.rollouts)]
    out += [{"source": f"eval: {r['policy']}", **r} for r in read_jsonl(run.samples)]
    for path in sorted(run.prove_samples.glob("*.jsonl")):
        out += [{"source": f"prove: {path.stem}", **r} for r in read_jsonl(path)]
    return out


def choose(browser: Browser, **values: str) -> int:
    """Set filters as a reader does; returns how many rollouts are found."""
    for name, value in values.items():
        event = "input" if name == "search" else "change"
        browser.value(
            f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event('{event}')); }})"
            f"(document.getElementById('f-{name}'))"
        )
    if "search" in values:
        browser.value("new Promise(done => setTimeout(done, 250))")
    return int(browser.value("document.querySelector('.status').dataset.found"))
