"""One headless browser, and three runs' pages, for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import finished_run as made
import pytest
from chromium import INSTALL, Browser, chromium, find_chromium
from report_reader import write

from minirl.rundir import RunDir

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if find_chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(INSTALL)  # a gate that skips is no gate
        pytest.skip(INSTALL)
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """A whole run, one that has only been probed, and one in the middle of training."""
    top = tmp_path_factory.mktemp("runs")
    full = made.full_run(top / "full", extra=[*made.HOSTILE, "x" * 100_000, "lone \ud800 half"])
    probed = made.make_run(top / "probed")
    made.add_probe(probed)
    mid = made.make_run(top / "mid")
    made.add_training(mid, made.Writer(made.tokenizer(mid.checkpoint(10))), steps=7)
    with mid.metrics.open("a", encoding="utf-8") as out:
        out.write('{"step": 8, "lo')
    return {"full": full, "probed": probed, "mid": mid}


@pytest.fixture(scope="session")
def urls(runs: dict[str, RunDir]) -> dict[str, str]:
    return {name: write(run) for name, run in runs.items()}
