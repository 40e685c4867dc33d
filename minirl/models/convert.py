"""SmolLM2's GGUF as a transformers model: dequantized weights and a repaired tokenizer."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minirl.errors import ModelError

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
PAD_ID, START_ID, END_ID = range(3)


def convert_gguf(gguf: Path, into: Path) -> None:
    """Write the dequantized model (bf16 safetensors) and its tokenizer into ``into``.

    Raises:
        ModelError: the special tokens do not have the ids that the model was trained with.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with quiet_transformers():
        where: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
        tokenizer = repair_tokenizer(AutoTokenizer.from_pretrained(str(gguf.parent), **where))
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
            **where,
        )
        for config in (model.config, model.generation_config):
            config.bos_token_id, config.eos_token_id, config.pad_token_id = START_ID, END_ID, PAD_ID
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)


def repair_tokenizer(read: Any) -> Any:
    """The tokenizer as SmolLM2 was trained with it, from what transformers reads out of the GGUF.

    transformers gets the vocabulary, the merges and the template right, and loses the rest: EOS
    comes back as ``<|im_start|>``, there is no padding token, and digits are not split off before
    the words are (the GGUF says so: ``tokenizer.ggml.pre = smollm``), so that ``"a  7"`` becomes
    other tokens than in training, and in llama.cpp.
    """
    from tokenizers import decoders, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = read.backend_tokenizer
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.model.byte_fallback = False
    backend.model.fuse_unk = False
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        unk_token=PAD,
        chat_template=read.chat_template,
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
        padding_side="left",
    )
    got = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    if got != (PAD_ID, START_ID, END_ID) or not tokenizer.chat_template:
        raise ModelError(
            "the GGUF's tokenizer is not SmolLM2's",
            expected=f"{PAD}, {START}, {END} with ids 0, 1, 2, and a chat template",
            got=f"ids {got}, template {tokenizer.chat_template!r:.60}",
            fix="install the transformers version that minirl pins",
        )
    return tokenizer


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Within the block, transformers neither logs below an error nor draws progress bars."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # Its GGUF reader draws with plain tqdm, which has no switch: it writes to sys.stderr.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
