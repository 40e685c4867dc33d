"""Sampling through the vLLM engine that Unsloth starts inside this process and shares its weights
with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minirl.models.sampler import Draw, SamplingParams
from minirl.types import Request, Sample, StopReason

ADAPTER = "minirl_policy"  # a label; the tensors are handed over from memory


class VllmSampler:
    """Samples with ``model.vllm_engine`` (``FastLanguageModel`` with ``fast_inference=True``).

    Tokens go in and tokens come out. The log-probabilities are the engine's processed ones, at the
    sampling temperature: with ``top_k`` or ``top_p`` they are of the cut distribution, other than
    those of minirl's own sampler.

    Args:
        standby: the engine gives its cache's memory back between sessions
            (``UNSLOTH_VLLM_STANDBY``).
    """

    in_batches = False  # the engine batches by itself

    def __init__(self, *, standby: bool) -> None:
        self._standby = standby

    @contextmanager
    def session(
        self, model: Any, *, use_adapter: bool, batch: int, keep: bool = False
    ) -> Iterator[Draw]:
        engine = model.vllm_engine
        adapter = model.load_lora(ADAPTER, load_tensors=True) if use_adapter else None

        def draw_all(
            requests: Sequence[Request],
            rows: Sequence[int],
            params: SamplingParams,
            *,
            seed: int,
            eos_ids: frozenset[int],
            pad_id: int,
        ) -> list[list[Sample]]:
            outputs = engine.generate(
                [{"prompt_token_ids": list(r.prompt_ids)} for r in requests],
                sampling_params=[
                    _params(request, params, eos_ids, _seed_of(seed, row))
                    for request, row in zip(requests, rows, strict=True)
                ],
                lora_request=adapter,
                use_tqdm=False,
            )
            return [[_sample(o, eos_ids) for o in request.outputs] for request in outputs]

        try:
            yield draw_all
        finally:
            if self._standby:
                engine.sleep(1)  # generate() wakes it; the weights are shared and stay


def _seed_of(seed: int, row: int) -> int:
    """A seed for one request. vLLM counts upwards from it for the request's n samples, so those of
    neighbours must lie far apart.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{row}".encode()).digest()[:6], "big")


def _params(request: Request, params: SamplingParams, eos_ids: frozenset[int], seed: int) -> Any:
    from vllm import SamplingParams as VllmParams

    return VllmParams(
        n=request.n,
        max_tokens=request.max_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k or -1,
        stop_token_ids=sorted(eos_ids),
        seed=seed,
        logprobs=0,  # of the sampled token alone
        detokenize=False,
    )


def _sample(output: Any, eos_ids: frozenset[int]) -> Sample:
    ids = tuple(output.token_ids)
    logprobs = tuple(
        float(at[token].logprob) for at, token in zip(output.logprobs, ids, strict=True)
    )
    stop = StopReason.EOS if ids and ids[-1] in eos_ids else StopReason.LENGTH
    return Sample(ids, logprobs, stop)
