"""A decoder's shape as plain data, and what can be counted from it. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minirl.errors import ModelError

# Which families give their linear layers a bias, normalise queries and keys, and so on: their
# config.json does not say it, their code in transformers does.
_QKV_BIAS = {"qwen2", "qwen2_moe"}
_QK_NORM = {"qwen3", "qwen3_moe", "qwen3_vl_text", "gemma3_text"}
_FOUR_NORMS = {"gemma2", "gemma3_text"}  # a norm before and one after attention and MLP
_SINKS = {"gpt_oss"}
_GATED = {"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder-only transformer with gated MLPs.

    Attributes:
        layers: number of blocks.
        hidden: width of the residual stream.
        heads, kv_heads, head_dim: of attention (grouped queries where they differ).
        intermediate: width of the MLP (of one expert).
        vocab: rows of the embedding.
        tied: whether head and embedding are one matrix.
        max_positions: longest sequence that the positions cover.
        qkv_bias, o_bias, qk_norm, sinks: what the family's attention has besides.
        norms: RMS norms a layer, those of queries and keys apart.
        window: width of sliding-window attention.
        sliding_layers: how many layers use it.
        experts, experts_per_token: of a mixture; 0 for a dense model.
        other: parameters outside the decoder (a vision tower), which are kept in 16 bits.
        licence: of the weights, where it is known.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    max_positions: int = 131_072
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False
    norms: int = 2
    window: int | None = None
    sliding_layers: int = 0
    experts: int = 0
    experts_per_token: int = 0
    other: int = 0
    licence: str | None = None

    @property
    def q_width(self) -> int:
        """Columns of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Columns of all key heads (of the values as well)."""
        return self.kv_heads * self.head_dim

    @property
    def active_intermediate(self) -> int:
        """MLP columns that one token goes through."""
        return self.intermediate * max(1, self.experts_per_token)

    def attention_layers(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of one layer's attention matrices."""
        h, q, kv = self.hidden, self.q_width, self.kv_width
        return {"q_proj": (h, q), "k_proj": (h, kv), "v_proj": (h, kv), "o_proj": (q, h)}

    def mlp_layers(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of one MLP's (one expert's) matrices."""
        h, i = self.hidden, self.intermediate
        return {"gate_proj": (h, i), "up_proj": (h, i), "down_proj": (i, h)}

    def linear_parameters(self) -> int:
        """Weights of the blocks' matrices, experts included: what is kept in 4 bits."""
        return self.layers * (
            _size(self.attention_layers()) + max(1, self.experts) * _size(self.mlp_layers())
        )

    def active_parameters(self) -> int:
        """Weights that one token is multiplied with: the blocks' and the head's."""
        block = _size(self.attention_layers()) + max(1, self.experts_per_token) * _size(
            self.mlp_layers()
        )
        return self.layers * block + self.vocab * self.hidden

    def parameters(self) -> int:
        """All parameters, as ``model.num_parameters()`` counts them."""
        h, q, kv, i = self.hidden, self.q_width, self.kv_width, self.intermediate
        small = self.norms * h
        small += (q + 2 * kv if self.qkv_bias else 0) + (h if self.o_bias else 0)
        small += 2 * self.head_dim if self.qk_norm else 0
        small += self.heads if self.sinks else 0
        if self.experts:
            small += self.experts * (h + 1)  # the router, with its bias
            small += self.experts * (2 * i + h) if self.sinks else -self.experts  # gpt-oss's biases
        return self.linear_parameters() + self.layers * small + h + self.embeddings() + self.other

    def embeddings(self) -> int:
        """Parameters of the embedding and, where it is another matrix, of the head."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    def adapted(self, targets: str | Sequence[str]) -> Iterator[tuple[str, int, int]]:
        """(name, inputs, outputs) of one layer's matrices that an adapter is put on.

        Experts are stacked tensors and no linear layers, so peft's ``all-linear`` passes them by.
        """
        layers = self.attention_layers() | ({} if self.experts else self.mlp_layers())
        for name, (width, out) in layers.items():
            if targets == "all-linear" or name in targets:
                yield name, width, out

    def lora_parameters(self, r: int, targets: str | Sequence[str] = "all-linear") -> int:
        """Parameters of a LoRA adapter of rank ``r``: r (inputs + outputs) for each matrix."""
        return self.layers * sum(r * (width + out) for _, width, out in self.adapted(targets))

    def kv_elements(self, tokens: int) -> int:
        """Numbers in the cache of one sequence of ``tokens``; a sliding layer keeps its window."""
        slid = min(tokens, self.window) if self.window else tokens
        full = (self.layers - self.sliding_layers) * tokens
        return 2 * self.kv_width * (full + self.sliding_layers * slid)


def _size(layers: Mapping[str, tuple[int, int]]) -> int:
    return sum(a * b for a, b in layers.values())


def from_config(config: Mapping[str, Any], *, name: str = "the model") -> Architecture:
    """Read transformers' ``config.json``.

    Raises:
        ModelError: it describes no decoder of this kind.
    """
    text: Mapping[str, Any] = config.get("text_config") or config
    missing = sorted(key for key in _GATED if not isinstance(text.get(key), int))
    if missing:
        raise ModelError(
            f"the config.json of {name} does not describe a decoder that minirl can plan for",
            expected=f"whole numbers for {', '.join(sorted(_GATED))}",
            got=f"none for {', '.join(missing)} (model_type {config.get('model_type')!r})",
            fix="plan with a model of the same size, such as --set model.name=Qwen/Qwen3-4B",
        )
    kind = str(text.get("model_type", ""))
    hidden, layers, heads = (
        text[k] for k in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    experts = text.get("num_local_experts") or text.get("num_experts") or 0
    wide = text.get("intermediate_size") or 4 * hidden
    window, sliding = _sliding(text, layers)
    bias = bool(text.get("attention_bias", False))
    return Architecture(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=text.get("num_key_value_heads") or heads,
        head_dim=text.get("head_dim") or hidden // heads,
        intermediate=text.get("moe_intermediate_size") or wide if experts else wide,
        vocab=text["vocab_size"],
        tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", True))),
        max_positions=text.get("max_position_embeddings") or 131_072,
        qkv_bias=bias or kind in _QKV_BIAS,
        o_bias=bias,
        qk_norm=kind in _QK_NORM,
        sinks=kind in _SINKS,
        norms=4 if kind in _FOUR_NORMS else 2,
        window=window,
        sliding_layers=sliding,
        experts=experts,
        experts_per_token=(text.get("num_experts_per_tok") or 1) if experts else 0,
    )


def _sliding(text: Mapping[str, Any], layers: int) -> tuple[int | None, int]:
    """Window and number of sliding layers; configs name them in several ways."""
    window = text.get("sliding_window")
    if not window or text.get("use_sliding_window") is False:
        return None, 0
    kinds = text.get("layer_types")
    if kinds:
        return window, sum(k == "sliding_attention" for k in kinds)
    pattern = text.get("sliding_window_pattern") or text.get("_sliding_window_pattern")
    return window, layers - layers // pattern if pattern else layers
