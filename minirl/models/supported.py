"""The versions that minirl is tested with, what is installed instead, and how to mend that.

``constraints.txt`` is the one place where they stand: at the top of a source checkout, and inside
the installed package.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from minirl.errors import ModelError

# These reach into each other's internals: unsloth rewrites classes of trl, transformers and peft,
# and trl those of the other two. Another version of one of them has to be tested first.
STRICT = ("unsloth", "unsloth_zoo", "trl", "transformers", "peft")
# These keep their interface within a minor version, so that only a different one is told.
LOOSE = ("torch", "accelerate", "datasets", "bitsandbytes", "torchvision")
OPTIONAL = frozenset({"unsloth", "unsloth_zoo", "bitsandbytes", "torchvision"})
# vLLM is installed beside the rest and not with it, for it wants an older numpy (and, from Python
# 3.12 on, setuptools) than the constraints. 0.31.0 asks for torch==2.13.0 and transformers<5.18.
BESIDE = {"vllm": "0.31.0"}

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([\w.+!-]+)", re.ASCII)


class HasPackages(Protocol):
    """What :func:`mismatches` needs to know of a machine."""

    @property
    def packages(self) -> Mapping[str, str | None]: ...


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A package whose installed version is not the supported one.

    Attributes:
        package: its name, in lower case with underscores.
        wanted: the version in constraints.txt.
        installed: the version here; None where a package that minirl cannot do without is missing.
        strict: whether another version must not be used together with the rest.
    """

    package: str
    wanted: str
    installed: str | None
    strict: bool

    def __str__(self) -> str:
        if self.installed is None:
            return f"{self.package} is not installed (supported: {self.wanted})"
        return f"{self.package} is {self.installed} (supported: {self.wanted})"


def checkout() -> Path | None:
    """The top of the source checkout that this package is imported from, if it is one."""
    top = Path(__file__).resolve().parents[2]
    return (
        top if (top / "constraints.txt").is_file() and (top / "pyproject.toml").is_file() else None
    )


@functools.cache
def supported_versions() -> dict[str, str]:
    """Package (lower case, underscores) -> the exact version that minirl is tested with.

    Raises:
        ModelError: the list is missing, so the installation is not whole.
    """
    here = Path(__file__).resolve().parents[1]
    for path in (here / "constraints.txt", here.parent / "constraints.txt"):
        if path.is_file():
            return parse_pins(path.read_text(encoding="utf-8"))
    raise ModelError(
        "minirl's list of supported versions is missing",
        expected=f"constraints.txt in {here}, or beside it in a source checkout",
        fix="install minirl again: in its source checkout, pip install -c constraints.txt .",
    )


def parse_pins(text: str) -> dict[str, str]:
    """The ``name==version`` lines of a constraints file."""
    found = (_PIN.match(line.strip()) for line in text.splitlines())
    return {canonical(pin[1]): pin[2] for pin in found if pin}


def canonical(name: str) -> str:
    """A package's name in the one spelling that this module uses."""
    return re.sub(r"[-_.]+", "_", name).lower()


def mismatches(machine: HasPackages) -> list[Mismatch]:
    """Installed packages that differ from the supported ones, the strict ones first.

    Local tags (``2.13.0+cu128``) do not count. An optional package that is not installed is no
    mismatch. A version of :data:`LOOSE` differs from the first two numbers on.
    """
    wanted = supported_versions()
    found = []
    for package in (*STRICT, *LOOSE):
        strict, pin = package in STRICT, wanted.get(package)
        installed = machine.packages.get(package)
        if pin is None or (installed is None and package in OPTIONAL):
            continue
        digits = None if strict else 2
        if installed is None or _numbers(installed)[:digits] != _numbers(pin)[:digits]:
            found.append(Mismatch(package, pin, installed, strict))
    return found


def _numbers(version: str) -> list[str]:
    return version.partition("+")[0].split(".")


def pins(*packages: str) -> str:
    """``a==1 b==2``: requirements with their supported versions, for a pip command."""
    wanted = {**BESIDE, **supported_versions()}
    return " ".join(f"{p}=={wanted[p]}" if p in wanted else p for p in packages)


def install_command(*packages: str, extra: str | None = None) -> str:
    """The pip command that installs ``packages`` in their supported versions.

    In a source checkout ``extra`` names minirl's own extra that brings them. Elsewhere each package
    is named: minirl on PyPI is another project, so that no command may ask for ``minirl[...]``.
    """
    if checkout() and extra:
        return f'pip install -c constraints.txt -e ".[{extra}]"'
    return f"pip install {pins(*packages)}"


def together(*packages: str) -> str:
    """Requirements for packages that must not move the strict ones, nor torch, while they come."""
    return pins(*packages, "torch", *(p for p in STRICT if p not in packages))


def install_unsloth() -> str:
    """The command that installs unsloth with everything that has to fit it."""
    return install_command(*STRICT, "torch", "torchvision", "bitsandbytes", extra="cuda")
