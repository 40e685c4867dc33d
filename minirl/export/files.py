"""Files that appear whole: written under a temporary name beside their place, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from minirl.rundir import disk_errors

FULL = "free some space, or write elsewhere (--out DIR); what was whole still is"
ELSEWHERE = "choose a directory that you may write: --out DIR"


@contextlib.contextmanager
def written(final: Path) -> Iterator[Path]:
    """A temporary path for a file, or a directory, that takes ``final``'s place if the block
    succeeds, and is removed if it does not.

    Raises:
        DiskFullError: no space is left.
        RunDirError: the place cannot be written.
    """
    temporary = final.with_name(f".{final.name}.tmp")
    with disk_errors(final, full=FULL, elsewhere=ELSEWHERE):
        final.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)  # of a process killed outright
        try:
            yield temporary
            _flush(temporary)
            if temporary.is_dir():
                remove(final)
            temporary.replace(final)
        except BaseException:
            remove(temporary)
            raise


def remove(path: Path) -> None:
    """A file or a directory, where it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Bring it to the disk before the rename gets there."""
    for file in [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a directory's files in order, in hex."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for inner in sorted(p for p in path.rglob("*") if p.is_file()):
        whole.update(f"{inner.relative_to(path).as_posix()} {digest(inner)}\n".encode())
    return whole.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of all of a directory's."""
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
