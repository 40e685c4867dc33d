"""Models that are not ours: a directory on this machine, or an id of the hub. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

from minirl.errors import ModelError
from minirl.models.fetch import offline

HUB_TIMEOUT_S = 5.0


def check_local(path: Path) -> None:
    """Raise :class:`ModelError` where ``path`` does not hold a model that transformers can load."""
    has_weights = any(path.glob("*.safetensors")) or any(path.glob("*.bin"))
    if (path / "config.json").is_file() and has_weights:
        return
    got, fix = (
        f"{len(list(path.iterdir()))} other files",
        "name the directory that save_pretrained wrote",
    )
    if (adapter := path / "adapter_config.json").is_file():
        base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        got, fix = "a LoRA adapter", f"name the model that it was trained on: {base}"
    raise ModelError(
        f"{path} holds no model",
        expected="config.json and weights (*.safetensors)",
        got=got,
        fix=fix,
    )


def hub_location(name: str) -> str:
    """The hub id, or its cached snapshot where the network is forbidden.

    An unreachable hub is found out here, within seconds: transformers would try each file for
    minutes and then print several screens.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import RepositoryNotFoundError

    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str) and any(Path(cached).parent.glob("*.safetensors")):
        return str(Path(cached).parent) if offline() else name
    fix = "connect once, or name a model on this machine: --set model.name=PATH"
    if HF_HUB_OFFLINE or offline():
        variable = "MINIRL_OFFLINE" if offline() else "HF_HUB_OFFLINE"
        raise ModelError(
            f"{name} is not in the hub's cache, and {variable} is set", fix=f"unset it, {fix}"
        )
    try:
        HfApi().model_info(name, timeout=HUB_TIMEOUT_S)
    except RepositoryNotFoundError:
        raise ModelError(
            f"the hub has no model {name}, or it is private",
            fix="check its spelling; for a private or gated model: hf auth login",
        ) from None
    except (
        Exception
    ) as error:  # whatever the hub's HTTP client of the day raises: the cause is shown
        raise ModelError(
            f"{name} is not cached, and the model hub cannot be reached",
            got=f"{type(error).__name__}: {error}".splitlines()[0][:160],
            fix=fix,
        ) from None
    return name
