"""The run directory: the interface between the steps. Whole files appear by rename, JSONL grows by
lines.

::

    runs/NAME/
      recipe.toml  config.json  environment.json
      probe.json  ladder.json
      train/{metrics.jsonl, rollouts.jsonl, checkpoints/step-N/}  adapter/
      eval.json  samples.jsonl  prove.json  prove/*.jsonl  report.html
      export/{export.json, verify.json, README.md, adapter/, merged/, *.gguf, Modelfile}
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

from minirl.errors import DiskFullError, MinirlError, RunDirError
from minirl.types import json_line

# A directory without both is not a run of ours, and is never cleared: model directories have a
# config.json, too.
MARKERS = ("recipe.toml", "config.json")

RUN_ELSEWHERE = "choose a place that can be written (for runs: --runs DIR)"
RUN_FULL = "free some space and try again (a run goes on with --resume); what was whole still is"


@contextlib.contextmanager
def disk_errors(
    path: Path,
    *,
    kind: type[MinirlError] = RunDirError,
    full: str = RUN_FULL,
    elsewhere: str = RUN_ELSEWHERE,
    needs: str | None = None,
) -> Iterator[None]:
    """Turn a full disk, or a place that cannot be written, into an error that names the way out.

    Args:
        path: what is being written.
        kind: the error for a place that cannot be written; a full disk is a DiskFullError.
        full: what to do about a full disk, and
        elsewhere: about a place that cannot be written.
        needs: how much space would have been enough, in words.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskFullError):
            raise
        if _disk_is_full(error):
            raise DiskFullError(
                f"no space left on the disk while writing {path}", expected=needs, fix=full
            ) from error
        if isinstance(error, MinirlError) or not isinstance(error, OSError) or not error.errno:
            raise
        at = f" ({error.filename})" if error.filename not in (None, str(path)) else ""
        raise kind(f"cannot write {path}: {error.strerror}{at}", fix=elsewhere) from error


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether ``error``, or what caused it, is a full disk. Writers in C say so in words only."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        words = str(error)  # inline_container.cc is torch's file writer; it tells no errno
        if "No space left on device" in words or "inline_container" in words:
            return True
        error = error.__cause__ or error.__context__
    return False


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
    """Append records, a line each, all or none; a torn last line of a killed writer is removed
    first.
    """
    left = memoryview("".join(json_line(r) + "\n" for r in records).encode())
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a buffer that cannot be written would be written again by truncate and close.
        with path.open("ab+", buffering=0) as out:
            _drop_torn_line(out)
            before = out.seek(0, os.SEEK_END)
            try:
                while left:
                    left = left[out.write(left) :]
            except BaseException:
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


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunDirError: the file is missing or damaged.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunDirError(f"{path} cannot be read: {error}", fix=_RESTORE) from None
    if not isinstance(value, dict):
        raise RunDirError(f"{path} is damaged", expected="a JSON object", fix=_RESTORE)
    return value


_RESTORE = "restore the file, or start anew with --force"


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read whole lines; a torn last line is left out.

    Raises:
        RunDirError: a line before the last is damaged.
    """
    if not path.exists():
        return []
    whole = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is torn, or empty
    records = []
    for number, line in enumerate(whole, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise RunDirError(f"{path}, line {number} is damaged", fix=_RESTORE)
        records.append(record)
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
        return self.path / "config.json"

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
    def probe(self) -> Path:
        return self.path / "probe.json"

    @property
    def probe_journal(self) -> Path:
        """What a probe in progress has played."""
        return self.path / "probe.partial.jsonl"

    @property
    def ladder(self) -> Path:
        return self.path / "ladder.json"

    @property
    def ladder_probes(self) -> Path:
        """A folder with the probe of each level."""
        return self.path / "ladder"

    @property
    def prove(self) -> Path:
        return self.path / "prove.json"

    @property
    def prove_samples(self) -> Path:
        """A folder with a JSONL file of rollouts for each policy and suite."""
        return self.path / "prove"

    @property
    def export(self) -> Path:
        """A folder with what was exported, unless `minirl export` was told of another place."""
        return self.path / "export"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def exists(self) -> bool:
        return all((self.path / name).is_file() for name in MARKERS)

    @property
    def begun(self) -> bool:
        """Whether training has been begun; a run that has only been probed has not."""
        return self.metrics.parent.exists() or self.adapter.exists()

    @property
    def trained(self) -> bool:
        """Whether training has finished: the adapter is written last."""
        return (self.adapter / "adapter_config.json").exists()

    def ensure_free(self, *, force: bool) -> None:
        """Check that a new run may take this place; changes nothing.

        Raises:
            RunDirError: something is in the way, or (with ``force``) it is not a run of ours.
        """
        path = self.path
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return
        if not self.exists:
            raise RunDirError(
                f"{path} is in the way, and it is not a run",
                expected=f"a free name, or a directory with {' and '.join(MARKERS)}",
                fix="choose another --name, or remove it yourself: minirl does not",
            )
        if not force:
            raise RunDirError(
                f"the run {path} exists already",
                fix="--resume goes on with it, --force starts it anew (what is there is lost), "
                "--name OTHER starts another",
            )

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        recipe_toml: str,
        config: Mapping[str, Any],
        force: bool,
        keep: bool = False,
    ) -> RunDir:
        """Start a new run; ``force`` removes an old one of the name. Nothing stays if it fails.

        Args:
            keep: take a run that has not been begun as it is, under another recipe.

        Raises:
            RunDirError: something is in the way, or (with ``force``) it is not a run of ours.
        """
        run = cls(path)
        keep = keep and run.exists and not run.begun
        if keep:
            write_text(path / "recipe.toml", recipe_toml)
            write_json(run.config, config)
            return run
        run.ensure_free(force=force)
        with disk_errors(path):
            if run.exists:
                # Renamed first: a removal that is cut short leaves no half of a run under the name.
                doomed = path.with_name(f".{path.name}.removed")
                shutil.rmtree(doomed, ignore_errors=True)
                path.rename(doomed)
                shutil.rmtree(doomed)
            path.mkdir(parents=True, exist_ok=True)
        try:
            write_text(path / "recipe.toml", recipe_toml)
            write_json(run.config, config)
        except BaseException:
            for name in MARKERS:
                (path / name).unlink(missing_ok=True)
            raise
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
                sorted(p.name for p in parent.iterdir() if cls(p).exists) if parent.is_dir() else []
            )
            raise RunDirError(
                f"no run at {path}",
                got=f"runs there: {', '.join(near)}" if near else None,
                fix="minirl run RECIPE makes one",
            )
        return run

    def read_config(self) -> dict[str, Any]:
        """The resolved recipe, as plain data."""
        return read_json(self.config)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's name: a second process that wants it gets a clear error. The lock dies
        with its process; its empty file stays, beside the run, so that it outlives ``--force``.
        """
        path = self.path.absolute()
        lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        with disk_errors(self.path):
            path.parent.mkdir(parents=True, exist_ok=True)
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
