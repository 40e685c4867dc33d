"""Find something on this machine that quantizes, and let it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from minirl.errors import ConfigError, MissingExtraError, ModelError
from minirl.export.files import ELSEWHERE, FULL, written
from minirl.export.quantize.mixture import QUANTIZATIONS
from minirl.export.working_child import Ending, run_child
from minirl.models import store
from minirl.models.supported import install_command


@dataclass(frozen=True, slots=True)
class Quantizer:
    """What quantizes.

    Attributes:
        name: ``llama-quantize``, ``llama-cpp-python`` or ``xllamacpp``.
        program: the path of llama-quantize; None where it is a Python library.
    """

    name: str
    program: str | None = None


def find_quantizer(kind: str) -> Quantizer:
    """llama.cpp's own quantiser where there is one, else minirl's way with xllamacpp's functions.

    Raises:
        ConfigError: no such kind.
        MissingExtraError: there is nothing on this machine that quantizes.
    """
    if kind not in QUANTIZATIONS:
        raise ConfigError(
            f"{kind!r} is no quantization that minirl knows",
            expected=f"one of {', '.join(QUANTIZATIONS)}",
        )
    if program := shutil.which("llama-quantize"):
        return Quantizer("llama-quantize", program)
    if importlib.util.find_spec("llama_cpp"):
        return Quantizer("llama-cpp-python")
    if importlib.util.find_spec("xllamacpp"):
        return Quantizer("xllamacpp")
    raise MissingExtraError(
        f"writing {kind} needs a quantizer, and there is none on this machine",
        expected="the package xllamacpp or llama-cpp-python, or llama-quantize on the PATH",
        fix=install_command("xllamacpp", extra="gguf"),
    )


def quantize(
    source_gguf: Path,
    out: Path,
    kind: str,
    *,
    progress: store.Progress = store.silent,
    quantizer: Quantizer | None = None,
) -> str:
    """Write ``source_gguf`` (f32, f16 or bf16) as ``out`` in the quantization ``kind``.

    Args:
        kind: of :data:`~minirl.export.quantize.mixture.QUANTIZATIONS`.
        quantizer: which one; found where none is given.

    Returns:
        The quantizer's name.

    Raises:
        MissingExtraError: there is nothing on this machine that quantizes.
        ModelError: the file cannot be quantized; the quantizer's last lines are in it.
        DiskFullError: no space is left; nothing stays at ``out``.
    """
    chosen = quantizer or find_quantizer(kind)
    with written(out) as temporary:
        if chosen.program:
            progress(f"quantizing to {kind} with {chosen.program}")
            ending = _run_program(chosen.program, source_gguf, temporary, kind)
        else:
            library = "ggml" if chosen.name == "xllamacpp" else "llama_cpp"
            module = ["-m", "minirl.export.quantize.child", library]
            ending = run_child(
                [*module, str(source_gguf), str(temporary), kind],
                f"quantizing to {kind}",
                progress=progress,
            )
        if ending.code or not temporary.is_file():
            ending.raise_if_disk_full(out, full=FULL, elsewhere=ELSEWHERE)
            raise _failure(ending, source_gguf, kind, chosen)
    return chosen.name


def _run_program(program: str, source: Path, out: Path, kind: str) -> Ending:
    done = subprocess.run(
        [program, str(source.absolute()), str(out.absolute()), kind.upper()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    return Ending(done.returncode, {}, [line.rstrip() for line in lines if line.strip()])


def _failure(ending: Ending, source: Path, kind: str, quantizer: Quantizer) -> ModelError:
    told = ending.told
    if told.get("problem") == "known":
        return ModelError(
            told["message"], expected=told["expected"], got=told["got"], fix=told["fix"]
        )
    return ModelError(
        f"{quantizer.name} could not quantize {source} to {kind} (exit status {ending.code})",
        got=ending.last_words,
        fix="see that the source is a whole GGUF in f32, f16 or bf16",
    )
