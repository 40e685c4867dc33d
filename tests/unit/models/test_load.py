"""Loading a base model and its adapter."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from minirl.config import ModelConfig
from minirl.errors import MissingExtraError, ModelError, UnknownNameError
from minirl.models import stock
from minirl.models.catalogue import resolve_model
from minirl.models.load import context_length, load_model, stop_ids
from minirl.models.merge import lora_layers
from minirl.models.policy import ModelPolicy
from minirl.models.tiny import END_ID, MAX_LENGTH, PAD_ID
from minirl.types import Request, Task

pytestmark = pytest.mark.usefixtures("tiny_cache")

IDS = torch.tensor([[1, 40, 41, 42, 43, 9]])


def tiny_config(**options: Any) -> ModelConfig:
    return ModelConfig(**{"name": "tiny", "precision": "fp32", **options})


def lora_weights(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if "lora_" in n}


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tiny model as a directory of one's own."""
    return Path(shutil.copytree(resolve_model("tiny").location, tmp_path / "model"))


def test_an_adapter_is_attached_with_the_configured_shape():
    loaded = load_model(tiny_config(lora_r=3, lora_alpha=12), seed=0)
    layers = lora_layers(loaded.model)
    assert len(layers) == 2 * 7  # every linear layer of both blocks, and not the head
    for layer in layers:
        base = layer.get_base_layer()
        assert layer.lora_A["default"].weight.shape == (3, base.in_features)
        assert layer.lora_B["default"].weight.shape == (base.out_features, 3)
        assert layer.scaling["default"] == 4
    trainable = {n for n, p in loaded.model.named_parameters() if p.requires_grad}
    assert trainable == set(lora_weights(loaded.model))
    assert loaded.count(trainable=True) == sum(
        3 * (x.get_base_layer().in_features + x.get_base_layer().out_features) for x in layers
    )
    assert loaded.count(trainable=False) == 954_048 + loaded.count(trainable=True)
    assert (loaded.dtype, loaded.device.type) == (torch.float32, loaded.choice.device)


def test_targets_may_be_named():
    model = load_model(tiny_config(lora_targets=("q_proj", "v_proj")), seed=0).model
    names = {n.rpartition(".")[2] for n, m in model.named_modules() if m in lora_layers(model)}
    assert names == {"q_proj", "v_proj"}
    assert len(lora_layers(model)) == 4


def test_a_new_adapter_is_the_base_and_its_start_is_the_seed_s():
    a, b, c = (load_model(tiny_config(), seed=s).model for s in (5, 5, 6))
    first, again, other = map(lora_weights, (a, b, c))
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not any(torch.equal(first[n], other[n]) for n in first if "lora_A" in n)
    assert all((w == 0).all() for n, w in first.items() if "lora_B" in n)
    base = LlamaForCausalLM.from_pretrained(resolve_model("tiny").location)
    assert torch.equal(logits_of(a), logits_of(base))


def test_a_saved_adapter_comes_back_trainable_and_equal(tmp_path):
    saved = load_model(tiny_config(lora_r=4), seed=0).model
    for name, parameter in saved.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    saved.save_pretrained(tmp_path / "adapter")
    loaded = load_model(tiny_config(lora_r=4), seed=1, adapter=tmp_path / "adapter").model
    assert torch.equal(logits_of(loaded), logits_of(saved))
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == set(lora_weights(saved))
    loaded(input_ids=IDS, labels=IDS).loss.backward()
    assert all(p.grad is not None for n, p in loaded.named_parameters() if "lora_" in n)


def test_an_adapter_that_is_not_there_or_does_not_fit(tmp_path):
    with pytest.raises(ModelError, match="cannot load the adapter"):
        load_model(tiny_config(), seed=0, adapter=tmp_path / "none")
    other = LlamaConfig(
        vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1
    )
    from peft import LoraConfig, get_peft_model

    wrong = get_peft_model(
        LlamaForCausalLM(other), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    )
    wrong.save_pretrained(tmp_path / "wrong")
    with pytest.raises(ModelError, match="cannot load the adapter"):
        load_model(tiny_config(), seed=0, adapter=tmp_path / "wrong")
    (tmp_path / "wrong" / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot load the adapter"):
        load_model(tiny_config(), seed=0, adapter=tmp_path / "wrong")


def test_targets_that_fit_nothing_are_a_model_error():
    with pytest.raises(ModelError, match=r"lora_targets fits nothing in tiny.*") as caught:
        load_model(tiny_config(lora_targets=("c_attn",)), seed=0)
    assert "all-linear" in str(caught.value)


def test_what_is_no_model_is_a_model_error(tmp_path, copy):
    with pytest.raises(ModelError, match="no model directory"):
        load_model(tiny_config(name=str(tmp_path / "none")), seed=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError):
        load_model(tiny_config(name=str(tmp_path / "empty")), seed=0)
    with pytest.raises(UnknownNameError, match="no model is called"):
        load_model(tiny_config(name="tinny"), seed=0)
    (copy / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match="cannot load the model"):
        load_model(tiny_config(name=str(copy)), seed=0)


def test_a_model_without_a_chat_template_is_refused(copy):
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_model(tiny_config(name=str(copy)), seed=0)


def test_special_tokens(copy):
    loaded = load_model(tiny_config(), seed=0)
    assert (loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id) == (PAD_ID, END_ID)
    assert loaded.model.generation_config.pad_token_id == PAD_ID
    assert stop_ids(loaded.model) == {END_ID}

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(copy)
    assert load_model(tiny_config(name=str(copy)), seed=0).tokenizer.pad_token_id == END_ID
    tokenizer.eos_token = None
    tokenizer.save_pretrained(copy)
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        load_model(tiny_config(name=str(copy)), seed=0)


def test_every_id_that_ends_a_turn_is_kept(copy):
    """As in Gemma: the tokenizer's EOS, the template's end of turn, and the generation config's."""
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(copy)
    model = LlamaForCausalLM.from_pretrained(copy)
    model.generation_config.eos_token_id = [0, 3]
    model.save_pretrained(copy)
    loaded = load_model(tiny_config(name=str(copy)), seed=0)
    assert loaded.model.generation_config.eos_token_id == [0, END_ID, 3]
    assert stop_ids(loaded.model) == {0, END_ID, 3}


def test_the_context_is_the_config_s():
    model = load_model(tiny_config(), seed=0).model
    assert context_length(model) == MAX_LENGTH


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_weights_have_the_format_and_the_adapter_stays_fp32(precision):
    loaded = load_model(tiny_config(precision=precision), seed=0)
    assert loaded.model.get_input_embeddings().weight.dtype is loaded.dtype
    assert {w.dtype for w in lora_weights(loaded.model).values()} == {torch.float32}


# 4 bit ---------------------------------------------------------------------------------------


def nf4_config(**options: Any) -> ModelConfig:
    return tiny_config(load_in_4bit=True, lora_r=4, **options)


def test_4_bit_weights_are_4_bit():
    bitsandbytes = pytest.importorskip("bitsandbytes")
    nn, functional = bitsandbytes.nn, bitsandbytes.functional
    model = load_model(nf4_config(), seed=0).model
    layers = [x.get_base_layer() for x in lora_layers(model)]
    assert len(layers) == 14
    for layer in layers:
        assert isinstance(layer, nn.Linear4bit)
        assert layer.weight.quant_type == "nf4"
        assert layer.weight.numel() * 2 == layer.in_features * layer.out_features
    assert {w.dtype for w in lora_weights(model).values()} == {torch.float32}
    fp32 = lora_layers(load_model(tiny_config(), seed=0).model)
    for layer, exact in zip(layers, (x.get_base_layer().weight for x in fp32), strict=True):
        back = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        assert (back - exact).norm() < 0.15 * exact.norm()


def test_4_bit_layers_that_bitsandbytes_garbles_are_refused(tmp_path):
    pytest.importorskip("bitsandbytes")
    home = Path(shutil.copytree(resolve_model("tiny").location, tmp_path / "odd"))
    config = LlamaConfig.from_pretrained(home)
    config.intermediate_size = 656
    LlamaForCausalLM(config).save_pretrained(home)
    with pytest.raises(ModelError, match="656 inputs"):
        load_model(nf4_config().model_copy(update={"name": str(home)}), seed=0)


def test_sampling_does_not_change_the_gradients_of_4_bit_weights():
    """bitsandbytes 0.50 repacks weights at the first evaluation on an AVX-512 bf16 CPU, and then
    no gradient flows through them."""
    pytest.importorskip("bitsandbytes")
    loaded = load_model(nf4_config(), seed=0)
    for name, parameter in loaded.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)

    def gradients() -> torch.Tensor:
        loaded.model.train()
        loaded.model.zero_grad()
        loaded.model(input_ids=IDS, labels=IDS).loss.backward()
        parts = [p.grad.flatten() for p in loaded.model.parameters() if p.grad is not None]
        return torch.cat(parts)

    before = gradients()
    request = Request(tuple(IDS[0].tolist()), 2, 4, Task("none", "train", 0, ()))
    ModelPolicy(loaded.model, loaded.tokenizer).sample([request], seed=0)
    assert torch.equal(gradients(), before)
    assert before.norm() > 0


def test_4_bit_without_bitsandbytes_names_the_extra(monkeypatch):
    monkeypatch.setattr(stock.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="4bit"):
        stock._nf4(torch.float32)
