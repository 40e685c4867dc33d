"""The tokenizer of a model, as its publisher wrote it."""

from __future__ import annotations

import shutil
from pathlib import Path

from minirl.config import ModelConfig
from minirl.models.fetch import offline

# transformers 5 leaves sentencepiece's model and the decoder of added tokens out when it saves, and
# llama.cpp's converter reads both. So the files themselves are copied.
FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)


def copy_tokenizer(model: ModelConfig, where: str, into: Path) -> None:
    """Copy the tokenizer's files of the model at ``where`` (a directory or a hub id).

    Raises:
        ModelError: there is no tokenizer.
    """
    found = {name: path for name in FILES if (path := _find(where, name)) is not None}
    if "tokenizer.json" not in found and "tokenizer.model" not in found:
        from minirl.models.stock import load_tokenizer

        load_tokenizer(model, where).save_pretrained(into)
        return
    for name, path in found.items():
        shutil.copyfile(path, into / name)


def _find(where: str, name: str) -> Path | None:
    if Path(where).is_dir():
        path = Path(where) / name
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    cached = try_to_load_from_cache(where, name)
    if isinstance(cached, str):
        return Path(cached)
    if offline():
        return None
    try:
        return Path(hf_hub_download(where, name))
    except (EntryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError):
        return None  # most models have only some of these; the converter says what it misses
