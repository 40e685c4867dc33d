"""Base and adapter in one: the same logits as peft's, rounded once, from 4-bit bases too."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from minirl.config import ModelConfig
from minirl.errors import DiskFullError, ModelError
from minirl.export import merged as merging
from minirl.export.files import digest
from minirl.export.merged import original_name, write_merged
from minirl.models import stock

IDS = torch.arange(4, 94).reshape(3, 30)
DOWN = "model.layers.1.mlp.down_proj"


@pytest.fixture
def tiny(tiny_cache: Path) -> Path:
    return tiny_cache / "tiny"


def adapter_on(base: Path, path: Path, **options: Any) -> Path:
    """An adapter of random numbers, B's too, so that it changes what the model says."""
    chosen = {"r": 8, "lora_alpha": 24, "target_modules": "all-linear", "lora_dropout": 0.0}
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **chosen | options))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in peft.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.03 * noise)
    peft.save_pretrained(path)
    return path


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(model.eval()(input_ids=IDS).logits).float()


def plain(path: Path) -> torch.Tensor:
    return logits(AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32))


def with_peft(base: Path, adapter: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return logits(PeftModel.from_pretrained(model, adapter))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {DOWN: 2, "q_proj": 4}, "alpha_pattern": {DOWN: 40, "v_proj": 3}},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "norm"]},
        {"use_dora": True},
        {"lora_bias": True, "target_modules": ["q_proj"]},
    ],
    ids=["plain", "rslora", "patterns", "modules_to_save", "dora", "bias"],
)
def test_the_merged_model_says_what_the_adapter_says(
    options: dict[str, Any], tiny: Path, tmp_path: Path
) -> None:
    if "lora_bias" in options:  # peft wants a bias to add to
        tiny = with_biases(tiny, tmp_path / "base")
    if "modules_to_save" in options:
        tiny = untied(tiny, tmp_path / "base")
    adapter = adapter_on(tiny, tmp_path / "adapter", **options)
    result = write_merged(ModelConfig(name=str(tiny)), adapter, tmp_path / "merged")
    expected = with_peft(tiny, adapter)
    assert (plain(tmp_path / "merged") - expected).abs().max() < 1e-4
    assert (plain(tiny) - expected).abs().max() > 0.1
    assert (result.base_used, result.dtype) == ("stored", "fp32")
    assert result.layers == (2 if options.get("target_modules") == ["q_proj"] else 14)


def with_biases(tiny: Path, path: Path) -> Path:
    return copy_of(tiny, path, attention_bias=True)


def untied(tiny: Path, path: Path) -> Path:
    return copy_of(tiny, path, tie_word_embeddings=False)


def copy_of(tiny: Path, path: Path, **config: Any) -> Path:
    model = AutoModelForCausalLM.from_pretrained(tiny, **config)
    for parameter in model.parameters():
        parameter.data.nan_to_num_()  # what the copy has more starts anywhere
    model.save_pretrained(path)
    stock.load_tokenizer(ModelConfig(name="tiny"), str(tiny)).save_pretrained(path)
    return path


def test_it_is_whole_and_says_what_it_is_made_of(tiny: Path, tmp_path: Path) -> None:
    adapter = adapter_on(tiny, tmp_path / "adapter")
    write_merged(ModelConfig(name=str(tiny)), adapter, tmp_path / "merged")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "merged" / name).read_bytes() == (tiny / name).read_bytes()
    generation = json.loads((tmp_path / "merged" / "generation_config.json").read_text())
    assert generation["eos_token_id"] == 2
    told = json.loads((tmp_path / "merged" / merging.MANIFEST).read_text())
    assert (told["base"], told["base_used"], told["layers"]) == (str(tiny), "stored", 14)
    assert told["adapter_sha256"] == digest(adapter)
    assert (tmp_path / "merged").stat().st_mode & 0o777 == (
        tmp_path / "adapter"
    ).stat().st_mode & 0o777


def test_a_bf16_base_is_rounded_once(tiny: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16).save_pretrained(base)
    stock.load_tokenizer(ModelConfig(name="tiny"), str(tiny)).save_pretrained(base)
    adapter = adapter_on(base, tmp_path / "adapter", rank_pattern={DOWN: 4})
    result = write_merged(ModelConfig(name=str(base)), adapter, tmp_path / "merged")
    assert result.dtype == "bf16"
    pairs = load_file(adapter / "adapter_model.safetensors")
    a, b = (pairs[f"base_model.model.{DOWN}.lora_{x}.weight"] for x in "AB")
    stored = load_file(base / "model.safetensors")[f"{DOWN}.weight"]
    came = load_file(tmp_path / "merged" / "model.safetensors")[f"{DOWN}.weight"]
    assert torch.equal(came, (stored.float() + 24 / 4 * (b @ a)).to(torch.bfloat16))


def test_the_base_alone_keeps_its_weights(tiny: Path, tmp_path: Path) -> None:
    result = write_merged(ModelConfig(name=str(tiny)), None, tmp_path / "base", dtype="fp16")
    came = load_file(tmp_path / "base" / "model.safetensors")
    stored = load_file(tiny / "model.safetensors")
    assert (result.layers, result.dtype) == (0, "fp16")
    assert {k: v.shape for k, v in came.items()} == {k: v.shape for k, v in stored.items()}
    assert all(torch.equal(came[k], v.half()) for k, v in stored.items())


def test_four_bit_bases_give_what_training_saw_or_the_original(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    model = ModelConfig(name=str(tiny), load_in_4bit=True)
    adapter = adapter_on(tiny, tmp_path / "adapter", target_modules=["q_proj", "down_proj"])
    seen = stock.load(
        model,
        str(tiny),
        dtype=torch.float32,
        device=torch.device("cpu"),
        seed=0,
        adapter=adapter,
    )
    expected = logits(seen)
    result = write_merged(model, adapter, tmp_path / "dequantized")
    assert (result.base_used, result.layers) == ("dequantized", 4)
    assert (plain(tmp_path / "dequantized") - expected).abs().max() < 1e-4
    config = json.loads((tmp_path / "dequantized" / "config.json").read_text())
    assert "quantization_config" not in config

    result = write_merged(model, adapter, tmp_path / "original", base="original")
    assert result.base_used == "original"
    assert (plain(tmp_path / "original") - with_peft(tiny, adapter)).abs().max() < 1e-4
    assert (plain(tmp_path / "original") - expected).abs().max() > 0.05


def test_a_tied_head_is_not_merged_into_the_embeddings(tiny: Path, tmp_path: Path) -> None:
    adapter = adapter_on(tiny, tmp_path / "adapter", target_modules=["lm_head"])
    with pytest.raises(ModelError, match=r"lm_head shares its weights"):
        write_merged(ModelConfig(name=str(tiny)), adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_broken_adapter_is_recognised(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    adapter = adapter_on(tiny, tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors[f"base_model.model.{DOWN}.lora_B.weight"][3, 3] = torch.nan
    save_file(tensors, file)
    with pytest.raises(ModelError, match="NaN"):
        write_merged(ModelConfig(name=str(tiny)), adapter, tmp_path / "merged")


def test_a_full_disk_leaves_nothing(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(merging, "copy_tokenizer", full)
    with pytest.raises(DiskFullError, match="merged"):
        write_merged(ModelConfig(name=str(tiny)), None, tmp_path / "merged")
    assert not list(tmp_path.iterdir())


def test_sentencepiece_files_come_along(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    for file in tiny.iterdir():
        (tmp_path / "base" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "base" / "tokenizer.model").write_bytes(b"pieces")
    write_merged(ModelConfig(name=str(tmp_path / "base")), None, tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == b"pieces"


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("unsloth/Qwen2.5-0.5B-Instruct-bnb-4bit", "unsloth/Qwen2.5-0.5B-Instruct"),
        ("unsloth/Qwen3-4B-unsloth-bnb-4bit", "unsloth/Qwen3-4B"),
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B"),
    ],
)
def test_what_a_four_bit_copy_was_made_of(name: str, original: str) -> None:
    assert original_name(name) == original
