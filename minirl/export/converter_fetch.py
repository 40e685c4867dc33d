"""Get llama.cpp's converter out of a source distribution, of which nothing is compiled or run.

``llama-cpp-python`` vendors the whole tree of llama.cpp (MIT). Of its source distribution (77 MB)
only the converter, its ``gguf-py`` and the licence are kept (2 MB): in one zip file, so that the
cache's manifest covers it with one checksum, and Python can import from it as it is.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minirl.errors import ModelError
from minirl.models import store
from minirl.models.fetch import offline

NAME = "gguf-converter"
ARCHIVE = "converter.zip"
PULL = f"minirl models pull {NAME}"
NEEDED_BYTES = 330_000_000  # the archive, and what pip unpacks of it, at once

_KEPT = re.compile(r"(conversion/\w+\.py|convert_hf_to_gguf\.py|gguf-py/gguf/\w+\.py|LICENSE)")
_LARGEST_MEMBER = 4_000_000
_ANY_DAY = (1980, 1, 1, 0, 0, 0)  # the same members give the same zip


@dataclass(frozen=True, slots=True)
class ConverterSource:
    """Which source distribution, and how to know that it is the right one."""

    name: str
    version: str
    sha256: str

    @property
    def archive(self) -> str:
        return f"{self.name}-{self.version}.tar.gz"

    @property
    def requirement(self) -> str:
        return f"{self.name.replace('_', '-')}=={self.version}"


SOURCE = ConverterSource(
    name="llama_cpp_python",
    version="0.3.36",
    sha256="832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
)

Download = Callable[[ConverterSource, Path], Path]


def fetch_converter(
    *,
    force: bool = False,
    progress: store.Progress = store.silent,
    download: Download | None = None,
) -> Path:
    """Put the converter into the model cache and return its directory.

    Args:
        force: fetch it anew, in the place of what is cached.
        download: called with the source and a directory; answers with the archive.

    Raises:
        ModelError: no package index in reach, or what came is not the archive named here.
        DiskFullError: about a third of a gigabyte is needed for the moment.
    """

    def build(into: Path, scraps: Path) -> Mapping[str, Any]:
        progress(f"fetching llama.cpp's converter ({SOURCE.requirement}, 77 MB, once)")
        archive = (download or choose_client())(SOURCE, scraps)
        if not archive.is_file():
            raise _wrong(SOURCE, archive.name, "no such file")
        if (got := store.sha256(archive)) != SOURCE.sha256:
            raise _wrong(SOURCE, f"{archive.name} with SHA-256 {SOURCE.sha256}", got)
        repack(archive, into)
        return asdict(SOURCE)

    path = store.install(NAME, build, needed_bytes=NEEDED_BYTES, force=force, progress=progress)
    store.verify(path, NAME)
    return path


def repack(archive: Path, into: Path) -> None:
    """Copy the converter's files, and no others, into one zip; the licence lies beside it too.

    Names are compared with what is expected and never used as paths.

    Raises:
        ModelError: it is no such archive.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = member.name.partition("/vendor/llama.cpp/")[2]
                if not (member.isreg() and _KEPT.fullmatch(name)):
                    continue
                content = tar.extractfile(member)
                if content is not None and member.size <= _LARGEST_MEMBER:
                    found[name] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _wrong(SOURCE, "a tar.gz archive", str(error)) from None
    needed = {"conversion/base.py", "gguf-py/gguf/__init__.py", "convert_hf_to_gguf.py", "LICENSE"}
    if missing := needed - found.keys():
        raise _wrong(SOURCE, f"a tree of llama.cpp with {', '.join(sorted(missing))}", "none")
    with zipfile.ZipFile(into / ARCHIVE, "w", zipfile.ZIP_DEFLATED) as out:
        for name in sorted(found):
            out.writestr(zipfile.ZipInfo(name, _ANY_DAY), found[name], zipfile.ZIP_DEFLATED)
    (into / "LICENSE").write_bytes(found["LICENSE"])


def choose_client() -> Download:
    """pip where this Python has it, else a pip that uv runs.

    Raises:
        ModelError: neither is there, or ``MINIRL_OFFLINE`` forbids both.
    """
    if offline():
        raise ModelError(
            "llama.cpp's converter is not in the cache, and MINIRL_OFFLINE is set",
            fix=f"unset MINIRL_OFFLINE once ({PULL}), or name a checkout of llama.cpp: "
            "MINIRL_GGUF_CONVERTER=DIR",
        )
    if importlib.util.find_spec("pip"):
        return lambda source, into: _download([sys.executable, "-m", "pip"], source, into)
    if shutil.which("uv"):
        # uv has no download of its own, and would compile.
        runner = ["uv", "tool", "run", "--from", "pip", "pip"]
        return lambda source, into: _download(runner, source, into)
    raise ModelError(
        "fetching llama.cpp's converter needs pip or uv, and this Python has neither",
        got=sys.executable,
        fix=f"{sys.executable} -m ensurepip",
    )


def _download(pip: list[str], source: ConverterSource, into: Path) -> Path:
    """The archive, by ``pip download``, which refuses it where its hash is another."""
    wanted = into / "requirements.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--no-binary=:all:", "--require-hashes", "--no-build-isolation"]
    command = [*pip, "--disable-pip-version-check", "download", *options, "--progress-bar=off"]
    # Without a network, pip's own five retries can take minutes; a number that is set is heeded.
    environment = {
        "PIP_RETRIES": "2",
        **os.environ,
        "TMPDIR": str(into),
        "PYTHONPATH": str(_answer_for_the_backend(source, into)),
    }
    done = subprocess.run(
        [*command, f"--dest={into}", f"--requirement={wanted}"],
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        check=False,
    )
    if done.returncode == 0:
        return into / source.archive
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit status {done.returncode}"
    if "No space left on device" in done.stdout + done.stderr:
        raise OSError(errno.ENOSPC, last)
    if "DO NOT MATCH THE HASHES" in done.stdout + done.stderr:
        raise _wrong(source, f"{source.archive} with SHA-256 {source.sha256}", "another file")
    raise ModelError(
        f"could not download {source.requirement} from the package index",
        expected="a network connection, this first time only",
        got=last,
        fix="connect and try again, or name a checkout of llama.cpp: MINIRL_GGUF_CONVERTER=DIR",
    )


def _answer_for_the_backend(source: ConverterSource, into: Path) -> Path:
    """A stand-in for the package's build backend, which only tells its name and version.

    pip asks the backend for metadata even where nothing is built. The real one would have to be
    installed for that, unverified, with cmake, and takes two minutes.
    """
    package = into / "backend" / "scikit_build_core"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    directory = f"{source.name}-{source.version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {source.name}\nVersion: {source.version}\n"
    (package / "build.py").write_text(
        "from pathlib import Path\n\n\n"
        "def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):\n"
        f"    made = Path(metadata_directory) / {directory!r}\n"
        "    made.mkdir()\n"
        f"    (made / 'METADATA').write_text({metadata!r})\n"
        "    return made.name\n",
        encoding="utf-8",
    )
    return package.parent


def _wrong(source: ConverterSource, expected: str, got: str) -> ModelError:
    return ModelError(
        f"what the package index sent for {source.requirement} is not what minirl knows",
        expected=expected,
        got=got,
        fix="try again; if it stays so, the file is damaged or altered on its way: do not use it",
    )
