"""Which llama.cpp this machine has; standard library only."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Literal, get_args

from minirl.errors import ConfigError, MissingExtraError

Backend = Literal["xllamacpp", "llama-server", "llama_cpp"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
VARIABLE = "MINIRL_LLAMA"


def find_backend() -> Backend:
    """The first of :data:`BACKENDS` that is installed, or the one that ``MINIRL_LLAMA`` names.

    Raises:
        MissingExtraError: none is installed, or not the named one.
        ConfigError: ``MINIRL_LLAMA`` names something else.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        for backend in BACKENDS:
            if is_installed(backend):
                return backend
        raise MissingExtraError("llama.cpp is not installed", fix=_install())
    for backend in BACKENDS:
        if backend == named:
            if is_installed(backend):
                return backend
            raise MissingExtraError(
                f"{VARIABLE} asks for {named}, which is not installed",
                fix=f"{_install()}, and unset {VARIABLE}",
            )
    raise ConfigError(
        f"{VARIABLE} names no way to run llama.cpp",
        expected=", ".join(BACKENDS),
        got=named,
    )


def _install() -> str:
    from minirl.models.supported import install_command

    return install_command("xllamacpp", extra="gguf")


def is_installed(backend: Backend) -> bool:
    """Whether the package or the program is there; nothing of it is loaded."""
    if backend == "llama-server":
        return shutil.which(backend) is not None
    return importlib.util.find_spec(backend) is not None
