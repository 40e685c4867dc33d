"""Which number format llama.cpp's quantiser gives each tensor of a dense model: pure functions.

A quantization is a mixture: the tensors that suffer most keep more bits. The rules are those of
llama.cpp's ``llama-quant.cpp`` (as of 2026-11) for models without an importance matrix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minirl.errors import ModelError

# ggml's number formats, with their numbers in a GGUF and the columns that go into one block.
FORMAT_NUMBERS = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "q2_k": 10,
    "q3_k": 11,
    "q4_k": 12,
    "q5_k": 13,
    "q6_k": 14,
    "iq4_nl": 20,
    "iq4_xs": 23,
    "bf16": 30,
}
FORMATS = {number: name for name, number in FORMAT_NUMBERS.items()}
_WIDE = ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs")
_WHOLE = ("f32", "f16", "bf16")


@dataclass(frozen=True, slots=True)
class Quantization:
    """A kind of file: its number in `general.file_type`, and the format of most of its tensors."""

    file_type: int
    default: str


QUANTIZATIONS = {
    "f16": Quantization(1, "f16"),
    "bf16": Quantization(32, "bf16"),
    "q8_0": Quantization(7, "q8_0"),
    "q4_0": Quantization(2, "q4_0"),
    "q4_1": Quantization(3, "q4_1"),
    "q5_0": Quantization(8, "q5_0"),
    "q5_1": Quantization(9, "q5_1"),
    "q2_k": Quantization(10, "q2_k"),
    "q3_k_s": Quantization(11, "q3_k"),
    "q3_k_m": Quantization(12, "q3_k"),
    "q3_k_l": Quantization(13, "q3_k"),
    "q4_k_s": Quantization(14, "q4_k"),
    "q4_k_m": Quantization(15, "q4_k"),
    "q5_k_s": Quantization(16, "q5_k"),
    "q5_k_m": Quantization(17, "q5_k"),
    "q6_k": Quantization(18, "q6_k"),
    "iq4_nl": Quantization(25, "iq4_nl"),
    "iq4_xs": Quantization(30, "iq4_xs"),
}

# Where a row does not fill blocks of 256.
_NARROWER = {
    "q2_k": "q4_0",
    "q3_k": "q4_0",
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
    "iq4_xs": "iq4_nl",
}

DENSE = frozenset(
    {"llama", "mistral3", "smollm3", "granite", "olmo2", "phi2", "phi3"}
    | {"qwen2", "qwen3", "gemma", "gemma2", "gemma3"}
)
_TENSOR = re.compile(
    r"(token_embd|output|output_norm|rope_freqs|rope_factors_(long|short)"
    r"|blk\.\d+\.(attn_(q|k|v|qkv|output)|ffn_(up|gate|down)|[a-z_]*norm))\.(weight|bias)"
)


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the mixture depends on beside the tensors.

    Attributes:
        name: `general.architecture`.
        layers: how many blocks.
        heads: of queries.
        kv_heads: of keys and values.
        experts: 0 in a dense model.
    """

    name: str
    layers: int
    heads: int
    kv_heads: int
    experts: int = 0

    @property
    def sharing(self) -> int:
        """How many query heads share a head of keys and values."""
        return self.heads // self.kv_heads if self.kv_heads else 0

    @property
    def is_70b(self) -> bool:
        """Whether llama.cpp takes it for one of the 70-billion models, whose `attn_v` is small."""
        shares = self.heads != self.kv_heads
        return self.layers == 80 and (self.name == "qwen2" or (self.name == "llama" and shares))


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's name, its shape (columns first, as in a GGUF) and its format."""

    name: str
    shape: tuple[int, ...]
    stored: str

    @property
    def is_matrix(self) -> bool:
        return any(n > 1 for n in self.shape[1:])

    @property
    def may_be_quantized(self) -> bool:
        norm = self.name.endswith("_norm.weight")
        return self.is_matrix and self.name.endswith("weight") and not norm


def choose_formats(
    kind: str, tensors: Iterable[Tensor], architecture: Architecture
) -> dict[str, str]:
    """The format of each tensor, by name, in the order in which llama.cpp goes through them.

    Raises:
        ModelError: a model whose mixture is not written down here.
    """
    ordered = sorted(tensors, key=layer_order)
    _refuse_unknown(architecture, ordered)
    names = {tensor.name for tensor in ordered}
    values = [t.name for t in ordered if _is_value(t.name)]
    default = QUANTIZATIONS[kind].default
    chosen = {}
    for tensor in ordered:
        if not tensor.may_be_quantized:
            chosen[tensor.name] = tensor.stored
        elif default in _WHOLE:
            chosen[tensor.name] = default
        else:
            wanted = _wanted(kind, tensor, architecture, values, tied="output.weight" not in names)
            chosen[tensor.name] = fitting(wanted, tensor.shape[0])
    return chosen


def layer_order(tensor: Tensor) -> tuple[int, str]:
    """Tensors outside the blocks first, then block after block, by name within one."""
    layer = re.match(r"blk\.(\d+)\.", tensor.name)
    return (int(layer[1]) if layer else -1, tensor.name)


def fitting(wanted: str, columns: int) -> str:
    """``wanted``, or the format that takes its place in rows that do not fill its blocks."""
    if columns % block_size(wanted) == 0:
        return wanted
    narrower = _NARROWER.get(wanted, wanted)
    return narrower if columns % block_size(narrower) == 0 else "f16"


def block_size(number_format: str) -> int:
    """How many columns a block of the format has."""
    if number_format in _WHOLE:
        return 1
    return 256 if number_format in _WIDE else 32


def _wanted(
    kind: str, tensor: Tensor, architecture: Architecture, values: Sequence[str], *, tied: bool
) -> str:
    default = QUANTIZATIONS[kind].default
    name = tensor.name
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        if tensor.shape[0] % block_size(default) or default == "q8_0":
            return "q8_0"
        return "q6_k"
    layer, layers = layer_order(tensor)[0], architecture.layers
    if _is_value(name):
        return _for_values(kind, values.index(name), len(values), architecture)
    if "ffn_down" in name:
        return _for_down_projections(kind, layer, layers)
    if "attn_output.weight" in name:
        return {"q2_k": "q3_k", "q3_k_m": "q4_k", "q3_k_l": "q5_k"}.get(kind, default)
    return default


def _is_value(name: str) -> bool:
    return name.endswith(("attn_v.weight", "attn_qkv.weight"))


def _needs_more(i: int, n: int) -> bool:
    """The first and last eighth, and every third between."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def _for_values(kind: str, i: int, n: int, architecture: Architecture) -> str:
    """Of `attn_v`, or where it is a part of `attn_qkv`, the ``i``-th of ``n``."""
    chosen = QUANTIZATIONS[kind].default
    if kind == "q2_k":
        chosen = "q4_k" if architecture.sharing >= 4 else "q3_k"
    elif kind == "q3_k_m":
        chosen = "q5_k" if i < 2 else "q4_k"
    elif kind == "q3_k_l" or (kind in ("iq4_nl", "iq4_xs") and architecture.sharing >= 4):
        chosen = "q5_k"
    elif kind in ("q4_k_m", "q5_k_m") and _needs_more(i, n):
        chosen = "q6_k"
    elif kind == "q4_k_s" and i < 4:
        chosen = "q5_k"
    return "q5_k" if architecture.is_70b and chosen in ("q3_k", "q4_k") else chosen


def _for_down_projections(kind: str, i: int, n: int) -> str:
    """Of `ffn_down` in block ``i`` of ``n``."""
    if kind == "q2_k":
        return "q3_k"
    if kind == "q3_k_m":
        return "q5_k" if i < n // 16 else "q4_k"
    if kind == "q3_k_l":
        return "q5_k"
    if kind in ("q4_k_m", "q5_k_m") and _needs_more(i, n):
        return "q6_k"
    if kind in ("q4_k_s", "iq4_nl", "iq4_xs") and i < n // 8:
        return "q5_k"
    return QUANTIZATIONS[kind].default


def _refuse_unknown(architecture: Architecture, tensors: Sequence[Tensor]) -> None:
    strange = [t.name for t in tensors if not _TENSOR.fullmatch(t.name)]
    wrong = [t.name for t in tensors if t.stored not in ("f32", "f16", "bf16")]
    if architecture.name not in DENSE or architecture.experts or strange:
        raise ModelError(
            f"minirl does not know the mixture for a model of architecture {architecture.name}",
            expected=f"a dense model of one of: {', '.join(sorted(DENSE))}",
            got=f"{architecture.experts} experts"
            if architecture.experts
            else ", ".join(strange[:3]),
            fix="install llama.cpp, so that llama-quantize is on the PATH, or llama-cpp-python",
        )
    if wrong:
        raise ModelError(
            "only a GGUF in f32, f16 or bf16 can be quantized",
            got=f"{wrong[0]} is quantized already",
            fix="start from the f16 GGUF",
        )
