"""A recipe as typed data: TOML and ``--set a.b=c`` in, one validated :class:`Recipe` out. Imports
no torch.

The docstring under each field is its help: ``minirl recipes show NAME --explain`` prints it.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from minirl.errors import ConfigError, UnknownNameError

LossType = Literal["grpo", "dapo", "dr_grpo", "bnpo", "cispo"]
Tracker = Literal["trackio", "wandb", "tensorboard", "mlflow"]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )


class ModelConfig(_Section):
    name: str = "smollm2-135m"
    """A catalogue name (`minirl models ls`), a local directory, or a hub id."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Number format of the weights; `auto` measures what this machine multiplies fastest."""
    load_in_4bit: bool = False
    """Keep the base weights in NF4 (needs the extra `4bit`; works on a CPU too)."""
    lora_r: int = Field(16, ge=1, le=1024)
    """Rank of the LoRA adapter."""
    lora_alpha: int = Field(32, ge=1)
    """LoRA's alpha: the update is scaled by alpha / r."""
    lora_targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Which linear layers get an adapter: `all-linear`, or a list of module names such as
    `["q_proj"]`.
    """


class EnvSection(_Section):
    name: str
    """`NAME`, `NAME:LEVEL`, or a file and a class: `./my_env.py:MyEnv`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The environment's own options (`minirl envs show NAME` lists them)."""


class SamplingConfig(_Section):
    temperature: float = Field(1.0, ge=0.0, le=10.0)
    """Softmax temperature while training; 0 is greedy."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling; 1 is off."""
    top_k: int = Field(0, ge=0)
    """Keep the k likeliest tokens; 0 is off."""
    max_tokens: int = Field(64, ge=1)
    """Longest turn, in tokens; a longer one is cut off."""
    batch: int = Field(64, ge=1)
    """How many sequences are sampled at once; less needs less memory."""


class TrainConfig(_Section):
    steps: int = Field(30, ge=1)
    """Optimiser steps."""
    prompts_per_step: int = Field(4, ge=1)
    """Tasks (groups) in one step."""
    group_size: int = Field(8, ge=2)
    """G: rollouts of each task. At least 2, since a group's advantages compare its members."""
    micro_batch: int | None = Field(None, ge=1)
    """Rollouts per forward and backward pass; none means all of a step at once. Must divide
    prompts_per_step x group_size."""
    learning_rate: float = Field(5e-5, gt=0)
    """Peak learning rate of the adapter."""
    schedule: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "constant"
    """Learning-rate schedule."""
    warmup_steps: int = Field(0, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay on the adapter."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Clip the gradient's norm to this."""
    loss_type: LossType = "dr_grpo"
    """TRL's name of the loss."""
    scale_rewards: Literal["group", "batch", "none"] = "none"
    """Divide advantages by the standard deviation of the group, of the batch, or not at all."""
    beta: float = Field(0.0, ge=0)
    """Weight of the KL penalty against the base model."""
    epsilon: float = Field(0.2, gt=0)
    """Lower clipping bound of the probability ratio (matters only off-policy)."""
    epsilon_high: float | None = Field(None, gt=0)
    """Upper clipping bound; none means TRL's habit for the loss: .28 for dapo, 5 for cispo, else
    epsilon.
    """
    importance_sampling_level: Literal["token", "sequence"] = "token"
    """`sequence` with loss_type `grpo` is GSPO."""
    iterations: int = Field(1, ge=1)
    """Optimiser passes over each batch of rollouts (TRL's num_iterations)."""
    mask_truncated: bool = True
    """Leave rollouts that hit the token limit out of the loss."""
    shared_prefix: bool = True
    """Compute each distinct prompt once a micro-batch (the same gradient, less work). Off: TRL's
    own pass.
    """
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, slower; switches shared_prefix
    off.
    """
    save_every: int = Field(10, ge=1)
    """Write a checkpoint every so many steps (and at the end)."""
    keep_checkpoints: int = Field(2, ge=1)
    """How many checkpoints stay on disk."""
    report_to: tuple[Tracker, ...] = ()
    """TRL's trackers to report to besides metrics.jsonl."""


class StreamConfig(_Section):
    strategy: Literal["uniform", "curriculum"] = "uniform"
    """`uniform` takes train tasks in order; `curriculum` prefers those whose solved rate looks
    nearest 1/2.
    """
    pool: int = Field(256, ge=1)
    """How many tasks the curriculum chooses among."""
    resample_rounds: int = Field(1, ge=0)
    """How often groups without signal (all rewards equal) are replaced in one step; 0 keeps
    them.
    """


class EvalConfig(_Section):
    tasks: int = Field(200, ge=1)
    """Held-out tasks, the same ones for base and tuned."""
    samples: int = Field(1, ge=1)
    """Samples a task."""
    temperature: float = Field(1.0, ge=0.0, le=10.0)
    """Temperature of the evaluation; 0 is greedy."""


class Recipe(_Section):
    """One run, whole."""

    description: str = ""
    """What it trains, on what hardware, for how long, and what to expect."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seeds tasks, sampling and the adapter's start."""
    env: EnvSection
    model: ModelConfig = Field(default_factory=ModelConfig)
    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    stream: StreamConfig = Field(default_factory=StreamConfig)
    eval: EvalConfig = Field(default_factory=EvalConfig)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        rows = self.train.prompts_per_step * self.train.group_size
        micro = self.train.micro_batch
        if micro is not None and rows % micro:
            divisors = [d for d in range(1, rows + 1) if rows % d == 0]
            raise ValueError(
                f"train.micro_batch = {micro} does not divide a step's {rows} rollouts "
                f"(prompts_per_step {self.train.prompts_per_step} x "
                f"group_size {self.train.group_size}); use one of {', '.join(map(str, divisors))}"
            )
        if self.sampling.temperature == 0:
            raise ValueError(
                "sampling.temperature = 0 makes every rollout of a group the same, so nothing can "
                "be learned; use 1.0 (evaluation has its own eval.temperature)"
            )
        return self

    def to_toml(self) -> str:
        """The whole recipe, defaults included, as TOML that :func:`load_recipe` reads back."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a TOML recipe and apply ``--set`` overrides.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds a wrong key or value; the message
            names each of them, with a suggestion for mistyped keys.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no recipe at {path}", fix="minirl recipes ls") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", fix="mend that line") from None
    for override in overrides:
        apply_override(raw, override)
    return parse_recipe(raw, source=str(path))


def parse_recipe(raw: Mapping[str, Any], *, source: str) -> Recipe:
    """Validate a recipe given as plain data; ``source`` names it in errors."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise explain_validation_error(error, Recipe, source) from None


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Apply one ``a.b=value`` to nested plain data; the value is read as TOML, else as a string."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"cannot read the override {override!r}",
            expected="--set section.key=value",
            got=override,
        )
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    node: Any = raw
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"--set {override}: {part} is a value and not a section")
    node[parts[-1]] = value


def explain_validation_error(
    error: ValidationError, model: type[BaseModel], source: str
) -> ConfigError:
    """Turn pydantic's report into ours: every wrong key on a line, mistyped ones with a
    suggestion.
    """
    lines = []
    for item in error.errors(include_url=False):
        where = [
            str(part) for part in item["loc"] if not str(part).startswith(("literal", "tuple["))
        ]
        key = ".".join(where) or "recipe"
        if item["type"] == "extra_forbidden":
            known = _known_keys(model, where[:-1])
            close = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.6)
            elsewhere = [k for k in _all_keys(model) if k.rsplit(".", 1)[-1] == where[-1]]
            if close:
                hint = f"did you mean {'.'.join([*where[:-1], close[0]])!r}?"
            elif elsewhere:
                hint = f"did you mean {elsewhere[0]!r}?"
            else:
                hint = f"known here: {', '.join(known)}"
            lines.append(f"{key}: no such key; {hint}")
        elif item["type"] == "missing":
            lines.append(f"{key}: missing")
        elif item["type"] == "value_error":
            lines.append(str(item["ctx"]["error"]))
        else:
            lines.append(f"{key}: {item['msg']}, got {_short(item['input'])}")
    unique = list(dict.fromkeys(lines))
    return ConfigError(
        f"{source} cannot be used:\n" + "\n".join(f"  - {line}" for line in unique),
        fix="change the keys above in the file, or with --set section.key=value",
    )


def _short(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def _known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    node: type[BaseModel] | None = model
    for part in path:
        field = node.model_fields.get(part) if node else None
        node = _as_model(field.annotation) if field else None
    return list(node.model_fields) if node else []


def _all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        inner = _as_model(field.annotation)
        if inner:
            keys += _all_keys(inner, f"{prefix}{name}.")
    return keys


def _as_model(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def describe_fields(
    model: type[BaseModel] = Recipe, prefix: str = ""
) -> list[tuple[str, str, str]]:
    """(key, default, help) of every field, sections flattened; what ``recipes show --explain``
    prints.
    """
    rows = []
    for name, field in model.model_fields.items():
        inner = _as_model(field.annotation)
        if inner:
            rows += describe_fields(inner, f"{prefix}{name}.")
        else:
            default = (
                "required"
                if field.is_required()
                else repr(field.get_default(call_default_factory=True))
            )
            rows.append((prefix + name, default, " ".join((field.description or "").split())))
    return rows


def recipe_dirs() -> list[Path]:
    """Where shipped recipes lie: inside an installed package, or at the top of a source
    checkout.
    """
    here = Path(__file__).resolve().parent
    return [d for d in (here / "recipes", here.parent / "recipes") if d.is_dir()]


def list_recipes() -> dict[str, Path]:
    """The shipped recipes by name."""
    return {p.stem: p for d in reversed(recipe_dirs()) for p in sorted(d.glob("*.toml"))}


def find_recipe(name: str) -> Path:
    """A recipe by file name, or a shipped one by its name.

    Raises:
        UnknownNameError: neither; with a suggestion.
    """
    path = Path(name)
    if path.suffix == ".toml" or "/" in name:
        if path.is_file():
            return path
        raise UnknownNameError(f"no recipe file at {path}", fix="minirl recipes ls")
    shipped = list_recipes()
    if name in shipped:
        return shipped[name]
    close = difflib.get_close_matches(name, shipped, n=1)
    raise UnknownNameError(
        f"no recipe named {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
        expected=f"one of {', '.join(sorted(shipped))}, or a path to a .toml file",
    )
