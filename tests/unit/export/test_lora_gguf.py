"""The adapter GGUF: each module's whole update, whatever PEFT scales it with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_families import MAKERS, add_adapter, make_family

from minirl.errors import DiskFullError, ModelError
from minirl.export.families import FAMILIES, family_of
from minirl.export.lora_gguf import read_pairs, write_lora_gguf
from minirl.export.verify.gguf_file import open_gguf
from minirl.export.verify.tensors import check_adapter

SCALES: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "rank pattern": {"rank_pattern": {"down_proj": 2, "layers.1.self_attn.q_proj": 8}},
    "alpha pattern": {"alpha_pattern": {"q_proj": 3, "layers.2.mlp.up_proj": 32}},
    "both, rslora": {
        "use_rslora": True,
        "rank_pattern": {"k_proj": 2},
        "alpha_pattern": {"k_proj": 5},
    },
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_family("llama", tmp_path_factory.mktemp("llama"))


def config_of(base: Path) -> dict[str, Any]:
    return json.loads((base / "config.json").read_text())


def deltas(adapter: Path, base: Path) -> dict[str, np.ndarray]:
    """What PEFT itself adds to each weight."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    return {
        name.removeprefix("base_model.model."): m.get_delta_weight("default").detach().numpy()
        for name, m in model.named_modules()
        if isinstance(m, LoraLayer)
    }


@pytest.mark.parametrize("scale", SCALES)
def test_scales_are_those_of_peft(llama: Path, tmp_path: Path, scale: str) -> None:
    adapter = add_adapter(llama, tmp_path / "adapter", **SCALES[scale])
    out = tmp_path / "lora.gguf"
    assert write_lora_gguf(adapter, config_of(llama), out) == 3 * 7
    wanted = deltas(adapter, llama)
    family = family_of(config_of(llama))
    file = open_gguf(out)
    alpha = file.meta["adapter.lora.alpha"]
    found = {name: alpha / a.shape[0] * (b @ a) for name, a, b in file.pairs()}
    assert len(found) == len(wanted)
    for module, delta in wanted.items():
        got = found[family.tensor(module)]
        np.testing.assert_allclose(got, family.rows(module, delta), rtol=1e-4, atol=1e-6)


def test_rows_of_q_and_k_become_pairs() -> None:
    """Row i of a head's first half goes to 2 i, of its second to 2 i + 1; K has its own heads."""
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    llama = family_of({"architectures": ["LlamaForCausalLM"], **shape})
    q, k = np.arange(8).reshape(8, 1), np.arange(4).reshape(4, 1)
    assert llama.rows("model.layers.0.self_attn.q_proj", q)[:, 0].tolist() == [
        0,
        2,
        1,
        3,
        4,
        6,
        5,
        7,
    ]
    assert llama.rows("model.layers.0.self_attn.k_proj", k)[:, 0].tolist() == [0, 2, 1, 3]
    assert llama.rows("model.layers.0.self_attn.v_proj", k)[:, 0].tolist() == [0, 1, 2, 3]
    qwen = family_of({"architectures": ["Qwen2ForCausalLM"], **shape})
    assert qwen.rows("model.layers.0.self_attn.q_proj", q)[:, 0].tolist() == list(range(8))


@pytest.mark.parametrize("name", MAKERS)
def test_every_linear_layer_has_a_name_in_llama_cpp(name: str, tmp_path: Path) -> None:
    base = make_family(name, tmp_path / "base")
    adapter = add_adapter(base, tmp_path / "adapter")
    out = tmp_path / "lora.gguf"
    modules = write_lora_gguf(adapter, config_of(base), out)
    family = family_of(config_of(base))
    assert modules == 3 * (4 if name == "phi3" else 7)
    check = check_adapter(open_gguf(out), adapter, family)
    assert check.first is None
    assert check.compared == modules
    assert check.worst < 1e-6


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("use_dora", True, "DoRA"),
        ("modules_to_save", ["lm_head"], "modules_to_save"),
        ("bias", "all", "biases"),
        ("trainable_token_indices", [1], "tokens"),
        ("target_parameters", ["experts.w"], "expert"),
    ],
)
def test_what_llama_cpp_has_no_place_for_is_refused(
    llama: Path, tmp_path: Path, key: str, value: object, told: str
) -> None:
    adapter = add_adapter(llama, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ModelError, match=told) as caught:
        write_lora_gguf(adapter, config_of(llama), tmp_path / "lora.gguf")
    assert "--to gguf" in str(caught.value)
    assert not (tmp_path / "lora.gguf").exists()


def test_lora_on_the_head_is_refused(llama: Path, tmp_path: Path) -> None:
    adapter = add_adapter(llama, tmp_path / "adapter", target_modules=["lm_head", "q_proj"])
    with pytest.raises(ModelError, match="lm_head"):
        write_lora_gguf(adapter, config_of(llama), tmp_path / "lora.gguf")


def test_an_architecture_that_nobody_tried_is_refused() -> None:
    with pytest.raises(ModelError, match="GptOssForCausalLM") as caught:
        family_of({"architectures": ["GptOssForCausalLM"]})
    assert all(name in str(caught.value) for name in FAMILIES)


def test_matrices_in_bf16_come_out_in_float32(llama: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    adapter = add_adapter(llama, tmp_path / "adapter")
    weights = adapter / "adapter_model.safetensors"
    save_file({k: v.to(torch.bfloat16) for k, v in load_file(weights).items()}, weights)
    assert next(read_pairs(adapter)).a.dtype == np.float32


def test_half_an_adapter_is_told(llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapter = add_adapter(llama, tmp_path / "adapter")
    weights = load_file(adapter / "adapter_model.safetensors")
    weights.pop(next(k for k in weights if "lora_B" in k))
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="lacks"):
        write_lora_gguf(adapter, config_of(llama), tmp_path / "lora.gguf")


def test_a_full_disk_leaves_nothing(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    import gguf

    def full(self: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", full)
    adapter = add_adapter(llama, tmp_path / "adapter")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DiskFullError):
        write_lora_gguf(adapter, config_of(llama), out / "lora.gguf")
    assert list(out.iterdir()) == []
