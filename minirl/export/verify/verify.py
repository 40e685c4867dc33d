"""The proof of an export: read it back, and ask it what the trained model was asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch

from minirl.config import Recipe
from minirl.envs.base import Environment
from minirl.errors import ModelError
from minirl.export.families import Family
from minirl.export.files import digest, size
from minirl.export.verify.agreement import Agreement, ModelNextTokens, Text, compare, distinct_texts
from minirl.export.verify.answers import Played, difference, play_greedily
from minirl.export.verify.gguf_file import GgufFile, open_gguf
from minirl.export.verify.limits import Limits, limits_for
from minirl.export.verify.tensors import TensorCheck, check_adapter, check_merged
from minirl.export.verify.wording import WordingCheck, check_wording
from minirl.measure.tasks import held_out
from minirl.models.chat import ChatCodec
from minirl.models.load import LoadedModel, set_special_tokens, stop_ids
from minirl.models.policy import ModelPolicy
from minirl.models.sampler import SamplingParams
from minirl.types import Task

Kind = Literal["adapter", "merged", "gguf-lora", "gguf"]
GREEDY = SamplingParams(temperature=0.0)
CONVERSATIONS = 50  # openings that are rendered and tokenised by both sides
SPARE_CONTEXT = 64
PARALLEL = 4  # requests that llama.cpp works on at a time

# Called with (what is being done, done, of how many).
Report = Callable[[str, int, int], None]


def _silent(_: str, __: int, ___: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Target:
    """Something that was exported.

    Attributes:
        path: a file, or a directory.
        number_format: ``f16``, ``q8_0``, …
        base: for an adapter GGUF, the GGUF of its base model.
        same_base: whether its weights derive from those that were trained on; not so where a 4-bit
            model's adapter was merged into the original 16-bit weights.
    """

    path: Path
    kind: Kind
    number_format: str
    base: Path | None = None
    same_base: bool = True

    @property
    def name(self) -> str:
        return self.path.name


@dataclass
class Verifier:
    """Checks exports against one trained model.

    Attributes:
        loaded: that model, its adapter on.
        adapter: the directory that the adapter came from.
        positions: how many places of text to compare distributions at.
        tasks: how many held-out tasks to play.
    """

    recipe: Recipe
    loaded: LoadedModel
    env: Environment[Any]
    adapter: Path
    family: Family | None
    positions: int = 2000
    tasks: int = 200
    report: Report = field(default=_silent)

    @cached_property
    def codec(self) -> ChatCodec:
        return ChatCodec(self.loaded.tokenizer, thinking=self.loaded.thinking)

    @cached_property
    def held_out(self) -> list[Task]:
        return held_out(self.env, self.tasks, key="--tasks")

    @cached_property
    def trained(self) -> Played:
        """The trained model on the held-out tasks."""
        return self._play("trained model", self._policy(self.loaded))

    @cached_property
    def texts(self) -> list[Text]:
        """What it was asked and what it answered, with the places to look at."""
        rollouts = [r for g in self.trained.groups for r in g.rollouts]
        return distinct_texts([r.prompt_ids + r.completion_ids for r in rollouts], self.positions)

    def reference(self) -> dict[str, Any]:
        """What everything is compared with."""
        return {
            "model": self.recipe.model.name,
            "adapter_sha256": digest(self.adapter),
            "backend": self.loaded.choice.backend,
            "dtype": str(self.loaded.dtype).removeprefix("torch."),
            "env": self.env.label,
            "temperature": 0.0,
            "solved": asdict(self.trained.solved),
            "called_tools": self.trained.called,
            "tokens_per_second": self.trained.tokens_per_second,
        }

    def limits(self, target: Target) -> Limits:
        exact = str(self.loaded.dtype) == "torch.float32" and not self.recipe.model.load_in_4bit
        return limits_for(target.number_format, exact_reference=exact and target.same_base)

    def verify(self, target: Target) -> dict[str, Any]:
        """All checks of one export; nothing that is wrong with it raises.

        Returns:
            JSON-ready: ``passed``, ``failures`` in words, and each check's figures.
        """
        record = _Record(target, self.limits(target))
        try:
            if target.kind == "adapter":
                self._verify_adapter(target, record)
            elif target.kind == "merged":
                self._verify_merged(target, record)
            else:
                self._verify_gguf(target, record)
        except ModelError as error:  # damaged, refused by llama.cpp, or llama.cpp died of it
            got = f" ({error.got})" if error.got else ""
            record.fail(f"{error.message}{got}")
        return record.as_record()

    # kinds ----------------------------------------------------------------------------------------

    def _verify_adapter(self, target: Target, record: _Record) -> None:
        if digest(target.path) != digest(self.adapter):
            record.fail("its files differ from the run's adapter")

    def _verify_merged(self, target: Target, record: _Record) -> None:
        with _merged_model(target.path, self.loaded) as model:
            exported = ModelNextTokens(model.model, model.device)
            self._compare(target, exported, record)
            self._compare_answers(target, self._policy(model), record)

    def _verify_gguf(self, target: Target, record: _Record) -> None:
        from minirl.export.llama import LlamaPolicy, find_backend, serve

        file = open_gguf(target.path)
        record.bytes = size(target.path)
        self._check_tensors(target, file, record)
        model, lora = target.path, None
        if target.kind == "gguf-lora":
            if target.base is None:
                raise ModelError(f"{target.path} is an adapter, and its base is not known")
            open_gguf(target.base)
            model, lora = target.base, target.path
        record.engine = find_backend()
        # As many threads as torch takes: llama.cpp's own spin where others want the cores, too.
        served = partial(
            serve,
            model,
            lora=lora,
            context=self._context(),
            parallel=PARALLEL,
            threads=torch.get_num_threads(),
        )
        with served(exact=True) as server:
            self.report(f"{target.name}: words", 0, 1)
            tasks = self.held_out[:CONVERSATIONS]
            thinking = self.loaded.thinking
            record.add_wording(check_wording(server, self.codec, self.env, tasks, thinking))
            self._compare(target, server, record)
        # As users run it: llama.cpp's own cache format and attention.
        with served(exact=False) as server:
            policy = LlamaPolicy(server, self.codec, GREEDY, eos_ids=stop_ids(self.loaded.model))
            self._compare_answers(target, policy, record)

    # checks ---------------------------------------------------------------------------------------

    def _check_tensors(self, target: Target, file: GgufFile, record: _Record) -> None:
        if self.family is None:
            record.notes.append("its tensors were not compared: minirl does not know their names")
            return
        architecture = file.meta.get("general.architecture")
        if architecture != self.family.gguf_name:
            record.fail(f"its architecture is {architecture}, not {self.family.gguf_name}")
            return
        self.report(f"{target.name}: tensors", 0, 1)
        if target.kind == "gguf-lora":
            record.add_tensors(check_adapter(file, self.adapter, self.family))
        elif target.same_base:
            record.add_tensors(check_merged(file, self.loaded.model, self.family))
        else:
            record.notes.append("its tensors were not compared: it has another base")

    def _compare(self, target: Target, exported: Any, record: _Record) -> None:
        def tell(done: int, total: int) -> None:
            self.report(f"{target.name}: distributions", done, total)

        record.add_agreement(
            compare(self.loaded, exported, self.texts, seed=self.recipe.seed, on_progress=tell)
        )

    def _compare_answers(self, target: Target, policy: Any, record: _Record) -> None:
        played = self._play(f"{target.name}: tasks", policy)
        record.add_answers(self.trained, played, seed=self.recipe.seed)

    def _play(self, what: str, policy: Any) -> Played:
        return play_greedily(
            policy,
            self.env,
            self.held_out,
            self.recipe,
            batch=self.recipe.sampling.batch,
            on_progress=lambda done, total: self.report(what, done, total),
        )

    def _policy(self, loaded: LoadedModel) -> ModelPolicy:
        return ModelPolicy.of(loaded, GREEDY, batch=self.recipe.sampling.batch)

    def _context(self) -> int:
        """Tokens of the longest text or episode that will be asked for."""
        longest = max(len(text.ids) for text in self.texts)
        turns = self.env.max_turns * self.recipe.sampling.max_tokens
        return min(
            longest + turns + SPARE_CONTEXT, int(min(self._policy(self.loaded).context, 2**20))
        )


@contextmanager
def _merged_model(path: Path, like: LoadedModel) -> Iterator[LoadedModel]:
    """A merged model on the device of the trained one, in the number format that it is stored in
    (fp32 where that one computes in fp32).
    """
    from dataclasses import replace

    from transformers import AutoModelForCausalLM, AutoTokenizer

    from minirl.models.convert import quiet_transformers
    from minirl.models.memory import release
    from minirl.models.sampler import TorchSampler

    dtype = torch.float32 if like.dtype == torch.float32 else "auto"
    try:
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype).to(like.device)
            tokenizer = AutoTokenizer.from_pretrained(path)
    except Exception as error:  # whatever transformers makes of damaged files
        raise ModelError(
            f"{path} cannot be loaded", got=f"{type(error).__name__}: {error}".splitlines()[0][:200]
        ) from error
    set_special_tokens(model, tokenizer)
    try:
        yield replace(like, model=model, tokenizer=tokenizer, sampler=TorchSampler())
    finally:
        del model
        release()


class _Record:
    """What is found of one target, check by check."""

    def __init__(self, target: Target, limits: Limits) -> None:
        self.target, self.limits = target, limits
        self.failures: list[str] = []
        self.notes: list[str] = []
        self.engine: str | None = None
        self.bytes = size(target.path)
        self.checks: dict[str, Any] = {}

    def fail(self, what: str) -> None:
        self.failures.append(what)

    def add_tensors(self, check: TensorCheck) -> None:
        self.checks["tensors"] = asdict(check)
        if check.first:
            self.fail(f"tensor {check.first}")

    def add_wording(self, check: WordingCheck) -> None:
        self.checks["words"] = asdict(check)
        self.notes += check.notes
        if check.first:
            self.fail(check.first)

    def add_agreement(self, found: Agreement) -> None:
        self.checks["distributions"] = asdict(found)
        limits = self.limits
        if found.top1.value < limits.top1 or not found.kl.value <= limits.kl:
            said = (
                f"the likeliest token is the same at {100 * found.top1.value:.1f} % of "
                f"{found.positions} places (at least {100 * limits.top1:g}), "
                f"KL {found.kl.value:.3g} (at most {limits.kl:g})"
            )
            if found.first:
                said += (
                    f"; first at token {found.first.place} of text {found.first.text}, after "
                    f"{found.first.before!r}: {found.first.trained!r} in training, "
                    f"{found.first.exported!r} here"
                )
            self.fail(said)

    def add_answers(self, trained: Played, played: Played, *, seed: int) -> None:
        apart = difference(trained, played, seed=seed)
        self.checks["answers"] = {
            "solved": asdict(played.solved),
            "difference": asdict(apart),
            "called_tools": played.called,
            "tokens_per_second": played.tokens_per_second,
        }
        if apart.high < -self.limits.solved:
            self.fail(f"it solves less than the trained model: {apart}")
        if trained.called and not played.called:
            self.fail("none of its tool calls can be read, and the trained model's can")

    def as_record(self) -> dict[str, Any]:
        return {
            "kind": self.target.kind,
            "format": self.target.number_format,
            "bytes": self.bytes,
            "sha256": digest(self.target.path),
            "engine": self.engine,
            "passed": not self.failures,
            "failures": self.failures,
            "notes": self.notes,
            "limits": asdict(self.limits),
            **_plain(self.checks),
        }


def _plain(value: Any) -> Any:
    """JSON knows no infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
