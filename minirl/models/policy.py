"""A transformers model as a policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from minirl.errors import ModelError
from minirl.models.chat import ChatCodec
from minirl.models.load import context_length, stop_ids
from minirl.models.merge import adapter_off, merged
from minirl.models.sampler import SamplingParams, sample
from minirl.types import Message, Request, Sample


class ModelPolicy:
    """Samples from a model in this process, with its adapter merged while it does, or with the
    adapter off.

    Args:
        model: a causal language model of transformers, or a peft model around one.
        tokenizer: its tokenizer.
        params: how to draw tokens.
        batch: how many sequences are sampled at once.
        use_adapter: false plays the base model.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        params: SamplingParams | None = None,
        *,
        batch: int = 64,
        use_adapter: bool = True,
    ) -> None:
        self.model = model
        self.codec = ChatCodec(tokenizer)
        self.params = params or SamplingParams()
        self.batch = batch
        self.use_adapter = use_adapter

    def encode_open(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        return self.codec.encode_open(messages, tools)

    def encode_reply(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[int, ...]:
        return self.codec.encode_reply(messages, tools)

    def decode(self, ids: Sequence[int]) -> str:
        return self.codec.decode(ids)

    def sample(self, requests: Sequence[Request], *, seed: int) -> list[list[Sample]]:
        generator = torch.Generator(device=self.model.device).manual_seed(seed)
        eos_ids = self.codec.eos_ids | stop_ids(self.model)
        results: list[list[Sample]] = [[] for _ in requests]
        adapter = merged if self.use_adapter else adapter_off
        with evaluating(self.model), adapter(self.model):
            for chunk in self._chunks(requests):
                drawn = sample(
                    self.model,
                    [part for _, part in chunk],
                    self.params,
                    eos_ids=eos_ids,
                    pad_id=self.codec.tokenizer.pad_token_id,
                    generator=generator,
                )
                for (at, _), samples in zip(chunk, drawn, strict=True):
                    results[at].extend(samples)
        return results

    def _fitted(self, request: Request) -> Request:
        """The request with as many tokens as the model still has positions for."""
        room = context_length(self.model) - len(request.prompt_ids)
        if room < 1:
            raise ModelError(
                f"{request.task.id}: the conversation fills the model's whole context",
                expected=f"fewer than {context_length(self.model)} tokens",
                got=f"{len(request.prompt_ids)} tokens before turn {request.turn + 1}",
                fix="a model with a longer context, shorter prompts, or fewer and shorter turns",
            )
        return replace(request, max_tokens=int(min(request.max_tokens, room)))

    def _chunks(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Request]]]:
        """Batches of at most ``batch`` sequences, prompts of like length together (less
        padding).
        """
        chunk: list[tuple[int, Request]] = []
        room = self.batch
        for at in sorted(range(len(requests)), key=lambda i: len(requests[i].prompt_ids)):
            request, left = self._fitted(requests[at]), requests[at].n
            while left:
                take = min(left, room)
                chunk.append((at, replace(request, n=take)))
                left -= take
                room -= take
                if not room:
                    yield chunk
                    chunk, room = [], self.batch
        if chunk:
            yield chunk


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Within the block, the model is in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
