"""A proof as `minirl prove` leaves it, from samples that were never taken."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from minirl.rundir import RunDir, append_jsonl, write_json
from minirl.stats import (
    clustered_rate,
    crossover,
    ladder,
    mcnemar_exact,
    paired_difference,
    pass_at_k_curve,
    pass_at_k_difference,
)

if TYPE_CHECKING:
    from finished_run import Writer


def add_proof(run: RunDir, writer: Writer, *, tasks: int = 40, n: int = 32, kept: int = 4) -> None:
    """prove.json, and ``kept`` samples a task and policy in prove/."""
    rng = random.Random(7)
    base, tuned, flips, warm, guess = [], [], [], [], []
    for _ in range(tasks):
        p = rng.betavariate(0.5, 1.2)
        q = 0.0 if p < 0.04 else min(0.98, p + 0.3)
        for into, chance, size in (
            (base, p, n), (tuned, q, n), (flips, p * 1.02, 8), (warm, q * 0.8, 16), (guess, 0.01, n)
        ):  # fmt: skip
            into.append((sum(rng.random() < chance for _ in range(size)), size))
    ks = ladder(n)
    for name, counts in (("base", base), ("tuned", tuned)):
        append_jsonl(
            run.prove_samples / f"{name}.jsonl",
            [
                {"policy": name, **writer.rollout(f"arithmetic:2/test/{i}", j < c * kept // n)}
                for i, (c, _) in enumerate(counts)
                for j in range(kept)
            ],
        )
    write_json(run.prove, _proof(base, tuned, flips, warm, guess, ks))


def _proof(base: Any, tuned: Any, flips: Any, warm: Any, guess: Any, ks: list[int]) -> Any:
    n, tasks = ks[-1], len(base)
    pairs = [(b > 0, t > 0) for (b, _), (t, _) in zip(base, tuned, strict=True)]
    coverage = {
        "both": pairs.count((True, True)),
        "base_only": pairs.count((True, False)),
        "tuned_only": pairs.count((False, True)),
        "neither": pairs.count((False, False)),
    }
    crossed = crossover(base, tuned, seed=0, resamples=500)

    def spans(counts: Any, at: list[int]) -> list[dict[str, float]]:
        return [_span(e) for e in pass_at_k_curve(counts, at)]

    def delta(k: int, base_k: int | None = None) -> Any:
        return pass_at_k_difference(base, tuned, k, base_k=base_k, seed=0, resamples=500)

    def policy(counts: Any) -> dict[str, Any]:
        return {
            "solved": asdict(clustered_rate(counts)),
            "lenient": asdict(clustered_rate([(min(n, c + 2), n) for c, _ in counts])),
            "truncated": asdict(clustered_rate([(1, n)] * tasks)),
            "mean_tokens": _around(13.1, 0.4),
        }

    def bins(counts: Any) -> list[int]:
        out = [0] * 10
        for c, size in counts:
            out[min(9, c * 10 // size)] += 1
        return out

    def diversity(scale: float) -> dict[str, Any]:
        values = {
            "distinct_answers": 9.1, "answer_entropy": 1.6, "distinct_1": 0.1, "distinct_2": 0.3,
            "unique": 0.7, "token_entropy": 0.9,
        }  # fmt: skip
        return {k: _around(v * scale, 0.1) for k, v in values.items()}

    difference = asdict(paired_difference(base, tuned, seed=0))
    gap = delta(1, n)
    regressions = []
    for env, kind, shift in (
        ("arithmetic:1", "sibling", 0.03), ("arithmetic:3", "sibling", 0.0),
        ("sort_words:3", "unrelated", -0.12),
    ):  # fmt: skip
        regressions.append(
            {
                "env": env,
                "kind": kind,
                "tasks": 50,
                "samples": 1,
                "base": asdict(clustered_rate([(i % 2, 1) for i in range(50)])),
                "tuned": asdict(clustered_rate([(i % 3 == 0, 1) for i in range(50)])),
                "difference": {
                    "value": shift, "low": shift - 0.08, "high": shift + 0.08,
                    "tasks": 50, "confidence": 0.95,
                },
            }
        )  # fmt: skip
    return {
        "format": 1,
        "env": "arithmetic:2",
        "model": "smollm2-135m",
        "split": "test",
        "tasks": tasks,
        "samples": n,
        "seed": 0,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 32,
        "adapter": "ab" * 32,
        "verdict": "sharpened",
        "also": [],
        "reasons": [
            f"pass@1 rose by +20.0 points [+12.0, +28.0], and pass@{n} did not rise (-1.0 points)."
        ],
        "verdict_confidence": 0.975,
        "base": policy(base),
        "tuned": policy(tuned),
        "difference": difference,
        "pass_at_k": {
            "k": ks,
            "base": spans(base, ks),
            "tuned": spans(tuned, ks),
            "difference": [_span(delta(k)) for k in ks],
            "crossover": {"k": crossed.k, "low": crossed.low, "high": crossed.high},
        },
        "efficiency_gap": {"k": n, "value": -gap.value, "low": -gap.high, "high": -gap.low},
        "coverage": coverage
        | {
            "samples": n,
            "mcnemar_p": mcnemar_exact(coverage["base_only"], coverage["tuned_only"]),
        },
        "histogram": {
            "edges": [i / 10 for i in range(11)],
            "base": bins(base),
            "tuned": bins(tuned),
            "never": {
                "base": sum(c == 0 for c, _ in base),
                "tuned": sum(c == 0 for c, _ in tuned),
            },
            "always": {
                "base": sum(c == n for c, _ in base),
                "tuned": sum(c == n for c, _ in tuned),
            },
        },
        "diversity": {
            "base": diversity(1),
            "tuned": diversity(0.6),
            "difference": diversity(-0.4),
        },
        "guess": {"solved": asdict(clustered_rate(guess)), "pass_at_k": spans(guess, ks)},
        "kl": {
            "tuned_base": _around(0.08, 0.01),
            "base_tuned": _around(0.11, 0.02),
            "unit": "nats per token",
            "samples": 400,
        },
        "perplexity": {
            "tuned_under_base": _around(1.31, 0.02),
            "tuned_under_tuned": _around(1.2, 0.02),
            "base_under_base": _around(1.6, 0.05),
            "base_under_tuned": _around(1.9, 0.09),
        },
        "matched": {
            "temperature": 1.8,
            "entropy": _around(0.9, 0.05),
            "samples": 16,
            "pass_at_k": {"k": ladder(16), "tuned": spans(warm, ladder(16))},
        },
        "checkpoints": [
            {
                "step": step,
                "samples": 8,
                "k": 8,
                "pass_at_1": _around(0.3 + 0.01 * step, 0.07),
                "pass_at_k": _around(0.6 + 0.003 * step, 0.06),
            }
            for step in (0, 10, 29, 30)
        ],
        "random_reward": {
            "run": "runs/flips",
            "samples": 8,
            "solved": asdict(clustered_rate(flips)),
            "difference": difference | {"value": 0.01, "low": -0.03, "high": 0.05},
            "pass_at_k": {"k": ladder(8), "tuned": spans(flips, ladder(8))},
        },
        "regressions": regressions,
        "plain_text": {
            "base": _around(21.3, 2.0),
            "tuned": _around(21.9, 2.1),
            "ratio": _around(1.03, 0.02),
            "paragraphs": 10,
            "tokens": 600,
        },
        "seconds": 812.3,
    }


def _span(estimate: Any) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _around(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}
