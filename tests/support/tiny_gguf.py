"""The tiny model as a GGUF file, written field by field.

llama.cpp has no character tokenizer: it is spelled as a byte-level one whose only merge never
applies.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Trained(NamedTuple):
    """The same weights in transformers."""

    model: Any
    tokenizer: Any


def write_tiny_gguf(model: Path, out: Path) -> Path:
    """Write ``out`` from the tiny model's directory, in fp32."""
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text())
    ids = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]

    w = gguf.GGUFWriter(out, "llama")
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_block_count(config["num_hidden_layers"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    w.add_vocab_size(config["vocab_size"])
    w.add_file_type(gguf.LlamaFileType.ALL_F32)

    tokens = sorted(ids, key=ids.__getitem__)
    control = [t.startswith("<|") or t == "<unk>" for t in tokens]
    kinds = (gguf.TokenType.NORMAL, gguf.TokenType.CONTROL)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list([t if c else _spelled(t) for t, c in zip(tokens, control, strict=True)])
    w.add_token_types([kinds[c] for c in control])
    w.add_token_merges([f"{_spelled(chr(0))} {_spelled(chr(0))}"])
    w.add_bos_token_id(config["bos_token_id"])
    w.add_eos_token_id(config["eos_token_id"])
    w.add_pad_token_id(config["pad_token_id"])
    w.add_add_bos_token(False)
    w.add_chat_template((model / "chat_template.jinja").read_text())

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, weight in load_file(model / "model.safetensors").items():
        for part, count in (("q_proj", heads), ("k_proj", kv_heads)):
            if part in name:
                weight = _interleaved(weight, count)
        tensor = np.ascontiguousarray(weight, dtype=np.float32)
        w.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return out


def _spelled(character: str) -> str:
    """A byte as GPT-2's vocabulary writes it."""
    at = ord(character)
    return character if 33 <= at <= 126 else chr(256 + at)


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp rotates neighbouring rows of a head, transformers its two halves."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)
