"""A transformers model as a policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import accumulate
from typing import Any

from minirl.errors import ModelError
from minirl.models.chat import ChatCodec, CodecPolicy
from minirl.models.load import LoadedModel, context_length, stop_ids
from minirl.models.sampler import Draw, Sampler, SamplingParams, TorchSampler, batches
from minirl.types import Request, Sample


class ModelPolicy(CodecPolicy):
    """Samples from a model in this process, with its adapter or without it.

    Args:
        model: a causal language model of transformers, or a peft model around one.
        tokenizer: its tokenizer.
        params: how to draw tokens.
        batch: how many sequences are sampled at once.
        use_adapter: false plays the base model.
        sampler: what continues the sequences; minirl's own without it.
        max_seq_length: longest conversation in tokens, where that is less than the model's
            positions.
        thinking: whether a model that can think before it answers shall.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        params: SamplingParams | None = None,
        *,
        batch: int = 64,
        use_adapter: bool = True,
        sampler: Sampler | None = None,
        max_seq_length: int | None = None,
        thinking: bool = False,
    ) -> None:
        self.model = model
        self.codec = ChatCodec(tokenizer, thinking=thinking)
        self.params = params or SamplingParams()
        self.batch = batch
        self.use_adapter = use_adapter
        self.sampler = sampler or TorchSampler()
        self.max_seq_length = max_seq_length
        self._draw: Draw | None = None  # of the session, within one

    @classmethod
    def of(
        cls,
        loaded: LoadedModel,
        params: SamplingParams,
        *,
        batch: int,
        use_adapter: bool = True,
    ) -> ModelPolicy:
        """The policy of a loaded model, with the sampler that its backend brings."""
        return cls(
            loaded.model,
            loaded.tokenizer,
            params,
            batch=batch,
            use_adapter=use_adapter,
            sampler=loaded.sampler,
            max_seq_length=loaded.max_seq_length,
            thinking=loaded.thinking,
        )

    @property
    def context(self) -> float:
        """Longest conversation in tokens."""
        positions = context_length(self.model)
        return positions if self.max_seq_length is None else min(positions, self.max_seq_length)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Within the block the weights do not change: what was computed is kept for requests that
        continue it.
        """
        if self._draw is not None:
            yield
            return
        with self._opened(keep=True) as self._draw:
            try:
                yield
            finally:
                self._draw = None

    def _opened(self, *, keep: bool) -> AbstractContextManager[Draw]:
        return self.sampler.session(
            self.model, use_adapter=self.use_adapter, batch=self.batch, keep=keep
        )

    def sample(self, requests: Sequence[Request], *, seed: int) -> list[list[Sample]]:
        fitted = [self._fitted(request) for request in requests]
        if self._draw is not None:
            return self._sample(self._draw, fitted, seed)
        with self._opened(keep=False) as draw:
            return self._sample(draw, fitted, seed)

    def _sample(self, draw: Draw, requests: Sequence[Request], seed: int) -> list[list[Sample]]:
        eos_ids = self.codec.eos_ids | stop_ids(self.model)
        pad_id = self.codec.tokenizer.pad_token_id
        rows = [0, *accumulate(r.n for r in requests)][: len(requests)]
        size = self.batch if self.sampler.in_batches else max(1, sum(r.n for r in requests))
        results: list[list[Sample]] = [[] for _ in requests]
        for chunk in batches(requests, rows, size):
            places, numbers, parts = zip(*chunk, strict=True)
            drawn = draw(parts, numbers, self.params, seed=seed, eos_ids=eos_ids, pad_id=pad_id)
            for at, samples in zip(places, drawn, strict=True):
                results[at].extend(samples)
        return results

    def _fitted(self, request: Request) -> Request:
        """The request with as many tokens as the model still has positions for."""
        room = self.context - len(request.prompt_ids)
        if room < 1:
            short = self.context < context_length(self.model)
            raise ModelError(
                f"{request.task.id}: the conversation fills the model's whole context",
                expected=f"fewer than {self.context} tokens",
                got=f"{len(request.prompt_ids)} tokens before turn {request.turn + 1}",
                fix=("a larger model.max_seq_length" if short else "a model with a longer context")
                + ", shorter prompts, or fewer and shorter turns",
            )
        return replace(request, max_tokens=int(min(request.max_tokens, room)))
