"""llama.cpp as a rollout backend: batched decoding, and what a new adapter costs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from minirl.config import ModelConfig
from minirl.errors import ModelError
from minirl.export import converter
from minirl.export.llama import LlamaServer, serve
from minirl.export.llama.client import NEUTRAL
from minirl.export.lora_gguf import write_lora_gguf
from minirl.export.merged import Dtype, write_merged

Work = Callable[[Sequence[Sequence[int]], int, int], int]
FORMATS: dict[str, Dtype] = {"f16": "fp16", "f32": "fp32"}


@contextmanager
def backends(
    model: ModelConfig,
    peft_model: Any,
    folder: Path,
    *,
    context: int,
    rows: int,
    threads: int,
    refresh: dict[str, float],
) -> Iterator[dict[str, Work]]:
    """Serve base and adapter merged, in 16 and in 32 bits, and both apart in 16 bits.

    Args:
        refresh: is given the seconds that a changed adapter costs each of them: written, converted,
            loaded.

    Yields:
        By name, what continues each prompt: (prompts, copies, tokens) -> tokens written.
    """
    with ExitStack() as stack:
        served: dict[str, Work] = {}

        def start(name: str, gguf: Path, begun: float, lora: Path | None = None) -> None:
            server = stack.enter_context(
                serve(gguf, lora=lora, context=context, parallel=rows, exact=False, threads=threads)
            )
            served[name] = lambda prompts, n, tokens: write(server, prompts, n, tokens)
            refresh[name] = time.perf_counter() - begun

        adapter = folder / "adapter"
        for outtype, dtype in FORMATS.items():
            begun = time.perf_counter()
            peft_model.save_pretrained(adapter, selected_adapters=["default"])
            merged, gguf = folder / f"merged-{outtype}", folder / f"{outtype}.gguf"
            write_merged(model, adapter, merged, dtype=dtype)
            converter.convert(merged, gguf, outtype)
            start(f"llama.cpp {outtype}, merged", gguf, begun)
        base = folder / "base-f16.gguf"
        write_merged(model, None, folder / "base", dtype="fp16")
        converter.convert(folder / "base", base, "f16")
        begun = time.perf_counter()
        peft_model.save_pretrained(adapter, selected_adapters=["default"])
        lora = folder / "lora.gguf"
        write_lora_gguf(adapter, peft_model.get_base_model().config.to_dict(), lora)
        start("llama.cpp f16 + LoRA", base, begun, lora)
        yield served


def write(server: LlamaServer, prompts: Sequence[Sequence[int]], n: int, tokens: int) -> int:
    """Continue each prompt ``n`` times by exactly ``tokens`` tokens; how many were written.

    A prompt's copies are one request, so that llama.cpp computes the prompt once. Nothing is kept
    of the call before, whose prompts would be others in training.

    Raises:
        ModelError: this llama.cpp cannot do so.
    """
    asked = {
        **NEUTRAL,
        "n_predict": tokens,
        "n_cmpl": n,
        "temperature": 1.0,
        "ignore_eos": True,
        "cache_prompt": False,
        "return_tokens": True,
    }

    def continued(item: tuple[int, Sequence[int]]) -> int:
        seed, prompt = item
        # Straight to the route: the client's own calls ask for log-probabilities, and for one copy.
        answers: Any = server._ask("/completion", {**asked, "prompt": list(prompt), "seed": seed})
        if not isinstance(answers, list) or len(answers) != n:
            raise ModelError("this llama.cpp does not write several continuations of one prompt")
        return sum(len(answer["tokens"]) for answer in answers)

    with ThreadPoolExecutor(len(prompts)) as pool:
        written = sum(pool.map(continued, enumerate(prompts)))
    if written != len(prompts) * n * tokens:
        raise ModelError("llama.cpp wrote another number of tokens", got=str(written))
    return written
