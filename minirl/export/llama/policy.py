"""A model in llama.cpp as a policy: it plays what the trained model played."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minirl.errors import ModelError
from minirl.export.llama.client import LlamaServer
from minirl.models.chat import CodecPolicy
from minirl.rollout import Sessionless
from minirl.types import Request, Sample, StopReason

if TYPE_CHECKING:
    from minirl.models.chat import ChatCodec
    from minirl.models.sampler import SamplingParams


class LlamaPolicy(CodecPolicy, Sessionless):
    """Samples from llama.cpp, with the codec of the model that was trained.

    So both see the same tokens, and only the weights and the arithmetic differ. Equal requests and
    seed give equal samples as far as rounding goes (:meth:`LlamaServer.complete`).

    Args:
        server: a model that is being served.
        codec: between messages and tokens.
        params: how to draw tokens.
        eos_ids: ids that close a turn beside those of the codec and of the GGUF file.
    """

    def __init__(
        self,
        server: LlamaServer,
        codec: ChatCodec,
        params: SamplingParams,
        *,
        eos_ids: frozenset[int] = frozenset(),
    ) -> None:
        self.server = server
        self.codec = codec
        self.params = params
        self.eos_ids = codec.eos_ids | eos_ids

    def sample(self, requests: Sequence[Request], *, seed: int) -> list[list[Sample]]:
        limits = [self._limit(request) for request in requests]
        wanted = [at for at, request in enumerate(requests) for _ in range(request.n)]

        def draw(row: int, _: int) -> Sample:
            at = wanted[row]
            return self._draw(requests[at].prompt_ids, limits[at], seed_of(seed, row))

        drawn = iter(self.server.each(draw, range(len(wanted))))
        return [[next(drawn) for _ in range(request.n)] for request in requests]

    def _draw(self, prompt_ids: Sequence[int], max_tokens: int, seed: int) -> Sample:
        done = self.server.complete(
            prompt_ids,
            max_tokens=max_tokens,
            temperature=self.params.temperature,
            seed=seed,
            top_p=self.params.top_p,
            top_k=self.params.top_k,
        )
        for at, token in enumerate(done.ids, 1):  # llama.cpp knows the file's closing tokens only
            if token in self.eos_ids:
                return Sample(done.ids[:at], done.logprobs[:at], StopReason.EOS)
        return Sample(done.ids, done.logprobs, done.stop)

    def _limit(self, request: Request) -> int:
        """As many tokens as are asked for and still have a place in the context."""
        room = self.server.context - len(request.prompt_ids)
        if room < 1:
            raise ModelError(
                f"{request.task.id}: the conversation fills the model's whole context",
                expected=f"fewer than {self.server.context} tokens",
                got=f"{len(request.prompt_ids)} tokens before turn {request.turn + 1}",
                fix="a larger context, shorter prompts, or fewer and shorter turns",
            )
        return min(request.max_tokens, room)


def seed_of(seed: int, row: int) -> int:
    """The seed of one sample: 32 bits, all that llama.cpp takes, from (seed, row)."""
    digest = hashlib.blake2b(f"{seed}/{row}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
