"""Run directories as the commands leave them, without any model: what `minirl report` reads."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finished_export import add_export
from finished_proof import add_proof

from minirl.rundir import RunDir, write_json, write_text
from minirl.stats import (
    beta_posterior,
    clustered_rate,
    mcnemar_exact,
    paired_difference,
    wilson_interval,
)
from minirl.types import json_line

G = 8
SAID = """first we add the tens then the units so carry one and check the sum again by hand because
the answer must be right let us see how many are left over when all of them have been counted"""
WORDS = SAID.split()
HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "</script><!--<script>alert(3)</script>",
    "bidi \u202egnirts\u202c \u2066isolate\u2069 and\u200bzero\x00NUL\x1b[31m",
    "<svg onload=alert(4)>{{data}} ${alert(5)} &lt;b&gt; \u2028\u2029",
]


def tokenizer(path: Path) -> Any:
    """A small byte-level BPE with one special token, saved as ``path``/tokenizer.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken("<|end|>", special=True)],
        show_progress=False,
    )
    made.train_from_iterator([" ".join(WORDS), "Answer: 12 What is 7 + 5?"] * 20, trainer)
    path.mkdir(parents=True, exist_ok=True)
    made.save(str(path / "tokenizer.json"))
    return made


class Writer:
    """Rollouts of known outcome."""

    def __init__(self, tokens: Any, seed: int = 0) -> None:
        self._tokens = tokens
        self._rng = random.Random(seed)
        self._encoded: dict[str, list[int]] = {}

    def rollout(
        self, task: str, solved: bool, *, words: int = 6, text: str | None = None
    ) -> dict[str, Any]:
        """One line as :meth:`minirl.types.Rollout.as_record` writes it."""
        rng = self._rng
        number = rng.randrange(90)
        if text is None:
            # A long text is one of a hundred: tokenizing it is what would take the time.
            told = rng if words < 50 else random.Random(f"{words} {number}")
            said = " ".join(told.choice(WORDS) for _ in range(words))
            text = f"{said}\nAnswer: {number}"
        ids = [*self.encode(text), self._tokens.token_to_id("<|end|>")]
        return {
            "task": task,
            "prompt": prompt_of(task),
            "messages": [{"role": "assistant", "content": text}],
            "value": float(solved),
            "solved": solved,
            "parts": {"strict": float(solved), "format": 1.0},
            "reason": "right" if solved else f"wrong answer '{number}'",
            "stop": "eos",
            "tokens": len(ids),
            "completion_ids": ids,
            "loss_mask": [1] * len(ids),
            "logprobs": [round(math.log(max(1e-4, rng.random() ** 0.3)), 5) for _ in ids],
        }

    def with_tool(self, task: str, solved: bool) -> dict[str, Any]:
        """An episode of two turns, with a tool call and its result between them."""
        call = '<tool_call>{"name": "add", "arguments": {"a": 7, "b": 5}}</tool_call>'
        turns = [call, "The tool says so.\nAnswer: 12"]
        end = self._tokens.token_to_id("<|end|>")
        first, reply, last = (self.encode(t) for t in (turns[0], "\ntool\n12\n", turns[1]))
        ids = [*first, end, *reply, *last, end]
        mask = [1] * (len(first) + 1) + [0] * len(reply) + [1] * (len(last) + 1)
        function = {"name": "add", "arguments": {"a": 7, "b": 5}}
        return self.rollout(task, solved, text="x") | {
            "messages": [
                {
                    "role": "assistant",
                    "content": turns[0],
                    "tool_calls": [{"type": "function", "function": function}],
                },
                {"role": "tool", "content": "12"},
                {"role": "assistant", "content": turns[1]},
            ],
            "tokens": sum(mask),
            "completion_ids": ids,
            "loss_mask": mask,
            "logprobs": [-0.1 * m for m in mask],
        }

    def encode(self, text: str) -> list[int]:
        if text not in self._encoded:
            clean = text.encode("utf-8", "replace").decode()
            self._encoded[text] = self._tokens.encode(clean, add_special_tokens=False).ids
        return self._encoded[text]


def prompt_of(task: str) -> list[dict[str, str]]:
    """The opening of a task."""
    index = int(task.rpartition("/")[2])
    return [
        {"role": "system", "content": "Solve the problem. Give the result as 'Answer: number'."},
        {"role": "user", "content": f"What is {index} + 5?"},
    ]


def make_run(path: Path, *, steps: int = 30, prompts: int = 4) -> RunDir:
    """A run that has begun: its recipe and its machine; nothing else yet."""
    config = {
        "description": "Adds two numbers; a made-up run.",
        "seed": 3,
        "env": {"name": "arithmetic:2", "options": {}},
        "model": {"name": "smollm2-135m", "lora_r": 16, "lora_alpha": 32},
        "sampling": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 64},
        "train": {
            "steps": steps,
            "prompts_per_step": prompts,
            "group_size": G,
            "learning_rate": 5e-5,
            "schedule": "constant",
            "loss_type": "dr_grpo",
            "scale_rewards": "none",
            "beta": 0.0,
        },
        "stream": {"strategy": "curriculum"},
    }
    run = RunDir.create(path, recipe_toml="seed = 3\n", config=config, force=False)
    machine = {
        "seed": 3,
        "settled": {"train.micro_batch": 16},
        "env": "arithmetic:2",
        "versions": {"minirl": "0.1.0", "torch": "2.13.0+cpu", "trl": "1.15.0"},
        "python": "3.11.7",
        "platform": "Linux-6.18-x86_64",
        "cpu_count": 2,
        "device": "cpu",
        "gpu": None,
        "dtype": "float32",
        "backend": "transformers",
        "engine": "torch",
        "git": "45814c3",
        "peak_memory": 2_345_678_901,
    }
    write_json(run.environment, machine)
    return run


def add_probe(run: RunDir, *, verdict: str = "go") -> None:
    """probe.json and ladder.json."""
    write_json(run.probe, _probe(verdict, 0.62))
    rungs = [
        {"level": level, **_probe(v, share)}
        for level, v, share in (
            ("1", "saturated", 0.2), ("2", "go", 0.62), ("3", "ease", 0.17),
            ("4", "cold_start", 0.03),
        )
    ]  # fmt: skip
    write_json(
        run.ladder,
        {
            "format": 1,
            "env": "arithmetic",
            "model": "smollm2-135m",
            "levels": rungs,
            "start": "2",
            "reason": "start at level 2: the hardest with enough signal to train on",
        },
    )


def _probe(verdict: str, signal: float) -> dict[str, Any]:
    def share(value: float, how: str) -> dict[str, Any]:
        low, high = wilson_interval(round(value * 96), 96)
        return {"value": value, "low": low, "high": high, "how": how}

    rate = asdict(clustered_rate([(i % 5, 8) for i in range(48)]))
    shares = [0.12, 0.1, 0.11, 0.14, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01]
    edges = [0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 1.0]
    return {
        "format": 1,
        "env": "arithmetic:2",
        "model": "smollm2-135m",
        "split": "train",
        "group_size": G,
        "endpoint": None,
        "verdict": verdict,
        "decided": True,
        "reason": f"{100 * signal:.0f} % [52, 71] of groups of 8 carry signal; from 30 % on, "
        "training is worth its time",
        "solved": rate,
        "lenient": rate,
        "truncated": asdict(clustered_rate([(0, 8)] * 48)),
        "guess": asdict(clustered_rate([(i % 12 == 0, 8) for i in range(48)])),
        "first_step": {"groups": 4, "low": 1, "high": 4},
        "signal": {
            "4": share(signal * 0.7, "played"),
            "8": share(signal, "played"),
            "16": share(min(1, signal * 1.25), "extrapolated"),
            "32": share(min(1, signal * 1.4), "extrapolated"),
        },
        "fit": {"alpha": 0.6, "beta": 1.5},
        "distribution": {"edges": edges, "share": shares},
        "recommend": {
            "group_size": G,
            "max_tokens": 32,
            "why": ["max_tokens = 32: the longest answer took 21 of 64"],
        },
        "lengths": {"mean": 11.9, "p50": 12.0, "p95": 17.0, "max": 21.0},
        "tasks": [
            {"index": i, "sampled": 8, "solved": i % 5, "p": asdict(beta_posterior(i % 5, 8))}
            for i in range(48)
        ],
        "samples": 384,
        "tokens": 4608,
        "seconds": 61.5,
        "price": {
            "rollouts": 1400,
            "tokens": 16800,
            "seconds": 700.0,
            "seconds_low": 520.0,
            "seconds_high": 1100.0,
            "how": "sampling at the probe's own speed",
        },
    }


def add_training(
    run: RunDir,
    writer: Writer,
    *,
    steps: int = 30,
    prompts: int = 4,
    first: int = 1,
    words: int = 6,
    extra: Sequence[str] = (),
) -> None:
    """metrics.jsonl and rollouts.jsonl, in which every step replaces one group without signal.

    Args:
        extra: completions that the first step writes besides, all unsolved.
    """
    rng = random.Random(first)
    rollouts, metrics = [], []
    for step in range(first, first + steps):
        played = []
        for group in range(prompts + 1):
            p = 0.0 if group == 0 else min(0.95, 0.15 + 0.02 * step + 0.1 * rng.random())
            task = f"arithmetic:2/train/{step * 10 + group}"
            played.append([writer.rollout(task, rng.random() < p, words=words) for _ in range(G)])
        # The first of the stream's own draw has no signal, and the last group took its place.
        first_drawn = [r for group in played[:prompts] for r in group]
        for group in played:
            rollouts += [
                {"step": step, "trained": group is not played[0], **record} for record in group
            ]
        trained = [r for group in played[1:] for r in group]
        lengths = [r["tokens"] for r in trained]
        signal = [0 < sum(r["solved"] for r in g) < G for g in played[:prompts]]
        metrics.append(
            {
                "step": step,
                "loss": rng.gauss(0, 0.02),
                "grad_norm": 0.1 + 0.05 * rng.random(),
                "learning_rate": 5e-5 * min(1, step / 5),
                "num_tokens": 900.0 * step,
                "completions/mean_length": sum(lengths) / len(lengths),
                "completions/min_length": float(min(lengths)),
                "completions/max_length": float(max(lengths)),
                "completions/clipped_ratio": 0.03 * (step % 3 == 0),
                "reward": sum(r["value"] for r in trained) / len(trained),
                "reward_std": 0.4,
                "frac_reward_zero_std": 0.1,
                "solved": sum(r["solved"] for r in first_drawn) / len(first_drawn),
                "solved_n": float(len(first_drawn)),
                "signal": sum(signal) / prompts,
                "rollouts": float(len(played) * G),
                "entropy": 1.2 * 0.97**step + 0.05 * rng.random(),
                "kl": 0.002 * step,
                "time": {
                    "step": 3.0,
                    "rollouts": 2.0,
                    "training": 1.0,
                    "tokens_per_second": 300 + 20 * rng.random(),
                },
            }
        )
    for text in extra:
        task = f"arithmetic:2/train/{first * 10}"
        rollouts.append({"step": first, "trained": False, **writer.rollout(task, False, text=text)})
    append_lines(run.rollouts, rollouts)
    append_lines(run.metrics, metrics)


def finish_training(run: RunDir) -> None:
    write_text(run.adapter / "adapter_config.json", "{}")


def add_eval(run: RunDir, writer: Writer, *, tasks: int = 40) -> None:
    """eval.json and samples.jsonl."""
    rng = random.Random(5)
    counts: dict[str, list[tuple[int, int]]] = {}
    records = []
    for name, p in (("base", 0.3), ("tuned", 0.6)):
        counts[name] = []
        for i in range(tasks):
            solved = rng.random() < p
            counts[name].append((int(solved), 1))
            task = f"arithmetic:2/test/{i}"
            made = writer.with_tool(task, solved) if i == 1 else writer.rollout(task, solved)
            records.append({"policy": name, **made})
    write_text(run.samples, "".join(json_line(r) + "\n" for r in records))
    pairs = list(zip(counts["base"], counts["tuned"], strict=True))
    gained, lost = (sum(b[0] < t[0] for b, t in pairs), sum(b[0] > t[0] for b, t in pairs))
    sides = {
        name: {
            "solved": asdict(clustered_rate(c)),
            "lenient": asdict(clustered_rate([(1, 1) if i % 2 else k for i, k in enumerate(c)])),
            "truncated": 0.05,
            "mean_tokens": 12.3,
        }
        for name, c in counts.items()
    }
    write_json(
        run.eval,
        {
            "env": "arithmetic:2",
            "temperature": 1.0,
            **sides,
            "difference": asdict(paired_difference(counts["base"], counts["tuned"], seed=3)),
            "gained": gained,
            "lost": lost,
            "mcnemar_p": mcnemar_exact(lost, gained),
        },
    )


def append_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Lines as a foreign writer may leave them: a lone surrogate is an escape."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(record, separators=(",", ":")) + "\n")


def full_run(path: Path, *, extra: Sequence[str] = tuple(HOSTILE)) -> RunDir:
    """A run with everything in it."""
    run = make_run(path)
    writer = Writer(tokenizer(run.adapter))
    add_probe(run)
    add_training(run, writer, extra=extra)
    finish_training(run)
    add_eval(run, writer)
    add_proof(run, writer)
    add_export(run)
    return run
