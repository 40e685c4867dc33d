"""llama.cpp's converter for one model; :mod:`minirl.export.converter` runs this as a child.

Arguments: where the converter can be imported from, the model's directory, the file to write, and
its number format. Standard output carries a line of JSON for each thing to tell; whatever the
converter prints goes to standard error. Imports nothing of minirl that knows ``gguf``: it has to
be the one of llama.cpp's tree.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from errno import ENOSPC
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from minirl.export.telephone import Tell, telephone


def main(tree: str, model_dir: str, out: str, outtype: str) -> int:
    tell = telephone()
    sys.path[:0] = [f"{tree}/gguf-py", tree]
    os.environ["NO_LOCAL_GGUF"] = "1"  # it stands on the path already
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        _convert(Path(model_dir), Path(out), outtype, tell)
    except OSError as error:
        if error.errno == ENOSPC:
            tell({"problem": "disk"})
        elif "tokenizer.model" in str(error):
            tell({"problem": "tokenizer.model"})
        raise
    return 0


def _convert(model_dir: Path, out: Path, outtype: str, tell: Tell) -> None:
    import gguf
    import torch

    conversion: Any = import_module("conversion")
    _report_bytes(tell)
    formats = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
    hparams = conversion.ModelBase.load_hparams(model_dir, False)
    architecture = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
    try:
        kind = conversion.get_model_class(architecture)
    except NotImplementedError:
        tell({"problem": "architecture", "name": architecture})
        raise
    with torch.inference_mode():
        model = kind(model_dir, getattr(gguf.LlamaFileType, formats[outtype]), out)
        if characters := single_characters(model_dir):
            model.set_vocab = partial(_write_characters, model, model_dir, characters, gguf)
        else:
            known = model.get_vocab_base_pre
            model.get_vocab_base_pre = lambda tokenizer: _pre_tokenizer(known, tokenizer, tell)
        model.write()


def _report_bytes(tell: Tell) -> None:
    """Tell how many bytes are written, in the place of the converter's progress bar."""
    tqdm: Any = import_module("tqdm")

    class Bar:
        def __init__(self, *_: object, total: int | None = None, **__: object) -> None:
            self.done, self.total = 0, total or 0

        def update(self, count: int = 1) -> None:
            self.done += count
            if self.total:
                tell({"done": self.done, "total": self.total})

    tqdm.tqdm = Bar


def _pre_tokenizer(known: Callable[[Any], str], tokenizer: Any, tell: Tell) -> str:
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("hf-to-gguf").addHandler(handler)
    try:
        return known(tokenizer)
    except NotImplementedError:
        told = [line.partition("chkhsh:")[2].strip() for line in heard if "chkhsh:" in line]
        tell({"problem": "pre-tokenizer", "hash": told[-1] if told else "unknown"})
        raise


# a tokenizer of single characters ----------------------------------------------------------------


def single_characters(model_dir: Path) -> dict[str, int]:
    """The vocabulary of a tokenizer that makes each character a token of its own; else nothing.

    minirl's tiny model has such a one; llama.cpp's converter knows none.
    """
    path = model_dir / "tokenizer.json"
    if not path.is_file():
        return {}
    told = json.loads(path.read_text(encoding="utf-8"))
    if told["model"]["type"] != "WordLevel":
        return {}
    special = {added["content"] for added in told["added_tokens"]}
    vocabulary: dict[str, int] = told["model"]["vocab"]
    plain = [token for token in vocabulary if token not in special]
    return vocabulary if all(len(token) == 1 and token.isascii() for token in plain) else {}


def _write_characters(model: Any, model_dir: Path, vocabulary: dict[str, int], gguf: Any) -> None:
    """Write it as byte-level BPE in which nothing is ever merged.

    llama.cpp then splits as the tokenizer does. A character that is not in the vocabulary is left
    out there, where the tokenizer would put its unknown token.
    """
    told = json.loads((model_dir / "tokenizer.json").read_text(encoding="utf-8"))
    special = {added["content"] for added in told["added_tokens"]}
    size = model.hparams.get("vocab_size", len(vocabulary))
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, i in vocabulary.items():
        tokens[i] = token if token in special else byte_level(token)
        types[i] = gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL
    writer = model.gguf_writer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    # llama.cpp insists on merges. Pieces of several characters never come up: it never applies.
    writer.add_token_merges(["[PAD] [PAD]"])
    writer.add_add_bos_token(False)
    gguf.SpecialVocab(model_dir, n_vocab=size).add_to_gguf(writer)


def byte_level(character: str) -> str:
    """How GPT-2's vocabularies write an ASCII character: those that do not print stand 256 higher.

    Radford et al. 2019, ``bytes_to_unicode``.
    """
    code = ord(character)
    if 0x21 <= code <= 0x7E:
        return character
    return chr(256 + code if code <= 0x20 else 256 + 0x21 + code - 0x7F)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
