"""The fused LoRA layer against peft's own forward and autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from minirl.models.fused_lora import can_fuse, fused_lora
from minirl.models.merge import lora_layers


class Two(torch.nn.Module):
    """Two linear layers, so that a gradient has to pass through one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(12, 20)
        self.second = torch.nn.Linear(20, 7, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(torch.tanh(self.first(x)))
        return out


def _adapted(dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    torch.manual_seed(0)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["first", "second"], **options)
    model = get_peft_model(Two().to(dtype), config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            p.data = torch.randn_like(p)
    return model


def _run(model: Any, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    model.zero_grad()
    y = model(x)
    (y.float() ** 2).sum().backward()
    return [y, x.grad, *(p.grad for p in model.parameters() if p.requires_grad)]


def test_values_and_gradients_are_pefts() -> None:
    model, x = _adapted(), torch.randn(2, 5, 12)
    theirs = _run(model, x)
    with fused_lora(model) as count:
        ours = _run(model, x)
    assert count == 2
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert all("forward" not in vars(layer) for layer in lora_layers(model))


def test_in_bf16_it_is_as_near_to_fp32_as_peft_is() -> None:
    exact = _run(_adapted(), x := torch.randn(64, 12))
    model = _adapted(torch.bfloat16)
    for layer in lora_layers(model):  # as minirl's adapters are
        layer.lora_A.float(), layer.lora_B.float()
    with torch.autocast("cpu", torch.bfloat16):
        theirs = _run(model, x)
        with fused_lora(model):
            ours = _run(model, x)
    for a, b, c in zip(ours, theirs, exact, strict=True):
        assert a.dtype == b.dtype
        assert (a.float() - c).norm() < 1.2 * (b.float() - c).norm() + 1e-3 * c.norm()


def test_an_adapter_that_is_off_stays_off() -> None:
    model, x = _adapted(), torch.randn(4, 12)
    with model.disable_adapter():
        base = model(x)
        with fused_lora(model):
            assert torch.equal(model(x), base)


@pytest.mark.parametrize(
    "options", [{"use_dora": True}, {"lora_dropout": 0.1}, {"lora_bias": True}]
)
def test_other_kinds_of_lora_are_left_to_peft(options: dict[str, Any]) -> None:
    if "lora_bias" in options:
        options["target_modules"] = ["first"]
    torch.manual_seed(0)
    model = get_peft_model(
        Two(), LoraConfig(r=3, **{"target_modules": ["first", "second"], **options})
    )
    assert not any(can_fuse(layer) for layer in lora_layers(model))


def test_comes_off_after_an_error() -> None:
    model = _adapted()
    with pytest.raises(RuntimeError, match="shape"), fused_lora(model):
        model(torch.randn(4, 11))
    assert all("forward" not in vars(layer) for layer in lora_layers(model))
