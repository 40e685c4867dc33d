"""A model directory as a whole GGUF: llama.cpp's own converter, in a child process.

It runs with the ``gguf`` package of its own tree: the one on PyPI differs under the same version.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from minirl.errors import ConfigError, MissingExtraError, ModelError
from minirl.export import converter_child
from minirl.export.converter_fetch import ARCHIVE, NAME, PULL, fetch_converter
from minirl.export.files import ELSEWHERE, FULL, written
from minirl.export.working_child import Ending, run_child
from minirl.models import store

__all__ = ["OUT_TYPES", "OutType", "convert", "fetch_converter", "find_converter"]

OutType = Literal["f32", "f16", "bf16", "q8_0"]
OUT_TYPES: tuple[OutType, ...] = get_args(OutType)
CHECKOUT = "MINIRL_GGUF_CONVERTER"


def find_converter() -> Path:
    """Where Python can import the converter from: a directory, or a zip file in the model cache.

    ``MINIRL_GGUF_CONVERTER=DIR`` names an existing checkout of llama.cpp instead.

    Raises:
        MissingExtraError: it has not been fetched.
        ModelError: the cached one is corrupt, or the directory is no checkout.
    """
    if named := os.environ.get(CHECKOUT):
        tree = Path(named).expanduser().absolute()
        for needed in ("conversion/base.py", "gguf-py/gguf/__init__.py"):
            if not (tree / needed).is_file():
                raise ModelError(
                    f"{CHECKOUT} names no checkout of llama.cpp that has a converter",
                    expected=f"{needed} in it",
                    got=str(tree),
                    fix=f"name the top of a checkout of llama.cpp, or unset it and: {PULL}",
                )
        return tree
    cached = store.cache_dir() / NAME
    if not cached.exists():
        raise MissingExtraError(
            "writing a whole GGUF needs llama.cpp's converter, which is not on this machine",
            fix=PULL,
        )
    store.verify(cached, NAME)
    return cached / ARCHIVE


def convert(
    model_dir: Path, out: Path, outtype: str, *, progress: store.Progress = store.silent
) -> None:
    """Write ``model_dir`` (config.json, safetensors, tokenizer) as the GGUF ``out``.

    Args:
        outtype: of :data:`OUT_TYPES`; vectors stay f32 in each of them.

    Raises:
        MissingExtraError: the converter has not been fetched.
        ModelError: llama.cpp does not know the architecture or the tokenizer, or the converter
            failed; its last lines are in it.
        DiskFullError: no space is left; nothing stays at ``out``.
    """
    if outtype not in OUT_TYPES:
        raise ConfigError(
            f"the converter writes no {outtype}",
            expected=f"one of {', '.join(OUT_TYPES)}",
            fix="write f16 and quantize that",
        )
    tree = find_converter()
    if not (model_dir / "config.json").is_file():
        raise ModelError(
            f"{model_dir} holds no model to convert", expected="config.json and weights"
        )
    with written(out) as temporary:
        _run(tree, model_dir, temporary, outtype, out, progress)


def _run(
    tree: Path, model_dir: Path, temporary: Path, outtype: str, out: Path, progress: store.Progress
) -> None:
    offline = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    ending = run_child(
        [converter_child.__file__, str(tree), str(model_dir), str(temporary), outtype],
        f"converting to {outtype}",
        progress=progress,
        environment=offline,
    )
    if ending.code == 0 and temporary.is_file():
        return
    ending.raise_if_disk_full(out, full=FULL, elsewhere=ELSEWHERE)
    raise _failure(ending, model_dir)


def _failure(ending: Ending, model_dir: Path) -> ModelError:
    problem = ending.told.get("problem")
    if problem == "pre-tokenizer":
        return ModelError(
            f"llama.cpp's converter does not know how the tokenizer of {model_dir} splits words",
            expected="a pre-tokenizer that it has a hash of",
            got=f"hash {ending.told['hash']}",
            fix=f"a newer llama.cpp may know it: {CHECKOUT}=CHECKOUT; "
            "the adapter and the merged model need none: --to merged",
        )
    if problem == "tokenizer.model":
        return ModelError(
            f"{model_dir} has no tokenizer.model, which llama.cpp's converter reads for this model",
            fix="put the base model's tokenizer.model beside its tokenizer.json, and export again",
        )
    if problem == "architecture":
        return ModelError(
            f"llama.cpp's converter does not know the architecture {ending.told['name']}",
            fix=f"a newer llama.cpp may know it: {CHECKOUT}=CHECKOUT; or use --to merged",
        )
    return ModelError(
        f"llama.cpp's converter failed on {model_dir} (exit status {ending.code})",
        got=ending.last_words,
        fix=f"another llama.cpp may do better: {CHECKOUT}=CHECKOUT",
    )
