"""What of the Unsloth path does not need Unsloth. ``tests/cuda`` runs the real one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from minirl.config import ModelConfig
from minirl.errors import ModelError
from minirl.models import unsloth
from minirl.models.load import load_model


def test_it_must_be_imported_before_what_it_patches(monkeypatch):
    monkeypatch.delitem(sys.modules, "unsloth", raising=False)
    monkeypatch.setitem(sys.modules, "trl", ModuleType("trl"))
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if k != "peft"})
    with pytest.raises(ModelError, match="before what it patches") as told:
        unsloth.import_unsloth()
    assert "trl" in (told.value.got or "")
    assert "restart Python" in (told.value.fix or "")
    assert "unsloth" not in sys.modules


def test_a_patched_process_does_not_run_the_stock_backend(monkeypatch, tiny_cache):
    monkeypatch.setitem(sys.modules, "unsloth", ModuleType("unsloth"))
    with pytest.raises(ModelError, match="for good"):
        load_model(ModelConfig(name="tiny", backend="transformers"), seed=0)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Any, Path]:
    """A model whose adapter is not zero, and that adapter on disk."""
    model = load_model(ModelConfig(name="tiny", precision="fp32", lora_r=4), seed=0).model
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(tmp_path / "adapter")
    return model, tmp_path / "adapter"


def fresh(r: int = 4) -> Any:
    return load_model(ModelConfig(name="tiny", precision="fp32", lora_r=r), seed=1).model


def test_an_adapters_weights_are_all_taken(saved):
    model, path = saved
    other = fresh()
    unsloth._take_weights(other, path)
    weights = dict(model.named_parameters())
    lora = {n: p for n, p in other.named_parameters() if "lora_" in n}
    assert lora
    assert all(torch.equal(p, weights[n]) for n, p in lora.items())


def test_an_adapter_of_another_shape_is_refused(saved):
    _, path = saved
    with pytest.raises(ModelError, match="cannot load the adapter"):
        unsloth._take_weights(fresh(r=8), path)


def test_an_adapter_that_covers_a_part_is_refused(saved, tmp_path):
    from safetensors.torch import load_file, save_file

    _, path = saved
    file = path / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({k: v for k, v in weights.items() if "layers.0" in k}, file)
    with pytest.raises(ModelError, match="does not fit") as told:
        unsloth._take_weights(fresh(), path)
    assert "14 missing" in (told.value.got or "")


def test_a_saved_adapter_brings_its_own_shape(saved, tmp_path):
    _, path = saved
    config = ModelConfig(name="tiny", lora_r=99)
    shape = unsloth._adapter_shape(config, path)
    assert (shape["r"], shape["lora_alpha"]) == (4, 32)
    assert set(shape["target_modules"]) == set(unsloth.LINEAR_LAYERS)
    assert unsloth._adapter_shape(config, None)["r"] == 99
    with pytest.raises(ModelError, match="cannot read the adapter"):
        unsloth._adapter_shape(config, tmp_path / "none")


def test_all_linear_layers_are_the_fused_ones(saved):
    shape = unsloth._adapter_shape(ModelConfig(), None)
    assert shape["target_modules"] == list(unsloth.LINEAR_LAYERS)
    named = unsloth._adapter_shape(ModelConfig(lora_targets=("q_proj",)), None)
    assert named["target_modules"] == ["q_proj"]


def test_its_chatter_goes_to_stderr(capsys):
    with unsloth.chatter_aside():
        print("Unsloth: news")
    assert capsys.readouterr() == ("", "Unsloth: news\n")
