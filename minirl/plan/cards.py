"""NVIDIA cards by name: memory, compute capability, bandwidth and arithmetic. Imports no torch.

Figures are NVIDIA's data sheets: memory as the driver shows it where that is known, else the
nominal size; dense tensor-core TFLOP/s in 16 bits with 32-bit accumulation, without sparsity.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from minirl.errors import UnknownNameError

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True, slots=True)
class CardSpec:
    """A card as its data sheet describes it.

    Attributes:
        name: how it is called.
        memory: bytes.
        capability: CUDA's compute capability.
        bandwidth: bytes a second.
        flops: multiplications and additions a second in bf16, or fp16 where it has no bf16.
    """

    name: str
    memory: int
    capability: tuple[int, int]
    bandwidth: float
    flops: float

    @property
    def bf16(self) -> bool:
        """Whether it computes bf16 (Ampere and later)."""
        return self.capability >= (8, 0)


def _card(name: str, mib: int, capability: tuple[int, int], gb_s: float, tflops: float) -> CardSpec:
    return CardSpec(name, mib * MIB, capability, gb_s * 1e9, tflops * 1e12)


CARDS: tuple[CardSpec, ...] = (
    _card("GTX 1660 Ti", 6144, (7, 5), 288, 11),
    _card("GTX 1660 Super", 6144, (7, 5), 336, 10),
    _card("RTX 2060", 6144, (7, 5), 336, 26),
    _card("RTX 2060 12GB", 12_288, (7, 5), 336, 29),
    _card("RTX 2070", 8192, (7, 5), 448, 30),
    _card("RTX 2070 Super", 8192, (7, 5), 448, 36),
    _card("RTX 2080", 8192, (7, 5), 448, 40),
    _card("RTX 2080 Super", 8192, (7, 5), 496, 45),
    _card("RTX 2080 Ti", 11_264, (7, 5), 616, 54),
    _card("Titan RTX", 24_576, (7, 5), 672, 65),
    _card("RTX 3050", 8192, (8, 6), 224, 18),
    _card("RTX 3050 6GB", 6144, (8, 6), 168, 14),
    _card("RTX 3060", 12_288, (8, 6), 360, 25),
    _card("RTX 3060 8GB", 8192, (8, 6), 240, 25),
    _card("RTX 3060 Ti", 8192, (8, 6), 448, 32),
    _card("RTX 3070", 8192, (8, 6), 448, 41),
    _card("RTX 3070 Ti", 8192, (8, 6), 608, 43),
    _card("RTX 3080", 10_240, (8, 6), 760, 60),
    _card("RTX 3080 12GB", 12_288, (8, 6), 912, 61),
    _card("RTX 3080 Ti", 12_288, (8, 6), 912, 68),
    _card("RTX 3090", 24_576, (8, 6), 936, 71),
    _card("RTX 3090 Ti", 24_564, (8, 6), 1008, 80),
    _card("RTX 4050 Laptop", 6141, (8, 9), 192, 28),
    _card("RTX 4060", 8188, (8, 9), 272, 30),
    _card("RTX 4060 Ti", 8188, (8, 9), 288, 44),
    _card("RTX 4060 Ti 16GB", 16_380, (8, 9), 288, 44),
    _card("RTX 4070", 12_282, (8, 9), 504, 58),
    _card("RTX 4070 Super", 12_282, (8, 9), 504, 71),
    _card("RTX 4070 Ti", 12_282, (8, 9), 504, 80),
    _card("RTX 4070 Ti Super", 16_376, (8, 9), 672, 88),
    _card("RTX 4080", 16_376, (8, 9), 717, 97),
    _card("RTX 4080 Super", 16_376, (8, 9), 736, 104),
    _card("RTX 4090", 24_564, (8, 9), 1008, 165),
    _card("RTX 5050", 8151, (12, 0), 320, 26),
    _card("RTX 5060", 8151, (12, 0), 448, 38),
    _card("RTX 5060 Ti", 8151, (12, 0), 448, 47),
    _card("RTX 5060 Ti 16GB", 16_311, (12, 0), 448, 47),
    _card("RTX 5070", 12_227, (12, 0), 672, 62),
    _card("RTX 5070 Ti", 16_303, (12, 0), 896, 88),
    _card("RTX 5080", 16_303, (12, 0), 960, 113),
    _card("RTX 5090", 32_607, (12, 0), 1792, 210),
    _card("RTX A2000", 6138, (8, 6), 288, 32),
    _card("RTX A2000 12GB", 12_282, (8, 6), 288, 32),
    _card("RTX A4000", 16_376, (8, 6), 448, 77),
    _card("RTX A5000", 24_564, (8, 6), 768, 111),
    _card("RTX A6000", 49_140, (8, 6), 768, 155),
    _card("RTX 6000 Ada", 49_140, (8, 9), 960, 364),
    _card("RTX PRO 6000", 97_887, (12, 0), 1792, 500),
    _card("T4", 15_360, (7, 5), 320, 65),
    _card("P100", 16_276, (6, 0), 732, 19),
    _card("V100 16GB", 16_160, (7, 0), 900, 112),
    _card("V100 32GB", 32_510, (7, 0), 900, 112),
    _card("A10", 23_028, (8, 6), 600, 125),
    _card("A10G", 23_028, (8, 6), 600, 70),
    _card("A30", 24_576, (8, 0), 933, 165),
    _card("A40", 46_068, (8, 6), 696, 150),
    _card("L4", 23_034, (8, 9), 300, 121),
    _card("L40", 46_068, (8, 9), 864, 181),
    _card("L40S", 46_068, (8, 9), 864, 362),
    _card("A100 40GB", 40_960, (8, 0), 1555, 312),
    _card("A100 80GB", 81_920, (8, 0), 2039, 312),
    _card("H100", 81_559, (9, 0), 3350, 989),
    _card("H100 PCIe", 81_559, (9, 0), 2000, 756),
    _card("H200", 143_771, (9, 0), 4800, 989),
    _card("B200", 183_359, (10, 0), 8000, 2250),
    _card("DGX Spark", 122_880, (12, 1), 273, 62),
)

_NOISE = re.compile(
    r"nvidia|geforce|tesla|quadro|generation|graphics|gpu|sxm\d?|hbm\d?e?|-"
    r"|(?<!h100 )(?<!h100-)pcie",  # the H100 alone differs
)


def find_card(name: str) -> CardSpec:
    """The card that ``name`` means; case, spaces, ``GeForce`` and ``GB`` matter little.

    Raises:
        UnknownNameError: no such card, with the nearest names.
    """
    wanted = _words(name)
    exact = [c for c in CARDS if _words(c.name) == wanted]
    if exact:
        return exact[0]
    # "3060 12gb" leaves out the series, "RTX 3060 12GB" says a size that only one card has.
    size = re.search(r"(?<!\w)(\d+)gb$", wanted)
    base = wanted[: size.start()].strip() if size else wanted
    same = [c for c in CARDS if base and _model(_words(c.name)) == _model(base)]
    if size:
        same = [c for c in same if round(c.memory / GIB) == int(size[1])]
    if same:
        return same[0]
    names = {_words(c.name): c.name for c in CARDS}
    near = [names[n] for n in difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)]
    raise UnknownNameError(
        f"no card is called {name!r}",
        expected=f"a name such as {', '.join(near) or 'RTX 3060, T4, A100 80GB'}",
        fix="give its memory in GB instead: --vram 12",
    )


def _words(name: str) -> str:
    """``NVIDIA GeForce RTX-3060 12 GB`` -> ``rtx 3060 12gb``."""
    text = " ".join(_NOISE.sub(" ", name.lower()).split())
    text = re.sub(r"(\d+)\s*gi?b\b", r"\1gb", text)
    text = re.sub(r"\b(rtx|gtx)(\d)", r"\1 \2", text)
    return re.sub(r"(\d)(ti|super)\b", r"\1 \2", text)


def _model(words: str) -> str:
    """Words without the series and without a size: ``rtx 3060 12gb`` -> ``3060``."""
    return re.sub(r"\s*\b\d+gb$", "", re.sub(r"^(rtx|gtx)\s+(?=\d)", "", words))
