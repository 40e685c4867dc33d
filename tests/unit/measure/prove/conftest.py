"""Models to measure."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def small() -> Any:
    from proof_models import small_model

    return small_model()


@pytest.fixture(scope="session")
def tiny(tiny_cache: Any) -> Any:
    """The tiny model with a random adapter, so that base and tuned differ."""
    from proof_models import stir

    from minirl.config import ModelConfig
    from minirl.models.load import load_model

    loaded = load_model(ModelConfig(name="tiny", precision="fp32", lora_r=4), seed=0)
    stir(loaded.model, 0.05)
    return loaded
