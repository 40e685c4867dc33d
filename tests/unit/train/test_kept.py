"""Which of the prompts' passes are kept for training, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from random_models import ARCHITECTURES, request, with_adapter
from transformers import AutoModelForCausalLM

from minirl.models.sampler import SamplingParams, TorchSampler
from minirl.train.kept import KeptPrompts

pytestmark = pytest.mark.skipif(
    torch.backends.quantized.engine not in ("x86", "fbgemm"),
    reason="prompts are recorded where FBGEMM multiplies (minirl/models/decoding/halves.py)",
)
LONG, SHORT = tuple(range(20, 60)), tuple(range(60, 70))
LIKE_LONG = (*LONG[:-5], *range(5))  # 35 tokens of 40 are LONG's


@pytest.fixture
def model() -> Any:
    torch.manual_seed(7)
    made = AutoModelForCausalLM.from_config(ARCHITECTURES["llama"](), dtype=torch.bfloat16)
    return with_adapter(made.float())


def sample(
    model: Any, kept: KeptPrompts, prompts: Sequence[tuple[int, ...]], *, adapter: bool = True
) -> None:
    sampler = TorchSampler()
    with (
        sampler.recording(kept),
        sampler.session(model, use_adapter=adapter, batch=8) as draw,
    ):
        draw(
            [request(ids, max_tokens=3) for ids in prompts],
            range(len(prompts)),
            SamplingParams(),
            seed=0,
            eos_ids=frozenset(),
            pad_id=0,
        )


def test_what_prompts_share_is_kept_once(model):
    kept = KeptPrompts(model, room=100)
    sample(model, kept, [LONG, LIKE_LONG, SHORT])
    assert kept.tokens == 40 + 5 + 10
    assert kept.free == 45
    assert all(map(kept.holds, (LONG, LIKE_LONG, SHORT)))
    assert not kept.holds(LONG[:-1])


@pytest.mark.parametrize(("room", "tokens"), [(49, 40), (50, 50), (9, 0), (0, 0)])
def test_no_more_is_kept_than_there_is_room_for(model, room, tokens):
    kept = KeptPrompts(model, room)
    sample(model, kept, [SHORT, LONG])
    assert kept.tokens == tokens


def test_the_base_model_is_not_recorded(model):
    kept = KeptPrompts(model, room=100)
    sample(model, kept, [LONG], adapter=False)
    assert kept.tokens == 0


def test_weights_that_cannot_be_packed_are_merged_and_not_recorded(model):
    model.get_base_model().model.layers[0].mlp.up_proj.base_layer.weight.data += 1e-5
    kept = KeptPrompts(model, room=100)
    sample(model, kept, [LONG])
    assert kept.tokens == 0


@pytest.mark.parametrize(
    ("trained", "tokens"), [([LONG, SHORT], 50), ([LONG], 50), ([SHORT], 0), ([], 0)]
)
def test_a_pass_stays_where_more_than_half_of_it_is_trained(model, trained, tokens):
    kept = KeptPrompts(model, room=100)
    sample(model, kept, [LONG, SHORT])
    kept.settle(trained)
    assert kept.tokens == tokens


def test_passes_of_other_weights_are_forgotten(model):
    kept = KeptPrompts(model, room=100)
    sample(model, kept, [LONG])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.ones_like(p)
    kept.settle([LONG])
    assert kept.tokens == 40
    optimizer.step()
    kept.settle([LONG])
    assert kept.tokens == 0
    sample(model, kept, [LONG])
    kept.settle([LONG])
    assert kept.tokens == 40


def test_a_pass_that_nobody_used_sends_nothing_back(model):
    kept = KeptPrompts(model, room=100)
    sample(model, kept, [LONG])
    kept.backward()
    assert kept.tokens == 0
    assert all(p.grad is None for p in model.parameters())
