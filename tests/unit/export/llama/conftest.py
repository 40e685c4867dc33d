"""The tiny model, in llama.cpp and in transformers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_gguf import Trained, write_tiny_gguf

from minirl.export.llama import LlamaServer, serve
from minirl.export.llama.backends import BACKENDS, is_installed


@pytest.fixture(scope="session")
def tiny_f32(tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not any(map(is_installed, BACKENDS)):
        pytest.skip("no llama.cpp: pip install -c constraints.txt '.[gguf]'")
    return write_tiny_gguf(tiny_cache / "tiny", tmp_path_factory.mktemp("gguf") / "tiny-f32.gguf")


@pytest.fixture(scope="session")
def served(tiny_f32: Path) -> Iterator[LlamaServer]:
    with serve(tiny_f32, context=512, parallel=3) as server:
        yield server


@pytest.fixture(scope="session")
def trained(tiny_cache: Path) -> Trained:
    """The same weights in transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = tiny_cache / "tiny"
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return Trained(model, AutoTokenizer.from_pretrained(path))
