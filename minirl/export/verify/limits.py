"""How far an export may be from the model that was trained.

16-bit files have to agree; what a quantised one loses is measured and told, and only more than
rounding to so many bits explains is a failure. SmolLM2-135M, whose columns K-quants do not fit,
showed a KL of .0053 in q8_0 and of .068 in q4_k_m over 216 places; the limits for 8 and 4 bits
stand four times above that, those for other bits are set between and beyond by judgement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still right.

    Attributes:
        top1: least share of positions with the same likeliest token.
        kl: greatest mean KL(trained || exported), in nats a token.
        weights: greatest relative error of a weight matrix (Frobenius).
        solved: how many points of the solved rate may surely be lost: the paired interval's upper
            end must not lie below minus this.
    """

    top1: float
    kl: float
    weights: float
    solved: float


_BY_BITS = {
    8: Limits(0.93, 0.02, 0.012, 0.02),
    6: Limits(0.88, 0.06, 0.04, 0.05),
    5: Limits(0.85, 0.12, 0.08, 0.1),
    4: Limits(0.75, 0.3, 0.15, 0.2),
    3: Limits(0.5, 1.0, 0.3, 1.0),
    2: Limits(0.2, 4.0, 0.6, 1.0),
}


def limits_for(kind: str, *, exact_reference: bool) -> Limits:
    """Limits of a number format: ``f32``, ``f16``, ``bf16``, or a quantisation such as
    ``q4_k_m``.

    Args:
        exact_reference: whether the trained model computes in fp32; in 16 bits it is itself no
            closer than that.
    """
    if quantised := re.match(r"i?t?q(\d)", kind):
        return _BY_BITS[max(2, int(quantised[1]))]
    if kind == "bf16" or not exact_reference:
        # 8 bits of mantissa: small updates of large weights are rounded away.
        return Limits(0.95, 0.03, 0.006, 0.02)
    return Limits(0.99, 0.002, 0.001, 0.0)
