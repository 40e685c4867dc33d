"""`minirl models pull gguf-converter`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from minirl.cli import models
from minirl.export import converter


def test_pull_fetches_the_converter_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(*, force: bool, progress: object) -> Path:
        asked.append(force)
        return tmp_path / "there"

    monkeypatch.setattr(converter, "fetch_converter", fetch)
    done = CliRunner().invoke(models.app, ["pull", "gguf-converter", "--force"])
    assert (done.exit_code, done.stdout, asked) == (0, f"{tmp_path / 'there'}\n", [True])


def test_ls_tells_whether_it_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path))
    before = CliRunner().invoke(models.app, ["ls"]).stdout
    (tmp_path / "gguf-converter").mkdir()
    (tmp_path / "gguf-converter" / "converter.zip").write_bytes(b"x" * 400_000)
    after = CliRunner().invoke(models.app, ["ls"]).stdout
    assert "gguf-converter" in before
    assert "0.4 MB" in after
    assert "0.4 MB" not in before
