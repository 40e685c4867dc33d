"""The run directory: the interface between the steps. Whole files appear by rename, JSONL grows by
lines.

::

    runs/NAME/
      recipe.toml  config.json  environment.json
      train/{metrics.jsonl, rollouts.jsonl, checkpoints/step-N/}  adapter/
      eval.json  samples.jsonl
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from minirl.errors import DiskFullError, RunDirError
from minirl.types import json_line

MARKER = "config.json"  # a directory without it is not a run of ours, and is never cleared


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, or a directory that cannot be written, into an error that names the way
    out.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, RunDirError):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"no space left on the disk while writing {path}",
                fix="free some space, then go on with --resume; what was whole is still whole",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunDirError(
                f"cannot write {path}: {error.strerror}", fix="choose another place with --runs DIR"
            ) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write a whole file under a temporary name, flush it to the disk, then rename it into
    place.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_jsonl(path: Path, records: list[Mapping[str, Any]]) -> None:
    """Append records, a line each, as one write; a torn last line of a killed writer is removed
    first.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as out:
            _drop_torn_line(out)
            before = out.seek(0, os.SEEK_END)
            try:
                out.write("".join(json_line(r) + "\n" for r in records).encode())
                out.flush()
            except OSError:
                out.truncate(before)
                raise


def _drop_torn_line(out: Any) -> None:
    """Cut the bytes after the last newline, reading backwards in blocks."""
    end = position = out.seek(0, os.SEEK_END)
    while position:
        start = max(0, position - 65536)
        out.seek(start)
        newline = out.read(position - start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position != end:
        out.truncate(position)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read whole lines; a torn last line is left out.

    Raises:
        RunDirError: a line before the last is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(
        lines[:-1], start=1
    ):  # what follows the last newline is torn, or empty
        try:
            records.append(json.loads(line))
        except ValueError:
            raise RunDirError(
                f"{path}, line {number} is damaged",
                fix="restore the file, or start anew with --force",
            ) from None
    return records


def keep_steps(path: Path, last: int) -> None:
    """Rewrite a JSONL file without the records of steps after ``last`` (what ``--resume`` will
    repeat).
    """
    if path.exists():
        kept = [r for r in read_jsonl(path) if r["step"] <= last]
        write_text(path, "".join(json_line(r) + "\n" for r in kept))


class RunDir:
    """One run's directory, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config(self) -> Path:
        return self.path / MARKER

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.path / "train" / "metrics.jsonl"

    @property
    def rollouts(self) -> Path:
        return self.path / "train" / "rollouts.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "train" / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def eval(self) -> Path:
        return self.path / "eval.json"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def exists(self) -> bool:
        return self.config.exists()

    @property
    def trained(self) -> bool:
        """Whether training has finished: the adapter is written last."""
        return (self.adapter / "adapter_config.json").exists()

    @classmethod
    def create(
        cls, path: Path, *, recipe_toml: str, config: Mapping[str, Any], force: bool
    ) -> RunDir:
        """Start a new run. An existing directory is in the way unless ``force``, which removes an
        old run.

        Raises:
            RunDirError: something is in the way, or (with ``force``) it is not a run of ours.
        """
        run = cls(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            if not force:
                raise RunDirError(
                    f"{path} exists already",
                    fix="--resume goes on with it, --force starts it anew (what is there is lost), "
                    "--name OTHER starts another",
                )
            if not run.exists:
                raise RunDirError(
                    f"{path} is not a run directory (no {MARKER} in it), so --force leaves it",
                    fix="remove it yourself, or choose another --name",
                )
            with run.locked():
                # Renamed first: a removal that is cut short leaves no half of a run under the name.
                doomed = path.with_name(f".{path.name}.removed")
                shutil.rmtree(doomed, ignore_errors=True)
                path.rename(doomed)
            shutil.rmtree(doomed)
        write_text(path / "recipe.toml", recipe_toml)
        write_json(run.config, config)  # last: it marks the directory as a run
        return run

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """An existing run.

        Raises:
            RunDirError: there is none; the message lists its neighbours.
        """
        run = cls(path)
        if not run.exists:
            parent = path.parent
            near = (
                sorted(p.parent.name for p in parent.glob(f"*/{MARKER}")) if parent.is_dir() else []
            )
            raise RunDirError(
                f"no run at {path}",
                got=f"runs there: {', '.join(near)}" if near else None,
                fix="minirl run RECIPE makes one",
            )
        return run

    def read_config(self) -> dict[str, Any]:
        return dict(json.loads(self.config.read_text(encoding="utf-8")))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run: a second process that wants it gets a clear error. The lock dies with its
        process.
        """
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RunDirError(
                f"another minirl process is working in {self.path}",
                fix="wait for it, stop it, or use another --name",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def checkpoint_steps(self) -> list[int]:
        """The steps of the whole checkpoints, ascending."""
        found = [p.name.removeprefix("step-") for p in self.checkpoints.glob("step-*")]
        return sorted(int(n) for n in found if n.isdigit())

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step}"
