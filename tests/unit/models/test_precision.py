"""Which number format is chosen."""

from __future__ import annotations

import pytest
import torch

from minirl.models import precision
from minirl.models.precision import choose_dtype

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)],
)
def test_a_named_format_is_taken_as_it_is(name, dtype, device):
    assert choose_dtype(name, device) is dtype


@pytest.mark.parametrize(
    ("speedup", "dtype"),
    [(0.4, torch.float32), (1.29, torch.float32), (1.31, torch.bfloat16), (9, torch.bfloat16)],
)
def test_a_cpu_takes_bf16_where_it_is_clearly_faster(monkeypatch, speedup, dtype):
    monkeypatch.setattr(precision, "_bf16_speedup", lambda: speedup)
    assert choose_dtype("auto", CPU) is dtype


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        ((6, 1), torch.float32),
        ((7, 5), torch.float16),
        ((8, 0), torch.bfloat16),
        ((8, 9), torch.bfloat16),
    ],
)
def test_a_card_takes_what_it_multiplies_fastest(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype("auto", CUDA) is dtype


def test_the_measurement_is_a_ratio_of_times(monkeypatch):
    assert precision._bf16_speedup() > 0
    ticks = iter([0, 2, 0, 1] * 8)  # fp32 takes 2, bf16 takes 1
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(ticks))
    assert precision._bf16_speedup() == 2
