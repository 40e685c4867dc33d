"""What was run, as lines of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = list[tuple[str, str]]


def facts(config: Mapping[str, Any], machine: Mapping[str, Any], parts: Mapping[str, Any]) -> Facts:
    """(label, text) pairs; what nobody recorded is left out."""
    model, env, train = (_of(config, key) for key in ("model", "env", "train"))
    sampling, stream = _of(config, "sampling"), _of(config, "stream")
    probe = parts.get("probe") or {}
    rows = [
        ("Model", _joined(model.get("name") or probe.get("model"), _adapter(model))),
        ("Environment", _joined(machine.get("env") or env.get("name") or probe.get("env"))),
        ("Training", _training(train, stream)),
        ("Sampling", _sampling(sampling)),
        ("Loss", _loss(train)),
        ("Seed", _joined(machine.get("seed", config.get("seed")))),
        ("Machine", _machine(machine)),
        ("Runs on", _joined(machine.get("backend"), machine.get("engine"), machine.get("dtype"))),
        ("Settled here", ", ".join(f"{k} = {v}" for k, v in _of(machine, "settled").items())),
        ("Versions", ", ".join(f"{k} {v}" for k, v in _of(machine, "versions").items())),
        ("Python", _joined(machine.get("python"))),
        ("Source", _joined(machine.get("git"))),
    ]
    return [(label, text) for label, text in rows if text]


def _training(train: Mapping[str, Any], stream: Mapping[str, Any]) -> str:
    if not train:
        return ""
    tasks = stream.get("strategy")
    return (
        f"{train.get('steps')} steps of {train.get('prompts_per_step')} tasks × "
        f"{train.get('group_size')} rollouts" + (f", {tasks} task stream" if tasks else "")
    )


def _loss(train: Mapping[str, Any]) -> str:
    if not train.get("loss_type"):
        return ""
    rate, schedule = train.get("learning_rate"), train.get("schedule")
    return (
        f"{train['loss_type']}, rewards scaled by {train.get('scale_rewards')}, β = "
        f"{train.get('beta')}, learning rate {rate} ({schedule})"
    )


def _sampling(sampling: Mapping[str, Any]) -> str:
    if not sampling:
        return ""
    return (
        f"T = {sampling.get('temperature')}, top_p = {sampling.get('top_p')}, "
        f"at most {sampling.get('max_tokens')} tokens a turn"
    )


def _adapter(model: Mapping[str, Any]) -> str | None:
    rank = model.get("lora_r")
    bits = " on 4-bit weights" if model.get("load_in_4bit") else ""
    return f"LoRA r = {rank}, α = {model.get('lora_alpha')}{bits}" if rank else None


def _machine(machine: Mapping[str, Any]) -> str:
    cores = machine.get("cpu_count")
    return _joined(
        machine.get("gpu") or machine.get("device"),
        f"{cores} CPU cores" if cores else None,
        machine.get("platform"),
    )


def _of(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _joined(*words: Any) -> str:
    return ", ".join(str(w) for w in words if w is not None and w != "")
