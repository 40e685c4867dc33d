"""How far an export may be off depends on its bits alone."""

from __future__ import annotations

import pytest

from minirl.export.verify import limits_for


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_whole_files_have_to_agree(kind: str) -> None:
    limits = limits_for(kind, exact_reference=True)
    assert (limits.top1, limits.kl, limits.solved) == (0.99, 0.002, 0.0)
    assert limits.weights <= 0.001


def test_fewer_bits_may_lose_more() -> None:
    kinds = ["f16", "q8_0", "q6_k", "q5_k_m", "iq4_xs", "q3_k_s", "iq2_xxs"]
    limits = [limits_for(kind, exact_reference=True) for kind in kinds]
    for name in ("kl", "weights", "solved"):
        values = [getattr(x, name) for x in limits]
        assert values == sorted(values), name
    assert [x.top1 for x in limits] == sorted((x.top1 for x in limits), reverse=True)
    assert limits_for("q4_k_m", exact_reference=True) == limits_for("q4_0", exact_reference=True)
    assert limits_for("iq1_s", exact_reference=True) == limits_for("q2_k", exact_reference=True)


def test_a_reference_in_16_bits_is_no_closer_than_that() -> None:
    assert limits_for("f16", exact_reference=False) == limits_for("bf16", exact_reference=True)
    assert limits_for("bf16", exact_reference=True).top1 < 0.99
