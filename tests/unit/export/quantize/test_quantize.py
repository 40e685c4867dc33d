"""Quantized files: the bytes, the keys, and what happens when it does not work."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from minirl.errors import ConfigError, DiskFullError, MissingExtraError, ModelError
from minirl.export.quantize import QUANTIZATIONS, Quantizer, find_quantizer, quantize
from minirl.export.quantize import run as quantize_run
from minirl.export.working_child import Ending

WIDTH, INNER, VOCABULARY, LAYERS = 256, 512, 96, 2
OURS = Quantizer("xllamacpp")
needs_xllamacpp = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="no xllamacpp: pip install xllamacpp"
)


def write_model(path: Path, *, width: int = WIDTH, spoil: str = "", experts: int = 0) -> Path:
    """A llama of random numbers, f16, with what llama.cpp wants to know of one."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random — naïve")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{i}" for i in range(VOCABULARY)])
    writer.add_token_types([1] * VOCABULARY)
    writer.add_token_merges(["t 0"])
    if experts:
        writer.add_expert_count(experts)

    def add(name: str, *shape: int) -> None:
        values = random.normal(0, 0.05, shape).astype(np.float32 if len(shape) < 2 else np.float16)
        if name == spoil:
            values.flat[7] = np.nan
        writer.add_tensor(name, values)

    add("token_embd.weight", VOCABULARY, width)
    add("output_norm.weight", width)
    add("output.weight", VOCABULARY, width)
    for i in range(LAYERS):
        add(f"blk.{i}.attn_norm.weight", width)
        add(f"blk.{i}.ffn_norm.weight", width)
        add(f"blk.{i}.attn_q.weight", width, width)
        add(f"blk.{i}.attn_k.weight", width // 2, width)
        add(f"blk.{i}.attn_v.weight", width // 2, width)
        add(f"blk.{i}.attn_output.weight", width, width)
        add(f"blk.{i}.ffn_gate.weight", INNER, width)
        add(f"blk.{i}.ffn_up.weight", INNER, width)
        add(f"blk.{i}.ffn_down.weight", width, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("source") / "model-f16.gguf")


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader: Any = gguf.GGUFReader(path)
    keys = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    return keys, {t.name: t for t in reader.tensors}


@needs_xllamacpp
@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "f16", "bf16"])
def test_bytes_are_those_of_an_independent_implementation(
    kind: str, source: Path, tmp_path: Path
) -> None:
    assert quantize(source, tmp_path / "out.gguf", kind, quantizer=OURS) == "xllamacpp"
    _, before = read(source)
    _, after = read(tmp_path / "out.gguf")
    assert set(before) == set(after)
    for name, tensor in after.items():
        values = before[name].data.astype(np.float32)
        if name == "output.weight" and kind not in ("q8_0", "f16", "bf16"):
            assert tensor.tensor_type.name == "Q6_K"
            continue  # gguf's numpy cannot write it
        expected = gguf.quants.quantize(values, tensor.tensor_type)
        assert tensor.data.tobytes() == expected.tobytes(), name


@needs_xllamacpp
@pytest.mark.parametrize(
    ("kind", "error"),
    [("q6_k", 0.03), ("q5_k_m", 0.06), ("q4_k_m", 0.11), ("iq4_xs", 0.11), ("q3_k_m", 0.21)],
)
def test_values_stay_near(kind: str, error: float, source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out.gguf", kind, quantizer=OURS)
    _, before = read(source)
    _, after = read(tmp_path / "out.gguf")
    name = "blk.0.ffn_up.weight"
    values = before[name].data.astype(np.float32)
    came = gguf.quants.dequantize(after[name].data, after[name].tensor_type)
    off = np.sqrt(np.mean((came - values) ** 2) / np.mean(values**2))
    assert error / 4 < off < error
    assert after[name].n_bytes < before[name].n_bytes / 2


@needs_xllamacpp
def test_keys_are_kept_and_the_kind_is_told(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out.gguf", "q4_k_s", quantizer=OURS)
    before, _ = read(source)
    after, _ = read(tmp_path / "out.gguf")
    told = {"general.file_type": 14, "general.quantization_version": 2}
    assert after == before | told
    assert (tmp_path / "out.gguf").stat().st_size % 32 == 0


def _has_llama_cpp() -> bool:
    return bool(importlib.util.find_spec("llama_cpp") or shutil.which("llama-quantize"))


@needs_xllamacpp
@pytest.mark.skipif(not _has_llama_cpp(), reason="no llama-quantize and no llama-cpp-python")
@pytest.mark.parametrize("kind", QUANTIZATIONS)
@pytest.mark.parametrize("width", [256, 320])
def test_files_are_llama_cpps_byte_for_byte(kind: str, width: int, tmp_path: Path) -> None:
    source = write_model(tmp_path / "f16.gguf", width=width)
    quantize(source, tmp_path / "ours.gguf", kind, quantizer=OURS)
    assert quantize(source, tmp_path / "theirs.gguf", kind) != "xllamacpp"
    assert (tmp_path / "ours.gguf").read_bytes() == (tmp_path / "theirs.gguf").read_bytes()


@needs_xllamacpp
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spoil": "blk.1.ffn_up.weight"}, "blk.1.ffn_up.weight holds NaN"),
        ({"experts": 8}, "llama-quantize"),
    ],
)
def test_a_model_that_cannot_be_quantized(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    source = write_model(tmp_path / "in.gguf", **options)
    with pytest.raises(ModelError, match=words):
        quantize(source, tmp_path / "out.gguf", "q4_0", quantizer=OURS)
    assert [p.name for p in tmp_path.iterdir()] == ["in.gguf"]


@needs_xllamacpp
def test_a_truncated_source_leaves_nothing_and_says_so(source: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(source.read_bytes()[:-50_000])
    with pytest.raises(ModelError, match=r"could not quantize .*cut\.gguf to q8_0"):
        quantize(cut, tmp_path / "out.gguf", "q8_0", quantizer=OURS)
    assert [p.name for p in tmp_path.iterdir()] == ["cut.gguf"]


def test_llama_quantize_on_the_path_goes_first(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "llama-quantize"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$3" > "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert find_quantizer("q4_k_m") == Quantizer("llama-quantize", str(program))
    assert quantize(source, tmp_path / "out.gguf", "q4_k_m") == "llama-quantize"
    assert (tmp_path / "out.gguf").read_text() == "Q4_K_M\n"

    program.write_text('#!/bin/sh\necho half > "$2"\necho "no such tensor" >&2\nexit 3\n')
    with pytest.raises(ModelError, match="no such tensor"):
        quantize(source, tmp_path / "other.gguf", "q4_k_m")
    assert not (tmp_path / "other.gguf").exists()


def test_a_full_disk(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Ending(1, {"problem": "disk"}, [])
    monkeypatch.setattr(quantize_run, "run_child", lambda *_, **__: full)
    with pytest.raises(DiskFullError, match=r"out\.gguf"):
        quantize(source, tmp_path / "out.gguf", "q8_0", quantizer=OURS)
    assert not list(tmp_path.iterdir())


def test_nothing_that_quantizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="xllamacpp"):
        find_quantizer("q4_k_m")


def test_an_unknown_kind() -> None:
    with pytest.raises(ConfigError, match="q4_k_m"):
        find_quantizer("q4_k_xxl")
