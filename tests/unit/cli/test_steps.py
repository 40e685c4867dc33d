"""What the commands say at their end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import finished_run as made
import pytest

from minirl.cli.steps import show_result

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    return cast("Any", SimpleNamespace(run=made.make_run(Path("runs/quickstart"))))


def test_a_run_ends_with_what_can_be_done_with_it(
    session: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    show_result(session, as_json=False, seconds=1367)
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "take it elsewhere: minirl export runs/quickstart"
    assert "minirl prove runs/quickstart" in said[-2]
    assert "minirl report runs/quickstart" in said[-2]


def test_the_readme_shows_that_ending(session: Any, capsys: pytest.CaptureFixture[str]) -> None:
    show_result(session, as_json=False, seconds=3 * 60 + 37)
    ending = capsys.readouterr().out.rstrip("\n").replace("2.3 GB", "2.9 GB")
    assert f"\n{ending}\n```\n" in README.read_text(encoding="utf-8")
