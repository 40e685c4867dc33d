"""How fast rollouts are written: minirl, `generate`, llama.cpp, and the machine's roofline.

    python -m benchmarks.rollout [--batch 32] [--group-size 8] [--prompt 50 400] [--tokens 24]
                                 [--repeats 7] [--no-llama] [--threads N] [--json FILE]

All of them continue the same prompts with the same adapter at temperature 1, take turns, and write
exactly ``--tokens`` tokens a row: no end of turn ends a row. ``generate`` samples with the adapter
unmerged, as TRL calls it. The roofline is the time of the matrix products alone, measured in this
process over the model's own weights: each distinct prompt once, then every weight once a token.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.prompts import env_section
from benchmarks.ratios import Ratio, machine
from minirl.config import ModelConfig
from minirl.envs import make_env
from minirl.errors import MinirlError, MissingExtraError

if TYPE_CHECKING:
    from benchmarks.roofline import Roofline
    from minirl.models.load import LoadedModel
    from minirl.models.policy import ModelPolicy

OURS = "minirl"
STOCK = "transformers generate, adapter unmerged"
NOISE = 0.01  # standard deviation of the adapter's B, which starts at zero and would do nothing

Prompts = list[tuple[int, ...]]
Work = Callable[[Sequence[Sequence[int]], int, int], int]  # prompts, copies, tokens -> written


def load(chosen: argparse.Namespace) -> tuple[LoadedModel, ModelPolicy]:
    """The model with an adapter that changes something and no end of turn, and minirl's policy."""
    import torch

    from minirl.models.load import load_model
    from minirl.models.policy import ModelPolicy
    from minirl.models.sampler import SamplingParams

    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    config = ModelConfig(name=chosen.model, precision=chosen.precision, backend="transformers")
    loaded = load_model(config, seed=0)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in loaded.model.named_parameters():
        if "lora_B" in name:
            noise = NOISE * torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(noise.to(parameter))
    policy = ModelPolicy.of(loaded, SamplingParams(), batch=chosen.batch)
    # No token ends a row, so that all sides write as many.
    policy.codec.eos_ids = frozenset()
    loaded.model.get_base_model().generation_config.eos_token_id = None
    return loaded, policy


def prompts_of(policy: ModelPolicy, count: int, length: int) -> Prompts:
    """``count`` prompts of exactly ``length`` tokens: the ends of long ones."""
    section = env_section("long", size=1 + length // 8)
    env = make_env(section["name"], section["options"])
    long = [policy.encode_open(env.task("train", i).prompt) for i in range(count)]
    assert min(map(len, long)) >= length
    return [ids[-length:] for ids in long]


def with_minirl(policy: ModelPolicy) -> Work:
    """minirl's policy, as the engine calls it."""
    from minirl.types import Request, Task

    task = Task("benchmark", "train", 0, ())

    def work(prompts: Sequence[Sequence[int]], n: int, tokens: int) -> int:
        requests = [Request(tuple(p), n, tokens, task) for p in prompts]
        drawn = policy.sample(requests, seed=0)
        return sum(len(sample.ids) for group in drawn for sample in group)

    return work


def with_generate(loaded: LoadedModel) -> Work:
    """`generate` on every row, as TRL's trainer calls it."""
    import torch

    from minirl.models.sampler import evaluating, left_pad

    pad = loaded.tokenizer.pad_token_id

    def work(prompts: Sequence[Sequence[int]], n: int, tokens: int) -> int:
        ids, mask = left_pad([p for p in prompts for _ in range(n)], pad, loaded.device)
        with evaluating(loaded.model), torch.no_grad():
            out = loaded.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=tokens,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                pad_token_id=pad,
            )
        return int(out[:, ids.size(1) :].numel())

    return work


@contextmanager
def with_llama(
    chosen: argparse.Namespace, loaded: LoadedModel, refresh: dict[str, float]
) -> Iterator[dict[str, Work]]:
    """llama.cpp, where it and its converter are installed; else nothing, and a line on why."""
    import torch

    if chosen.no_llama:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="minirl-benchmark-") as folder:
        try:
            from benchmarks.llama_rollout import backends
            from minirl.export.converter import find_converter
            from minirl.export.llama import find_backend

            find_backend(), find_converter()
        except MissingExtraError as error:
            print(f"without llama.cpp: {error}", file=sys.stderr)
            yield {}
            return
        with backends(
            ModelConfig(name=chosen.model),
            loaded.model,
            Path(folder),
            context=max(chosen.prompt) + chosen.tokens + 1,
            rows=chosen.batch,
            threads=torch.get_num_threads(),
            refresh=refresh,
        ) as served:
            yield served


def measure(
    works: dict[str, Work], prompts: Prompts, n: int, tokens: int, repeats: int
) -> dict[str, list[float]]:
    """Tokens a second of each, in turn; the first call of each is a warm-up."""
    for work in works.values():
        work(prompts, n, tokens)
    rates: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats):
        for name in list(works)[:: 1 if repeat % 2 == 0 else -1]:
            start = time.perf_counter()
            written = works[name](prompts, n, tokens)
            rates[name].append(written / (time.perf_counter() - start))
    return rates


def table(rates: dict[str, list[float]], roof: Roofline, length: int) -> list[str]:
    lines = []
    for name, measured in rates.items():
        ratio = Ratio.of(list(zip(rates[OURS], measured, strict=True)))
        median = statistics.median(measured)
        cells = (
            str(length),
            name,
            f"{median:.0f} [{min(measured):.0f}, {max(measured):.0f}]",
            "" if name == OURS else str(ratio),
            f"{100 * median / roof.rate:.0f} %",
            f"{100 * median / roof.rate_with_cache:.0f} %",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, f"| {length} | roofline: products alone | {roof.rate:.0f} | | 100 % | |"]


def _say(text: str) -> None:
    print(text, flush=True)


HEADER = (
    "prompt",
    "side",
    "tokens/s, median [least, most]",
    "minirl is so many times as fast",
    "of the roofline",
    "of it, cache read, too",
)


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=32, help="rows that are written at once")
    parser.add_argument("--group-size", type=int, default=8, help="rows of one prompt")
    parser.add_argument("--prompt", type=int, nargs="+", default=[50, 400], help="tokens")
    parser.add_argument("--tokens", type=int, default=24, help="that each row writes")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--no-llama", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args(words)
    if chosen.batch % chosen.group_size:
        parser.error("--batch must be a multiple of --group-size")
    return chosen


def main(words: Sequence[str] | None = None) -> int:
    chosen = parse(words)
    try:
        _run(chosen)
    except MinirlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _run(chosen: argparse.Namespace) -> None:
    import torch

    from benchmarks.roofline import roofline

    loaded, policy = load(chosen)
    refresh: dict[str, float] = {}
    results: list[dict[str, Any]] = []
    with with_llama(chosen, loaded, refresh) as served:
        works = {OURS: with_minirl(policy), STOCK: with_generate(loaded), **served}
        _say("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|")
        for length in chosen.prompt:
            count = chosen.batch // chosen.group_size
            prompts = prompts_of(policy, count, length)
            rates = measure(works, prompts, chosen.group_size, chosen.tokens, chosen.repeats)
            roof = roofline(
                loaded.model,
                prompts=count,
                length=length,
                rows=chosen.batch,
                tokens=chosen.tokens,
            )
            _say("\n".join(table(rates, roof, length)))
            results.append({"prompt": length, "rates": rates, "roofline": asdict(roof)})
    here = machine()
    _say(
        f"\n{here['cpu']}, {here['cores']} cores (load {here['load']}), torch {torch.__version__}, "
        f"threads: {torch.get_num_threads()}, {loaded.device.type}, "
        f"{str(loaded.dtype).removeprefix('torch.')}; {chosen.model}, {chosen.batch} rows of "
        f"{chosen.batch // chosen.group_size} prompts, {chosen.tokens} tokens each; products "
        f"{roof.gflops:.0f} GFLOP/s, memory {roof.bandwidth / 1e9:.1f} GB/s; n = {chosen.repeats}."
    )
    for name, seconds in refresh.items():
        _say(f"A changed adapter costs {name}: {seconds:.1f} s a step (written, loaded).")
    if chosen.json:
        done = {"machine": here, "refresh": refresh, "results": results}
        chosen.json.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
