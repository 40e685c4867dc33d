"""The model cache: a model is whole or not there, for it is built aside and renamed into place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from minirl.errors import DiskFullError, ModelError
from minirl.rundir import disk_errors

MANIFEST = "manifest.json"
_FULL = "free some space, or keep models elsewhere: MINIRL_CACHE=DIR minirl ..."
_ELSEWHERE = "choose a directory that you may write: MINIRL_CACHE=DIR minirl ..."
Progress = Callable[[str], None]


def cache_dir() -> Path:
    """``$MINIRL_CACHE``, else ``$XDG_CACHE_HOME/minirl``, else ``~/.cache/minirl``."""
    if own := os.environ.get("MINIRL_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "minirl"


def silent(_: str) -> None:
    """A progress callback that tells nobody."""


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install(
    name: str,
    build: Callable[[Path, Path], Mapping[str, Any]],
    *,
    needed_bytes: int,
    force: bool = False,
    progress: Progress = silent,
) -> Path:
    """Build model ``name`` beside its place in the cache, then rename it there.

    One process at a time does so; the others wait and find it done.

    Args:
        build: called with an empty directory for the model's files and one for scraps; answers
            with where the model came from, for the manifest.
        needed_bytes: the most that ``build`` occupies at once.
        force: replace what is there.

    Raises:
        DiskFullError: the disk has not, or runs out of, ``needed_bytes``.
        ModelError: the cache cannot be written, or ``build`` failed.
    """
    final = cache_dir() / name
    needs = f"about {needed_bytes / 1e6:.0f} MB ({needed_bytes} bytes) while it is built"
    with (
        disk_errors(final, kind=ModelError, full=_FULL, elsewhere=_ELSEWHERE, needs=needs),
        _locked(name, progress),
    ):
        if final.exists() and not force:
            return final  # another process built it while we waited
        for rubbish in final.parent.glob(f".{name}.tmp-*"):
            shutil.rmtree(rubbish)  # of a process killed outright: we hold the lock
        free = shutil.disk_usage(final.parent).free
        if free < needed_bytes:
            raise DiskFullError(
                f"no space left on the disk for {final}",
                expected=needs,
                got=f"{free / 1e6:.0f} MB free",
                fix=_FULL,
            )
        aside = Path(tempfile.mkdtemp(prefix=f".{name}.tmp-", dir=final.parent))
        try:
            model, scraps = aside / "model", aside / "scraps"
            model.mkdir()
            scraps.mkdir()
            _write_manifest(model, name, build(model, scraps))
            if final.exists():
                final.replace(aside / "old")
            model.replace(final)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return final


def _write_manifest(model: Path, name: str, source: Mapping[str, Any]) -> None:
    files = {}
    for path in sorted(model.iterdir()):
        path.chmod(0o644)  # safetensors writes 0600: a cache may be shared
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    manifest = {"name": name, "source": dict(source), "versions": _versions(), "files": files}
    (model / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    for path in model.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())  # the rename must not reach the disk before the bytes


def verify(model: Path, name: str) -> dict[str, Any]:
    """Check every file of a cached model against its manifest, sizes first; return the manifest.

    Raises:
        ModelError: something is missing or changed. It is never fetched again silently: that
            would hide a failing disk, or someone's edit.
    """
    try:
        manifest: dict[str, Any] = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
        listed = {
            str(file): (int(entry["bytes"]), str(entry["sha256"]))
            for file, entry in manifest["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _corrupt(name, model / MANIFEST, "a readable manifest", repr(error)) from None
    for file, (size, _) in listed.items():
        path = model / file
        got = path.stat().st_size if path.is_file() else None
        if got != size:
            came = "no such file" if got is None else f"{got} bytes"
            raise _corrupt(name, path, f"{size} bytes", came)
    for file, (_, digest) in listed.items():
        if (came := sha256(model / file)) != digest:
            raise _corrupt(name, model / file, f"SHA-256 {digest}", came)
    return manifest


def _corrupt(name: str, path: Path, expected: str, got: str) -> ModelError:
    return ModelError(
        f"the cached model {name} is corrupt: {path}",
        expected=expected,
        got=got,
        fix=f"minirl models pull {name} --force",
    )


@contextlib.contextmanager
def _locked(name: str, progress: Progress) -> Iterator[None]:
    """Hold the right to build ``name``. The lock dies with its process; its empty file stays."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"another minirl process is making {name}; waiting for it")
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()


def _versions() -> dict[str, str]:
    found = {}
    for package in ("minirl", "torch", "transformers", "tokenizers", "gguf"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
