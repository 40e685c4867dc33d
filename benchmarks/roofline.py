"""What this machine could do at most: the matrix products of a rollout, and reading memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

REPEATS = 7  # the fastest counts: a roofline is what the machine can do when nothing disturbs it
BYTES = 2**29  # larger than any cache


@dataclass(frozen=True, slots=True)
class Roofline:
    """The least time that a rollout can take.

    Attributes:
        prefill: seconds for the distinct prompts, each computed once.
        token: seconds for one token of every row: all weights multiplied once.
        cache: seconds for reading every row's keys and values, over the whole rollout.
        gflops: a second, of the products of one token.
        bandwidth: bytes a second.
        written: tokens of the rollout.
        tokens: written by each row.
    """

    prefill: float
    token: float
    cache: float
    gflops: float
    bandwidth: float
    written: int
    tokens: int

    @property
    def seconds(self) -> float:
        """Of the products alone. The prefill gives the first token."""
        return self.prefill + (self.tokens - 1) * self.token

    @property
    def rate(self) -> float:
        """Tokens a second, of the products alone."""
        return self.written / self.seconds

    @property
    def rate_with_cache(self) -> float:
        """Tokens a second, where every row reads its own keys and values."""
        return self.written / (self.seconds + self.cache)


def roofline(model: Any, *, prompts: int, length: int, rows: int, tokens: int) -> Roofline:
    """Measure it over the model's own weights.

    Args:
        prompts: distinct ones.
        length: of each, in tokens.
        rows: that write.
        tokens: that each writes.
    """
    head = model.get_output_embeddings().weight
    layers = layer_weights(model)
    config = model.config.get_text_config()
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    held = 2 * config.num_key_value_heads * width * config.num_hidden_layers * head.element_size()
    speed = bandwidth(head.device)
    weights = [*layers, head]
    products = product_seconds(weights, rows)
    size = sum(w.numel() for w in weights)
    read = sum(rows * (length + t) * held for t in range(1, tokens))
    return Roofline(
        prefill=product_seconds(layers, prompts * length) + product_seconds([head], prompts),
        token=max(products, size * head.element_size() / speed),
        cache=read / speed,
        gflops=2 * rows * size / products / 1e9,
        bandwidth=speed,
        written=rows * tokens,
        tokens=tokens,
    )


def layer_weights(model: Any) -> list[torch.Tensor]:
    """(out, in) of every linear layer but the head; of the base where there is an adapter."""
    head = model.get_output_embeddings()
    return [
        m.weight.detach()
        for name, m in model.named_modules()
        if isinstance(m, torch.nn.Linear) and m is not head and "lora_" not in name
    ]


def product_seconds(weights: Sequence[torch.Tensor], rows: int) -> float:
    """Seconds to multiply ``rows`` vectors by every weight, in each shape's faster orientation."""
    inputs = {
        w.shape[1]: torch.randn(rows, w.shape[1], dtype=w.dtype, device=w.device) for w in weights
    }

    by_shape: dict[torch.Size, list[torch.Tensor]] = {}
    for w in weights:
        by_shape.setdefault(w.shape, []).append(w)

    def seconds(same: list[torch.Tensor]) -> float:
        x = inputs[same[0].shape[1]]
        upright = _fastest(lambda: [x @ w.t() for w in same])
        return min(upright, _fastest(lambda: [torch.mm(w, x.t()) for w in same]))

    with torch.inference_mode():
        return sum(map(seconds, by_shape.values()))


def bandwidth(device: torch.device) -> float:
    """Bytes a second: the faster of summing up a large tensor and of copying it."""
    tensor = torch.ones(BYTES // 4, device=device)
    other = torch.empty_like(tensor)
    return max(BYTES / _fastest(tensor.sum), 2 * BYTES / _fastest(lambda: other.copy_(tensor)))


def _fastest(work: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best
