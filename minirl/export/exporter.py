"""Writes what was asked for, one whole file after the other, and remembers what it has written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from minirl.config import Recipe
from minirl.errors import MissingExtraError, ModelError, RunDirError
from minirl.export.files import digest, remove, size, written
from minirl.export.merged import QUANTIZED_SUFFIXES, Dtype
from minirl.export.merged import Base as MergeInto
from minirl.export.verify.verify import Kind, Target
from minirl.models.catalogue import cache_dir, resolve_model
from minirl.rundir import RunDir, read_json, write_json

KINDS: tuple[Kind, ...] = get_args(Kind)
WHOLE: Mapping[str, Literal["fp32", "fp16", "bf16"]] = {
    "f32": "fp32",
    "f16": "fp16",
    "bf16": "bf16",
}
LEDGER = "export.json"


@dataclass(frozen=True, slots=True)
class Order:
    """What to write.

    Attributes:
        kinds: of :data:`KINDS`, in the order in which they are written.
        formats: of merged GGUFs: ``f16``, ``q4_k_m``, …
    """

    kinds: Sequence[Kind]
    formats: Sequence[str] = ()


@dataclass
class Exporter:
    """Exports one run's adapter into one directory.

    Attributes:
        merge_into: which weights of a 4-bit base the adapter is added to.
        dtype: number format of the merged safetensors; ``auto`` is the base's own.
        progress: told what is being done.
        missing: what could not be written for want of a package, in words and with the cure.
    """

    recipe: Recipe
    run: RunDir
    out: Path
    merge_into: MergeInto = "auto"
    dtype: Dtype = "auto"
    force: bool = False
    progress: Callable[[str], None] = field(default=lambda _: None)
    missing: list[MissingExtraError] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """What the files are called by: the run's name."""
        return self.run.path.resolve().name

    @cached_property
    def adapter_sha256(self) -> str:
        return digest(self.run.adapter)

    @property
    def ledger(self) -> Path:
        return self.out / LEDGER

    def read_ledger(self) -> dict[str, Any]:
        """What stands in the directory.

        Raises:
            RunDirError: it holds another adapter's exports, and nobody said ``--force``.
        """
        mine = {
            "adapter_sha256": self.adapter_sha256,
            "model": self.recipe.model.name,
            "load_in_4bit": self.recipe.model.load_in_4bit,
        }
        if not self.ledger.exists():
            return mine | {"files": {}}
        found = read_json(self.ledger)
        if any(found.get(key) != value for key, value in mine.items()):
            if not self.force:
                raise RunDirError(
                    f"{self.out} holds what was exported of another adapter",
                    fix="--force replaces it, or write elsewhere: --out DIR",
                )
            return mine | {"files": {}}
        return found

    def write(self, order: Order) -> list[Target]:
        """Write everything that can be written; what is there already, and whole, stays.

        Returns:
            What there is now of what was ordered.
        """
        ledger = self.read_ledger()
        targets = []
        with self._scratch() as scratch:
            for kind in order.kinds:
                formats = order.formats if kind == "gguf" else [self._format(kind)]
                for number_format in formats:
                    try:
                        targets.append(self._one(kind, number_format, ledger, scratch))
                    except MissingExtraError as error:
                        self.missing.append(error)
        return targets

    # one file -------------------------------------------------------------------------------------

    def _one(self, kind: Kind, number_format: str, ledger: dict[str, Any], scratch: Path) -> Target:
        path = self.path(kind, number_format)
        kept = ledger["files"].get(path.name)
        entry: dict[str, Any]
        if kept and path.exists() and not self.force:
            self._refuse_changed(kept, kind, path)
            self.progress(f"{path} is there already")
            entry = kept
        else:
            self._begin(path, ledger)
            self.progress(f"writing {path}")
            made = {
                "adapter": self._adapter,
                "merged": self._merged,
                "gguf-lora": self._gguf_lora,
                "gguf": self._gguf,
            }[kind](path, number_format, scratch)
            entry = {
                "kind": kind,
                "format": number_format,
                "bytes": size(path),
                "sha256": digest(path),
                "asked": self._asked(kind),
                "base_gguf": None,
                **made,
            }
            ledger["files"][path.name] = entry
            ledger["begun"].remove(path.name)
            ledger["base"] = entry.get("base_used", ledger.get("base", "stored"))
            write_json(self.ledger, ledger)
        base = entry["base_gguf"]
        if kind == "gguf-lora" and (base is None or not Path(base).exists()):
            base = self._base_gguf_if_possible(scratch)
        return Target(
            path,
            kind,
            entry["format"],
            base=Path(base) if base else None,
            same_base=entry.get("base_used") != "original",
        )

    def _refuse_changed(self, kept: Mapping[str, Any], kind: Kind, path: Path) -> None:
        """Raise RunDirError where ``path`` is not what was asked for, or not as it was written."""
        anew = "--force writes it anew, --out DIR writes elsewhere"
        if kept["asked"] != self._asked(kind):
            raise RunDirError(
                f"{path} was written with other options",
                expected=", ".join(f"{k} {v}" for k, v in self._asked(kind).items()),
                got=", ".join(f"{k} {v}" for k, v in kept["asked"].items()),
                fix=anew,
            )
        if size(path) != kept["bytes"]:
            raise RunDirError(
                f"{path} is not as it was written",
                expected=f"{kept['bytes']} bytes",
                got=f"{size(path)} bytes",
                fix=f"{anew}; --check {path} verifies it as it is",
            )

    def _begin(self, path: Path, ledger: dict[str, Any]) -> None:
        """Note that ``path`` will be written, so that its place may be taken if this is cut short.

        Raises:
            RunDirError: something else is there, and nobody said ``--force``.
        """
        begun = ledger.setdefault("begun", [])
        ours = path.name in begun or path.name in ledger["files"]
        if path.exists() and not ours and not self.force:
            raise RunDirError(
                f"{path} is in the way, and minirl export did not write it",
                fix="--force replaces it, or write elsewhere: --out DIR",
            )
        if path.name not in begun:
            begun.append(path.name)
            write_json(self.ledger, ledger)

    def _asked(self, kind: Kind) -> dict[str, str]:
        """The options that change what is written."""
        asked = {} if kind == "adapter" else {"merge_into": self.merge_into}
        return asked | ({"dtype": self.dtype} if kind == "merged" else {})

    def path(self, kind: Kind, number_format: str) -> Path:
        """Where an export goes."""
        if kind == "gguf-lora":
            return self.out / f"{self.stem}-lora.gguf"
        return self.out / (f"{self.stem}-{number_format}.gguf" if kind == "gguf" else kind)

    def _format(self, kind: Kind) -> str:
        return "f32" if kind in ("adapter", "gguf-lora") else "stored"

    def _adapter(self, path: Path, _: str, __: Path) -> dict[str, Any]:
        with written(path) as temporary:
            shutil.copytree(self.run.adapter, temporary)
        return {"made_by": "peft"}

    def _merged(self, path: Path, _: str, __: Path) -> dict[str, Any]:
        from minirl.export.merged import write_merged

        merged = write_merged(
            self.recipe.model,
            self.run.adapter,
            path,
            dtype=self.dtype,
            base=self.merge_into,
            progress=self.progress,
        )
        names: dict[str, str] = {dtype: name for name, dtype in WHOLE.items()}
        return {
            "made_by": "transformers",
            "base_used": merged.base_used,
            "format": names[merged.dtype],
        }

    def _gguf_lora(self, path: Path, _: str, scratch: Path) -> dict[str, Any]:
        from minirl.export.lora_gguf import write_lora_gguf

        modules = write_lora_gguf(self.run.adapter, self.base_config(), path)
        base = self._base_gguf_if_possible(scratch)
        return {
            "made_by": "minirl",
            "modules": modules,
            "base_gguf": str(base) if base else None,
            "base_used": self._base_used(),
        }

    def _gguf(self, path: Path, number_format: str, scratch: Path) -> dict[str, Any]:
        from minirl.export import converter
        from minirl.export.quantize import find_quantizer, quantize

        if number_format in WHOLE:
            source = self._merged_for(WHOLE[number_format], scratch)
            converter.convert(source, path, number_format, progress=self.progress)
            tool = "llama.cpp's converter"
        else:
            find_quantizer(number_format)  # before minutes of work that would come to nothing
            tool = quantize(self._whole_gguf(scratch), path, number_format, progress=self.progress)
        return {"made_by": tool, "base_used": self._base_used()}

    # what files are made from ---------------------------------------------------------------------

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A directory beside the exports for what lies between; gone at the end."""
        scratch = self.out / ".scratch"
        remove(scratch)
        try:
            yield scratch
        finally:
            remove(scratch)

    def _base_used(self) -> str:
        model = self.recipe.model
        if not model.load_in_4bit and not model.name.endswith(QUANTIZED_SUFFIXES):
            return "stored"
        return "original" if self.merge_into == "original" else "dequantized"

    def _merged_for(self, dtype: Literal["fp32", "fp16", "bf16"], scratch: Path) -> Path:
        """Base and adapter in one, in a format that loses nothing before the next step."""
        from minirl.export.converter import find_converter
        from minirl.export.merged import write_merged

        find_converter()  # without it, this would be made for nothing
        path = scratch / f"{self.stem}-{dtype}"
        if not path.exists():
            write_merged(
                self.recipe.model,
                self.run.adapter,
                path,
                dtype=dtype,
                base=self.merge_into,
                progress=self.progress,
            )
        return path

    def _whole_gguf(self, scratch: Path) -> Path:
        """The f16 GGUF that the others are quantised from: the exported one, or one for now."""
        from minirl.export import converter

        exported = self.path("gguf", "f16")
        if exported.exists() and exported.name in self.read_ledger()["files"]:
            return exported
        path = scratch / exported.name
        if not path.exists():
            source = self._merged_for("fp16", scratch)
            converter.convert(source, path, "f16", progress=self.progress)
        return path

    def base_config(self) -> dict[str, Any]:
        """config.json of the base model."""
        return base_config(self.recipe)

    def base_gguf(self) -> Path:
        """The base as f16 GGUF, in the model cache; made where it is not there.

        Raises:
            MissingExtraError: llama.cpp's converter is missing.
        """
        with self._scratch() as scratch:
            return self._base_gguf(scratch)

    def _base_gguf_if_possible(self, scratch: Path) -> Path | None:
        """The base as f16 GGUF, in the model cache: what the adapter is verified with and can be
        run with. None, and a note in :attr:`missing`, where it cannot be made.
        """
        try:
            return self._base_gguf(scratch)
        except MissingExtraError as error:
            self.missing.append(error)
            return None

    def _base_gguf(self, scratch: Path) -> Path:
        from minirl.export import converter
        from minirl.export.merged import write_merged

        used = self._base_used()
        path = cache_dir() / "gguf" / f"{self._base_name()}-{used}-f16.gguf"
        if path.exists() and not self.force:
            return path
        converter.find_converter()
        self.progress(f"writing the base model for it, once: {path}")
        whole = scratch / "base"
        remove(whole)
        write_merged(
            self.recipe.model,
            None,
            whole,
            dtype="fp16",
            base=self.merge_into,
            progress=self.progress,
        )
        converter.convert(whole, path, "f16", progress=self.progress)
        remove(whole)
        return path

    def _base_name(self) -> str:
        """A name for the base that changes with its files."""
        where = resolve_model(self.recipe.model.name).location
        name = "".join(c if c.isalnum() or c in "-." else "-" for c in self.recipe.model.name)
        told = [self.recipe.model.name, where]
        if Path(where).is_dir():
            files = sorted(p for p in Path(where).iterdir() if p.is_file())
            told += [f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files]
        return (
            f"{name.strip('-.')[-40:]}-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]}"
        )


def base_config(recipe: Recipe) -> dict[str, Any]:
    """config.json of a recipe's model.

    Raises:
        ModelError: it cannot be read.
    """
    from transformers import AutoConfig

    where = resolve_model(recipe.model.name).location
    try:
        found: dict[str, Any] = AutoConfig.from_pretrained(where).to_dict()
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the configuration of {recipe.model.name} cannot be read: {error}"
        ) from error
    return found


__all__ = ["KINDS", "LEDGER", "Exporter", "MergeInto", "Order", "base_config"]
