"""How far tuned has moved from the base: KL both ways, perplexities, plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirl.envs.base import Environment
from minirl.measure.prove.figures import span
from minirl.measure.prove.likelihood import Passage, log_likelihoods, perplexity
from minirl.measure.prove.samples import Answers
from minirl.models.load import LoadedModel, context_length
from minirl.rollout import Policy
from minirl.stats import Estimate, ratio_difference, ratio_estimate
from minirl.types import Task

Scores = list[NDArray[np.float64]]
Progress = Callable[[int, int], None]
PLAIN_TEXT = "plain_text.txt"


def divergence(
    loaded: LoadedModel,
    codec: Policy,
    env: Environment[Any],
    tasks: Sequence[Task],
    answers: dict[str, Answers],
    *,
    samples: int,
    temperature: float,
    seed: int,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """``kl`` and ``perplexity`` of prove.json, from ``samples`` rollouts a task and policy.

    ``tuned_base`` is KL(tuned ‖ base) a token: the mean of log π_tuned - log π_base over tokens
    that tuned wrote, at the temperature that it wrote them (unbiased where top_p = 1; it may come
    out below 0 by chance). The estimator that cannot, π_base / π_tuned - 1 - log of it, is not
    used: where tuned puts all its weight on a few texts, which is what training does, what it adds
    is almost never sampled, and it comes out too low. Perplexities are at temperature 1.

    Args:
        codec: encodes a task's opening as it was encoded when the answers were sampled.
        answers: of ``base`` and ``tuned``.
        on_progress: called with (passages scored, passages to score).
    """
    openings = []
    for task in tasks:
        episode = env.episode(task)
        openings.append(codec.encode_open(episode.messages, episode.tools))
    passages = {
        writer: [
            Passage(opening, a.ids, a.mask)
            for opening, task in zip(openings, played, strict=True)
            for a in task[:samples]
        ]
        for writer, played in answers.items()
    }
    jobs = [
        (writer, reader, heat)
        for writer in passages
        for reader in ("base", "tuned")
        for heat in sorted({temperature, 1.0})
    ]
    scores: dict[tuple[str, str, float], Scores] = {}
    done, total = 0, sum(len(passages[writer]) for writer, _, _ in jobs)
    if on_progress:
        on_progress(0, total)
    for writer, reader, heat in jobs:
        scores[writer, reader, heat] = log_likelihoods(
            loaded,
            passages[writer],
            use_adapter=reader == "tuned",
            temperature=heat,
            on_progress=_part_of(on_progress, done, total),
        )
        done += len(passages[writer])

    def mean(values: Scores) -> Estimate:
        """A token's mean, with an interval over tasks."""
        width = len(values) // len(tasks)
        parts = [np.concatenate(values[i : i + width]) for i in range(0, len(values), width)]
        # A task on which nothing was written adds nothing to the sum, and one token to the mean.
        return ratio_estimate([p.sum() for p in parts], [max(1, p.size) for p in parts], seed=seed)

    def kl(writer: str, other: str) -> dict[str, float]:
        own, foreign = scores[writer, writer, temperature], scores[writer, other, temperature]
        return span(mean([a - b for a, b in zip(own, foreign, strict=True)]))

    return {
        "kl": {
            "tuned_base": kl("tuned", "base"),
            "base_tuned": kl("base", "tuned"),
            "unit": "nats per token",
            "samples": len(passages["tuned"]),
        },
        "perplexity": {
            f"{writer}_under_{reader}": span(mean(scores[writer, reader, 1.0]).map(perplexity))
            for writer in ("tuned", "base")
            for reader in ("base", "tuned")
        },
    }


def _part_of(on_progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of one part, told as that of the whole."""
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)


def plain_text_passages(loaded: LoadedModel) -> list[Passage]:
    """The paragraphs of the prose that ships with minirl, begun as the tokenizer begins a text:
    every token is scored but the first, which is its start-of-text token where it has one.
    """
    text = files("minirl.measure.prove").joinpath(PLAIN_TEXT).read_text(encoding="utf-8")
    room = min(context_length(loaded.model), loaded.max_seq_length or float("inf"), 4096)
    passages = []
    for paragraph in text.strip().split("\n\n"):
        ids = tuple(loaded.tokenizer.encode(" ".join(paragraph.split()))[: int(room)])
        passages.append(Passage(ids[:1], ids[1:], (True,) * (len(ids) - 1)))
    return passages


def plain_text(loaded: LoadedModel, *, seed: int) -> dict[str, Any]:
    """Perplexity a token of plain prose under base and tuned, and tuned's over the base's, paired
    by paragraph.
    """
    passages = plain_text_passages(loaded)
    sums, sizes = [], []
    for tuned in (False, True):
        scored = log_likelihoods(loaded, passages, use_adapter=tuned)
        sums.append([float(s.sum()) for s in scored])
        sizes.append([float(s.size) for s in scored])
    moved = ratio_difference((sums[0], sums[1]), (sizes[0], sizes[1]), seed=seed)
    base, tuned_ = (
        span(ratio_estimate(s, n, seed=seed).map(perplexity))
        for s, n in zip(sums, sizes, strict=True)
    )
    return {
        "base": base,
        "tuned": tuned_,
        "ratio": span(moved.map(perplexity)),
        "paragraphs": len(passages),
        "tokens": int(sum(sizes[0])),
    }
