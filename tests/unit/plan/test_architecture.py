"""The table of architectures against published counts, transformers' own, and peft's."""

from __future__ import annotations

import json

import pytest

from minirl.errors import ModelError, UnknownNameError
from minirl.plan import architecture_of
from minirl.plan.architecture import from_config
from minirl.plan.known import KNOWN
from minirl.plan.models import prequantized

# "model size" of each model's page on the hub (safetensors' total), in parameters.
PUBLISHED = {
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "qwen3-vl-8b": 8_767_123_696,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.3-70b": 70_553_706_496,
    "llama-2-7b": 6_738_415_616,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 4_300_079_472,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "smollm3-3b": 3_075_098_624,
    "gpt-oss-20b": 20_914_757_184,
    "tiny": 954_048,  # minirl.models.catalogue
}


def test_every_known_model_has_a_published_count_and_a_licence():
    assert set(PUBLISHED) == set(KNOWN)
    assert all(arch.licence for arch in KNOWN.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name):
    assert KNOWN[name].parameters() == PUBLISHED[name]


FAMILIES = {
    "LlamaConfig": ("llama-3.2-1b", {}),
    "Qwen2Config": ("qwen2.5-0.5b", {}),
    "Qwen3Config": ("qwen3-0.6b", {}),
    "Gemma3TextConfig": ("gemma-3-270m", {"sliding_window": 512}),
    "SmolLM3Config": ("smollm3-3b", {"pad_token_id": 0}),
    "GptOssConfig": (
        "gpt-oss-20b",
        {
            "num_local_experts": 32,
            "num_experts_per_tok": 4,
            "sliding_window": 128,
            "attention_bias": True,
        },
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_counts_as_transformers_does(family):
    """An empty model of the table's numbers, and its config read back."""
    import torch
    import transformers

    name, extra = FAMILIES[family]
    arch = KNOWN[name]
    config = getattr(transformers, family)(
        vocab_size=arch.vocab,
        hidden_size=arch.hidden,
        intermediate_size=arch.intermediate,
        num_hidden_layers=arch.layers,
        num_attention_heads=arch.heads,
        num_key_value_heads=arch.kv_heads,
        head_dim=arch.head_dim,
        tie_word_embeddings=arch.tied,
        **extra,
    )
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert arch.parameters() == model.num_parameters()
    read = from_config(json.loads(config.to_json_string()))
    assert read.parameters() == arch.parameters()
    assert (read.window, read.sliding_layers) == (arch.window, arch.sliding_layers)
    assert read.experts_per_token == arch.experts_per_token


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"]])
def test_the_adapter_counts_as_peft_does(targets):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Qwen3Config

    config = Qwen3Config(
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        vocab_size=100,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        model = get_peft_model(model, LoraConfig(r=8, target_modules=targets))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert from_config(config.to_dict()).lora_parameters(8, targets) == trained


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Qwen/Qwen3-4B", "qwen3-4b"),
        ("unsloth/Qwen3-4B-Instruct-2507-unsloth-bnb-4bit", "qwen3-4b"),
        ("unsloth/Qwen3-4B-Base", "qwen3-4b"),
        ("Qwen/Qwen2.5-1.5B-Instruct", "qwen2.5-1.5b"),
        ("meta-llama/Llama-3.2-1B-Instruct", "llama-3.2-1b"),
        ("unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit", "llama-3.1-8b"),
        ("unsloth/gemma-3-4b-it", "gemma-3-4b"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m"),
        ("HuggingFaceTB/SmolLM3-3B", "smollm3-3b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("unsloth/gpt-oss-20b-BF16", "gpt-oss-20b"),
        ("unsloth/Qwen3-VL-8B-Instruct", "qwen3-vl-8b"),
        ("smollm2-135m", "smollm2-135m"),
        ("tiny", "tiny"),
    ],
)
def test_names_resolve_without_a_connection(name, known):
    assert architecture_of(name) == KNOWN[known]


def test_weights_that_are_stored_in_4_bits():
    assert prequantized("unsloth/Qwen3-4B-unsloth-bnb-4bit")
    assert not prequantized("Qwen/Qwen3-4B")


def test_a_strangers_model_of_the_same_name_is_not_taken_for_it(monkeypatch):
    monkeypatch.setenv("MINIRL_OFFLINE", "1")
    with pytest.raises(ModelError, match="somebody/Qwen3-4B"):
        architecture_of("somebody/Qwen3-4B")


def test_a_directory_is_read(tmp_path):
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 10}
    config = shape | {"model_type": "llama", "intermediate_size": 128}
    (tmp_path / "config.json").write_text(json.dumps(config))
    arch = architecture_of(str(tmp_path))
    assert (arch.layers, arch.head_dim, arch.kv_heads) == (2, 16, 4)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot read"),
        ("[]", "no configuration"),
        ('{"model_type": "bert"}', "num_attention_heads"),
    ],
)
def test_a_directory_that_says_nothing(tmp_path, text, told):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=told):
        architecture_of(str(tmp_path))


def test_a_name_that_is_none():
    with pytest.raises(UnknownNameError, match="smolm2-135m"):
        architecture_of("smolm2-135m")
