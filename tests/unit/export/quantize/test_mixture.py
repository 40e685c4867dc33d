"""The mixtures of llama.cpp's quantiser, against what it records of itself."""

import pytest

from minirl.errors import ModelError
from minirl.export.quantize.mixture import (
    QUANTIZATIONS,
    Architecture,
    Tensor,
    choose_formats,
    fitting,
)

# What stands out from a kind's usual format, from llama.cpp's own tests (tests/snapshots of its
# tree, 2026-11): "tensor[blocks]=format", where * is each block.
OUTPUT_ONLY = ("q4_0", "q4_1", "q5_0", "q5_1", "q3_k_s", "q5_k_s")
NOTHING = ("f16", "bf16", "q8_0", "q6_k")
MORE_40 = "[0-4,7,10,13,16,19,22,25,28,31,34-39]=q6_k"
MORE_34 = "[0-3,6,9,12,15,18,21,24,27,29-33]=q6_k"
MORE_80 = "[0-9,12,15,18,21,24,27,30,33,36,39,42,45,48,51,54,57,60,63,66,69-79]=q6_k"
LESS_80 = (
    "[10-11,13-14,16-17,19-20,22-23,25-26,28-29,31-32,34-35,37-38,40-41,43-44,46-47,49-50,52-53,"
    "55-56,58-59,61-62,64-65,67-68]=q5_k"
)

QWEN3_14B = {
    "q2_k": "attn_output[*]=q3_k attn_v[*]=q4_k ffn_down[*]=q3_k",
    "q3_k_m": "attn_output[*]=q4_k attn_v[2-39]=q4_k attn_v[0-1]=q5_k "
    "ffn_down[2-39]=q4_k ffn_down[0-1]=q5_k",
    "q3_k_l": "attn_output[*]=q5_k attn_v[*]=q5_k ffn_down[*]=q5_k",
    "q4_k_s": "attn_v[0-3]=q5_k ffn_down[0-4]=q5_k",
    "q4_k_m": f"attn_v{MORE_40} ffn_down{MORE_40}",
    "q5_k_m": f"attn_v{MORE_40} ffn_down{MORE_40}",
    "iq4_nl": "attn_v[*]=q5_k ffn_down[0-4]=q5_k",
    "iq4_xs": "attn_v[*]=q5_k ffn_down[0-4]=q5_k",
}
GEMMA3_4B = {
    "q2_k": "attn_output[*]=q3_k attn_v[*]=q3_k ffn_down[*]=q3_k",
    "q3_k_m": "attn_output[*]=q4_k attn_v[2-33]=q4_k attn_v[0-1]=q5_k "
    "ffn_down[2-33]=q4_k ffn_down[0-1]=q5_k",
    "q3_k_l": "attn_output[*]=q5_k attn_v[*]=q5_k ffn_down[*]=q5_k",
    "q4_k_s": "attn_v[0-3]=q5_k ffn_down[0-3]=q5_k",
    "q4_k_m": f"attn_v{MORE_34} ffn_down{MORE_34}",
    "q5_k_m": f"attn_v{MORE_34} ffn_down{MORE_34}",
    "iq4_nl": "ffn_down[0-3]=q5_k",
    "iq4_xs": "ffn_down[0-3]=q5_k",
}
LLAMA_70B = {
    "q2_k": "attn_output[*]=q3_k attn_v[*]=q5_k ffn_down[*]=q3_k",
    "q3_k_s": "attn_v[*]=q5_k",
    "q3_k_m": "attn_output[*]=q4_k attn_v[*]=q5_k ffn_down[5-79]=q4_k ffn_down[0-4]=q5_k",
    "q3_k_l": "attn_output[*]=q5_k attn_v[*]=q5_k ffn_down[*]=q5_k",
    "q4_k_s": "attn_v[*]=q5_k ffn_down[0-9]=q5_k",
    "q4_k_m": f"attn_v{LESS_80} attn_v{MORE_80} ffn_down{MORE_80}",
    "q5_k_m": f"attn_v{MORE_80} ffn_down{MORE_80}",
    "iq4_nl": "attn_v[*]=q5_k ffn_down[0-9]=q5_k",
    "iq4_xs": "attn_v[*]=q5_k ffn_down[0-9]=q5_k",
}
MODELS = {
    "qwen3-14b": (Architecture("qwen3", 40, 40, 8), (5120, 17408, 128, 151936), False, QWEN3_14B),
    "gemma-3-4b": (Architecture("gemma3", 34, 8, 4), (2560, 10240, 256, 262144), True, GEMMA3_4B),
    "llama-70b": (Architecture("llama", 80, 64, 8), (8192, 28672, 128, 128256), False, LLAMA_70B),
}


def tensors_of(model: Architecture, sizes: tuple[int, int, int, int], tied: bool) -> list[Tensor]:
    width, inner, head, vocabulary = sizes
    shapes = {
        "attn_q": (width, model.heads * head),
        "attn_k": (width, model.kv_heads * head),
        "attn_v": (width, model.kv_heads * head),
        "attn_output": (model.heads * head, width),
        "ffn_up": (width, inner),
        "ffn_gate": (width, inner),
        "ffn_down": (inner, width),
    }
    found = [Tensor("token_embd.weight", (width, vocabulary), "f16")]
    found += [Tensor("output_norm.weight", (width,), "f32")]
    if not tied:
        found.append(Tensor("output.weight", (width, vocabulary), "f16"))
    for i in range(model.layers):
        found += [Tensor(f"blk.{i}.{name}.weight", shape, "f16") for name, shape in shapes.items()]
        found.append(Tensor(f"blk.{i}.attn_norm.weight", (width,), "f32"))
    return found


def blocks(text: str, layers: int) -> set[int]:
    if text == "*":
        return set(range(layers))
    spans = [span.split("-") for span in text.split(",")]
    return {i for span in spans for i in range(int(span[0]), int(span[-1]) + 1)}


def recorded(text: str, layers: int) -> dict[str, str]:
    found = {}
    for entry in text.split():
        where, _, number_format = entry.partition("=")
        name, _, which = where.rstrip("]").partition("[")
        found |= {f"blk.{i}.{name}.weight": number_format for i in blocks(which, layers)}
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_the_mixture_is_llama_cpps(name: str, kind: str) -> None:
    model, sizes, tied, table = MODELS[name]
    tensors = tensors_of(model, sizes, tied)
    usual = QUANTIZATIONS[kind].default
    expected = {t.name: usual if len(t.shape) > 1 else t.stored for t in tensors}
    expected |= recorded(table.get(kind, ""), model.layers)
    assert set(table) | set(OUTPUT_ONLY) | set(NOTHING) == set(QUANTIZATIONS)
    if kind not in NOTHING:
        expected["token_embd.weight" if tied else "output.weight"] = "q6_k"
    assert choose_formats(kind, tensors, model) == expected


def test_tensors_come_block_after_block() -> None:
    model = Architecture("llama", 12, 4, 4)
    names = list(choose_formats("q8_0", tensors_of(model, (256, 512, 64, 300), False), model))
    assert names[:3] == ["output.weight", "output_norm.weight", "token_embd.weight"]
    assert [int(n.split(".")[1]) for n in names[3:]] == [i for i in range(12) for _ in range(8)]


@pytest.mark.parametrize(
    ("wanted", "columns", "came"),
    [
        ("q4_k", 512, "q4_k"),
        ("q4_k", 576, "q5_0"),
        ("q6_k", 576, "q8_0"),
        ("q5_k", 576, "q5_1"),
        ("q3_k", 576, "q4_0"),
        ("q2_k", 576, "q4_0"),
        ("iq4_xs", 576, "iq4_nl"),
        ("q4_0", 576, "q4_0"),
        ("q4_0", 100, "f16"),
        ("q4_k", 100, "f16"),
    ],
)
def test_rows_that_do_not_fill_the_blocks_fall_back(wanted: str, columns: int, came: str) -> None:
    assert fitting(wanted, columns) == came


def test_tied_embeddings_of_odd_width_are_q8_0_in_k_quants() -> None:
    model = Architecture("llama", 2, 9, 3)
    formats = choose_formats("q4_k_m", tensors_of(model, (576, 1536, 64, 300), True), model)
    assert formats["token_embd.weight"] == "q8_0"
    assert formats["blk.0.attn_q.weight"] == "q5_0"
    assert formats["blk.0.ffn_down.weight"] == "q4_k"  # 1536 columns: whole blocks
    assert formats["blk.1.ffn_down.weight"] == "q6_k"


def test_fused_attention_counts_as_values() -> None:
    model = Architecture("phi3", 8, 4, 4)
    tensors = [Tensor(f"blk.{i}.attn_qkv.weight", (512, 1536), "f16") for i in range(8)]
    formats = choose_formats("q4_k_m", [*tensors, Tensor("output.weight", (512, 9), "f16")], model)
    more = [i for i in range(8) if formats[f"blk.{i}.attn_qkv.weight"] == "q6_k"]
    assert more == [0, 3, 6, 7]


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        (Architecture("qwen3moe", 2, 4, 4, experts=8), []),
        (Architecture("llama", 2, 4, 4, experts=8), []),
        (Architecture("mamba", 2, 4, 4), []),
        (Architecture("llama", 2, 4, 4), [Tensor("blk.0.ssm_in.weight", (256, 256), "f16")]),
    ],
)
def test_what_has_no_mixture_here_names_llama_quantize(
    model: Architecture, extra: list[Tensor]
) -> None:
    tensors = tensors_of(model, (256, 512, 64, 300), False) + extra
    with pytest.raises(ModelError, match="llama-quantize"):
        choose_formats("q4_k_m", tensors, model)


def test_what_is_quantized_already_is_refused() -> None:
    model = Architecture("llama", 1, 4, 4)
    tensors = [Tensor("token_embd.weight", (256, 9), "q4_0")]
    with pytest.raises(ModelError, match="start from the f16"):
        choose_formats("q8_0", tensors, model)
