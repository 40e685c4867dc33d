"""`minirl export`: what it writes, what it says, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from minirl.errors import MissingExtraError
from minirl.rundir import read_json

pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install -c constraints.txt '.[gguf]'")

STEPS = ("--set", "train.steps=2", "--set", "train.prompts_per_step=2", "--set", "eval.tasks=6")
FEW = ("--positions", "60", "--tasks", "4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Path:
    """A run of two steps, trained once."""
    from minirl.cli.main import main

    runs = tmp_path_factory.mktemp("trained")
    with pytest.raises(SystemExit) as stop:
        main(["train", "tiny", *STEPS, "--name", "real", "--runs", str(runs)])
    assert not stop.value.code
    return runs


@pytest.fixture
def export(trained: Path, tmp_path: Path) -> Path:
    """Where the exports of a copy of that run go."""
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs" / "real" / "export"


def names(export: Path) -> set[str]:
    return {path.name for path in export.iterdir()} if export.exists() else set()


def test_everything_is_written_and_verified(minirl: Any, export: Path, converter: Path) -> None:
    kinds = [word for kind in ("adapter", "merged", "gguf-lora", "gguf") for word in ("--to", kind)]
    ended = minirl("export", "real", *kinds, "-q", "f16", "-q", "Q4_K_M", "--ollama", *FEW)
    assert ended.code == 0, ended.err
    files = {"adapter", "merged", "real-lora.gguf", "real-f16.gguf", "real-q4_k_m.gguf"}
    assert names(export) == files | {"export.json", "verify.json", "Modelfile", "README.md"}
    verified = read_json(export / "verify.json")
    assert set(verified["files"]) == files
    assert all(record["passed"] for record in verified["files"].values())
    assert verified["reference"]["solved"]["n"] == 4
    for name in files - {"adapter", "merged"}:
        assert name in ended.out
    assert "real-f16.gguf: distributions: 60" in ended.err  # progress, where there is no terminal
    assert "real-f16.gguf" in (export / "README.md").read_text()

    # Again: nothing is written, nothing is verified. A file more: it alone is.
    before = {path: path.stat().st_mtime_ns for path in export.rglob("*.gguf")}
    again = minirl("export", "real", *kinds, "-q", "f16", "-q", "q4_k_m", *FEW, "--json")
    assert again.code == 0, again.err
    assert "everything is verified already" in again.err
    assert json.loads(again.out)["verified"] == verified
    more = minirl("export", "real", "--to", "gguf", "-q", "q8_0", *FEW)
    assert more.code == 0, more.err
    assert "verifying real-q8_0.gguf against" in more.err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert set(read_json(export / "verify.json")["files"]) == files | {"real-q8_0.gguf"}


def test_a_file_that_fails_ends_the_command_with_1(
    minirl: Any, export: Path, converter: Path
) -> None:
    assert minirl("export", "real", *FEW).code == 0
    file = export / "real-lora.gguf"
    whole = bytearray(file.read_bytes())
    whole[-4000:] = b"\x3f" * 4000  # the end of the last matrix
    file.write_bytes(whole)  # of the same size, after it has passed
    ended = minirl("export", "real", *FEW)
    assert ended.code == 1
    assert "real-lora.gguf: tensor blk.1." in ended.err
    assert "do not use it" in ended.err
    assert not read_json(export / "verify.json")["files"]["real-lora.gguf"]["passed"]
    # Failed files are verified again, and --force writes them anew.
    assert minirl("export", "real", *FEW).code == 1
    assert minirl("export", "real", *FEW, "--force").code == 0


def test_files_of_others_are_checked(minirl: Any, export: Path, converter: Path) -> None:
    """What was made elsewhere is recognised by what it says of itself."""
    words = ("--to", "merged", "--to", "gguf-lora", "--to", "gguf", "-q", "q4_k_m", "--no-verify")
    assert minirl("export", "real", *words).code == 0
    elsewhere = export.parent.parent / "elsewhere"
    export.rename(elsewhere)
    files = [elsewhere / name for name in ("merged", "real-lora.gguf", "real-q4_k_m.gguf")]
    shown = [word for file in files for word in ("--check", str(file))]
    ended = minirl("export", "real", *shown, *FEW, "--json")
    assert ended.code == 0, ended.err
    records = json.loads(ended.out)["verified"]["files"]
    assert [(r["kind"], r["format"]) for r in records.values()] == [
        ("merged", "f32"),
        ("gguf-lora", "f32"),
        ("gguf", "q4_k_m"),
    ]
    assert list(records) == [str(file) for file in files]
    assert names(export) == set()

    base = elsewhere / "real-q4_k_m.gguf"  # base and adapter: the adapter would count twice
    ended = minirl("export", "real", *shown[2:4], "--base", str(base), *FEW)
    assert ended.code == 1
    assert "real-lora.gguf: the likeliest token is the same at" in ended.err
    assert "FAILED" in ended.out

    files[2].write_bytes(files[2].read_bytes()[:5000])
    ended = minirl("export", "real", *shown[4:], *FEW)
    assert ended.code == 1
    assert "cut short" in ended.err
    assert minirl("export", "real", "--check", "nothing.gguf").code == 1
    assert "--base is for --check" in minirl("export", "real", "--base", str(base)).err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--to", "gguff"), "did you mean gguf"),
        (("-q", "q4_k_n"), "did you mean q4_k"),
        (("--to", "adapter", "-q", "f16"), "--to gguf"),
        (("--merge-into", "originals"), "did you mean original"),
        (("--to", "merged", "--dtype", "bf61"), "did you mean bf16"),
        (("--to", "adapter", "--ollama"), "--ollama needs a GGUF"),
        (("--to", "gguf", "--unsloth"), "needs the model on Unsloth"),
    ],
)
def test_wrong_words_end_with_2(
    minirl: Any, export: Path, words: tuple[str, ...], told: str
) -> None:
    ended = minirl("export", "real", *words, "--no-verify")
    assert ended.code == 2
    assert told in ended.err


def test_a_run_without_an_adapter(minirl: Any, export: Path) -> None:
    shutil.rmtree(export.parent / "adapter")
    ended = minirl("export", "real")
    assert ended.code == 1
    assert "has no adapter yet" in ended.err


def test_without_the_converter_the_rest_is_written(
    minirl: Any, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minirl.export import converter

    def absent() -> Path:
        raise MissingExtraError("no converter", fix="minirl models pull gguf-converter")

    monkeypatch.setattr(converter, "find_converter", absent)
    ended = minirl("export", "real", "--to", "adapter", "--to", "gguf", "-q", "f16", "--no-verify")
    assert ended.code == 1
    assert "no converter" in ended.err
    assert "written all the same" in ended.err
    assert "adapter" in ended.err
    assert "minirl models pull gguf-converter" in ended.err
    assert names(export) == {"adapter", "export.json", "README.md"}


def test_without_llama_cpp_it_is_written_and_said(
    minirl: Any, export: Path, converter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import minirl.export.llama.backends as backends

    monkeypatch.setattr(backends, "is_installed", lambda _: False)
    ended = minirl("export", "real", "--to", "gguf", "-q", "f16")
    assert ended.code == 1
    assert "llama.cpp is not installed" in ended.err
    assert '".[gguf]"' in ended.err
    assert {"real-f16.gguf", "export.json"} <= names(export)
    assert not (export / "verify.json").exists()
    # Nobody asked for a verification: then it is no failure.
    assert minirl("export", "real", "--to", "gguf", "-q", "f16", "--no-verify").code == 0


def test_exports_of_another_adapter_are_not_mixed(
    minirl: Any, export: Path, converter: Path
) -> None:
    assert minirl("export", "real", "--to", "adapter", "--no-verify").code == 0
    weights = export.parent / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    ended = minirl("export", "real", "--to", "adapter", "--no-verify")
    assert ended.code == 1
    assert "exported of another adapter" in ended.err
    assert minirl("export", "real", "--to", "adapter", "--no-verify", "--force").code == 0


def test_a_full_disk_leaves_no_part_of_a_file(
    minirl: Any, export: Path, converter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    import minirl.export.files as files

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", full)
        ended = minirl("export", "real", "--to", "merged", "--no-verify")
    assert ended.code == 1
    assert "no space left" in ended.err
    assert "--out DIR" in ended.err
    assert names(export) == {"export.json"}
    assert read_json(export / "export.json")["files"] == {}
    assert minirl("export", "real", "--to", "merged", "--no-verify").code == 0


def test_what_is_there_is_not_overwritten(minirl: Any, export: Path, converter: Path) -> None:
    export.mkdir()
    file = export / "real-lora.gguf"
    file.write_text("mine")
    ended = minirl("export", "real", "--no-verify")
    assert ended.code == 1
    assert "did not write it" in ended.err
    assert file.read_text() == "mine"
    assert minirl("export", "real", "--no-verify", "--force").code == 0

    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    ended = minirl("export", "real", "--no-verify")
    assert ended.code == 1
    assert "is not as it was written" in ended.err
    assert len(file.read_bytes()) == len(whole) - 10
    file.write_bytes(whole)
    ended = minirl("export", "real", "--no-verify", "--merge-into", "dequantized")
    assert ended.code == 1
    assert "written with other options" in ended.err


def test_a_write_that_was_cut_short_is_taken_up(
    minirl: Any, export: Path, converter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the file was whole, before export.json said so."""
    import minirl.export.exporter as module

    def killed(_: Path) -> str:
        raise KeyboardInterrupt

    assert minirl("export", "real", "--to", "adapter", "--no-verify").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(module, "size", killed)
        assert minirl("export", "real", "--to", "merged", "--no-verify").code == 130
    assert (export / "merged").exists()
    assert "merged" not in read_json(export / "export.json")["files"]
    assert minirl("export", "real", "--to", "merged", "--no-verify").code == 0
    assert read_json(export / "export.json")["begun"] == []


def test_ctrl_c_keeps_what_is_whole(
    minirl: Any, export: Path, converter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import minirl.export.exporter as module

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.Exporter, "_merged", stop)
        ended = minirl("export", "real", "--to", "adapter", "--to", "merged", "--no-verify")
    assert ended.code == 130
    assert "the same command goes on" in ended.err
    assert names(export) == {"adapter", "export.json"}
    ended = minirl("export", "real", "--to", "adapter", "--to", "merged", "--no-verify")
    assert "adapter is there already" in ended.err
    assert {"adapter", "merged"} <= names(export)
