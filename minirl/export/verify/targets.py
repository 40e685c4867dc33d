"""What a file or a directory that somebody exported claims to be."""

from __future__ import annotations

from pathlib import Path

from minirl.errors import ModelError
from minirl.export.verify.gguf_file import GgufFile, open_gguf
from minirl.export.verify.verify import Target
from minirl.rundir import read_json


def target_of(path: Path, base: Path | None = None) -> Target:
    """Recognise a PEFT adapter, a merged model, a GGUF or an adapter GGUF.

    Args:
        base: the base model's GGUF, for an adapter GGUF.

    Raises:
        ModelError: it is none of these, or a damaged one.
    """
    if path.is_dir():
        if (path / "adapter_config.json").is_file():
            return Target(path, "adapter", "f32")
        if (path / "config.json").is_file():
            dtype = str(read_json(path / "config.json").get("dtype") or "float32")
            return Target(path, "merged", _SHORT.get(dtype.removeprefix("torch."), "f32"))
        raise ModelError(
            f"{path} holds neither an adapter nor a model",
            expected="adapter_config.json, or config.json with weights",
        )
    if not path.is_file():
        raise ModelError(f"there is no {path}", fix="check the path")
    file = open_gguf(path)
    if file.meta.get("general.type") == "adapter":
        kinds = sorted(file.kind(name) for name in file.names)
        return Target(path, "gguf-lora", kinds[0] if kinds else "f32", base=base)
    return Target(path, "gguf", _format(file))


_SHORT = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def _format(file: GgufFile) -> str:
    """``general.file_type`` in words: ``q4_k_m``."""
    import gguf

    number = int(file.meta.get("general.file_type", 0))
    try:
        name = gguf.LlamaFileType(number).name
    except ValueError:  # a kind that is newer than the package
        kinds = [file.kind(name) for name in file.names]
        return min(kinds, key=lambda kind: (kind[0] in "fb", kind), default="f32")
    return str(name).removeprefix("MOSTLY_").removeprefix("ALL_").lower()
