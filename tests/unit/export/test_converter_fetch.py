"""Fetching the converter: the right files, or an error that helps and no rubbish."""

import hashlib
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from minirl.errors import MissingExtraError, ModelError
from minirl.export import converter, converter_fetch
from minirl.export.converter_fetch import ARCHIVE, NAME, SOURCE, ConverterSource, fetch_converter

TOP = f"llama_cpp_python-{SOURCE.version}"
TREE = f"{TOP}/vendor/llama.cpp"
WHOLE = {
    "conversion/__init__.py": "from .base import BASE\n",
    "conversion/base.py": "BASE = 'base'\n",
    "convert_hf_to_gguf.py": "",
    "gguf-py/gguf/__init__.py": "KIND = 'its own'\n",
    "LICENSE": "MIT",
}
STRANGE = {
    "conversion/../../../escape.py": "",
    "conversion/nested/deep.py": "",
    "src/llama.cpp": "int main() {}",
    "gguf-py/setup.py": "raise SystemExit('run')",
}


def archive_bytes(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:

        def add(name: str, content: str) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))

        backend = 'requires = ["scikit-build-core"]\nbuild-backend = "scikit_build_core.build"\n'
        add(f"{TOP}/pyproject.toml", f"[build-system]\n{backend}")
        metadata = f"Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: {SOURCE.version}\n"
        add(f"{TOP}/PKG-INFO", metadata)
        for name, content in files.items():
            add(f"{TREE}/{name}", content)
        link = tarfile.TarInfo(f"{TREE}/conversion/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return out.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINIRL_OFFLINE", raising=False)
    monkeypatch.delenv(converter.CHECKOUT, raising=False)
    return tmp_path / "cache"


def expect(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(data).hexdigest()
    known = ConverterSource(SOURCE.name, SOURCE.version, digest)
    monkeypatch.setattr(converter_fetch, "SOURCE", known)


def fetch(data: bytes) -> Path:
    def download(source: ConverterSource, into: Path) -> Path:
        path = into / source.archive
        path.write_bytes(data)
        return path

    return fetch_converter(download=download)


def test_only_the_converter_is_kept_and_can_be_imported(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive_bytes(WHOLE | STRANGE)
    expect(data, monkeypatch)
    path = fetch(data)
    assert sorted(p.name for p in path.iterdir()) == ["LICENSE", ARCHIVE, "manifest.json"]
    with zipfile.ZipFile(path / ARCHIVE) as kept:
        assert set(kept.namelist()) == set(WHOLE)
    assert json.loads((path / "manifest.json").read_text())["source"]["version"] == SOURCE.version
    assert converter.find_converter() == path / ARCHIVE
    code = "import sys; z = sys.argv[1]; sys.path[:0] = [z + '/gguf-py', z]\n"
    code += "import conversion, gguf; print(conversion.BASE, gguf.KIND)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path / ARCHIVE)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "base its own\n"


def test_another_archive_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(archive_bytes(WHOLE), monkeypatch)
    with pytest.raises(ModelError, match="is not what minirl knows"):
        fetch(archive_bytes(WHOLE | {"LICENSE": "AGPL"}))
    assert [p.name for p in cache.iterdir()] == [f".{NAME}.lock"]


def test_an_archive_without_a_converter_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive_bytes({k: v for k, v in WHOLE.items() if k != "LICENSE"})
    expect(data, monkeypatch)
    with pytest.raises(ModelError, match="LICENSE"):
        fetch(data)
    garbage = b"no archive"
    expect(garbage, monkeypatch)
    with pytest.raises(ModelError, match=r"a tar\.gz archive"):
        fetch(garbage)
    assert not (cache / NAME).exists()


def test_a_cached_converter_that_was_changed_is_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = archive_bytes(WHOLE)
    expect(data, monkeypatch)
    kept = fetch(data) / ARCHIVE
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="minirl models pull gguf-converter --force"):
        converter.find_converter()


def test_offline_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIRL_OFFLINE", "1")
    with pytest.raises(ModelError, match="MINIRL_GGUF_CONVERTER=DIR"):
        fetch_converter()
    with pytest.raises(MissingExtraError):
        converter.find_converter()


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this Python has no pip")
def test_pip_fetches_it_without_a_build_and_checks_the_hash(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip itself, with a directory as its index: no build backend is installed or asked."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    data = archive_bytes(WHOLE)
    (shelf / SOURCE.archive).write_bytes(data)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    expect(data, monkeypatch)
    assert sorted(p.name for p in fetch_converter().iterdir())[1] == ARCHIVE

    expect(data + b"!", monkeypatch)
    with pytest.raises(ModelError, match="is not what minirl knows"):
        fetch_converter(force=True)
    (shelf / SOURCE.archive).unlink()
    with pytest.raises(ModelError, match="could not download llama-cpp-python"):
        fetch_converter(force=True)
    assert converter.find_converter() == cache / NAME / ARCHIVE  # what was whole still is
