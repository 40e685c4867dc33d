"""Another adapter in the loaded model, and its own back again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import pytest
import torch
from proof_models import small_model, stir

from minirl.errors import ModelError, RunDirError
from minirl.measure.prove.adapters import fingerprint, other_adapter, weights_of
from minirl.measure.prove.likelihood import Passage, log_likelihoods

PASSAGE = Passage((3, 1, 4), (1, 5, 9, 2), (True,) * 4)
HALF = ["q_proj", "k_proj"]


def state(loaded):
    return {n: p.detach().clone() for n, p in loaded.model.named_parameters()}


def assert_same(one, two):
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def score(loaded, *, use_adapter: bool = True) -> list[float]:
    return log_likelihoods(loaded, [PASSAGE], use_adapter=use_adapter)[0].tolist()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An adapter of the same shape with other values, and what it does."""
    other = small_model()
    stir(other.model, 0.8, seed=7)
    folder = tmp_path_factory.mktemp("adapter")
    other.model.save_pretrained(folder, save_embedding_layers=False)
    return folder, score(other)


def test_within_the_block_the_model_is_the_other_one(small, saved):
    folder, expected = saved
    before, own, base = state(small), score(small), score(small, use_adapter=False)
    assert own != pytest.approx(expected, abs=1e-2)
    with other_adapter(small, folder):
        assert score(small) == pytest.approx(expected, abs=1e-6)
        assert score(small, use_adapter=False) == base
    assert_same(state(small), before)
    assert score(small) == own


def test_parameters_stay_the_same_objects_and_trainable(small, saved):
    """An optimiser holds them."""
    before = [(id(p), p.requires_grad) for p in small.model.parameters()]
    with other_adapter(small, saved[0]):
        pass
    assert [(id(p), p.requires_grad) for p in small.model.parameters()] == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_its_own_comes_back_when_the_block_raises(small, saved, error):
    before = state(small)

    def fail() -> None:
        with other_adapter(small, saved[0]):
            assert any(not torch.equal(p, before[n]) for n, p in state(small).items())
            raise error

    with pytest.raises(error):
        fail()
    assert_same(state(small), before)


def test_blocks_nest(small, saved):
    before = state(small)
    with other_adapter(small, saved[0]):
        first = state(small)
        with other_adapter(small, saved[0]):
            assert_same(state(small), first)
        assert_same(state(small), first)
    assert_same(state(small), before)


@pytest.mark.parametrize(
    ("options", "expected", "got"),
    [
        ({"r": 3}, r"of shape \(2, 16\)", r"\(3, 16\)"),
        ({"targets": HALF}, "28 LoRA matrices", "8; .* stands in one of them only"),
        ({"lora_alpha": 99}, "lora_alpha = 8", "99"),
        ({"use_rslora": True}, "use_rslora = False", "True"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(small, tmp_path, options, expected, got):
    small_model(**options).model.save_pretrained(tmp_path, save_embedding_layers=False)
    before = state(small)
    with pytest.raises(ModelError, match="does not fit") as caught, other_adapter(small, tmp_path):
        raise AssertionError("it was loaded")
    text = str(caught.value)
    for wanted in (rf"expected: +.*{expected}", rf"got: +.*{got}", r"fix: +.*lora_r"):
        assert re.search(wanted, text), text
    assert_same(state(small), before)


def test_as_many_matrices_of_other_modules_are_refused(tmp_path):
    """peft takes what it knows of them and leaves the rest without a word."""
    loaded = small_model(targets=["q_proj"])
    small_model(targets=["o_proj"]).model.save_pretrained(tmp_path, save_embedding_layers=False)
    refused = pytest.raises(ModelError, match="stands in one of them only")
    with refused, other_adapter(loaded, tmp_path):
        pass


def test_folders_without_an_adapter(small, saved, tmp_path):
    with pytest.raises(ModelError, match="holds no adapter"):
        fingerprint(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="holds no adapter"), other_adapter(small, tmp_path):
        pass
    shutil.copytree(saved[0], tmp_path / "bare")
    (tmp_path / "bare" / "adapter_config.json").unlink()
    with pytest.raises(RunDirError), other_adapter(small, tmp_path / "bare"):
        pass


def test_damaged_weights_are_told_as_such(small, saved, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(saved[0], broken)
    weights_of(broken).write_bytes(weights_of(broken).read_bytes()[:100])
    before = state(small)
    with pytest.raises(ModelError, match="cannot be read"), other_adapter(small, broken):
        pass
    assert_same(state(small), before)


def test_the_fingerprint_is_that_of_the_weights(saved, tmp_path):
    folder = saved[0]
    plain = hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
    assert fingerprint(folder) == plain
    copied = tmp_path / "copy"
    shutil.copytree(folder, copied)
    (copied / "adapter_config.json").write_text(json.dumps({"other": 1}))
    assert fingerprint(copied) == plain
