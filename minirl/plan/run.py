"""The plan of a run: its peak by part, whether that fits, and what to do. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from minirl.config import Recipe, change
from minirl.envs.base import Environment
from minirl.models.backend import UNSLOTH_CONTEXT
from minirl.plan.architecture import Architecture
from minirl.plan.fit import FAR, Settings, divisors, largest, lower_budgets, remedy, rows_of
from minirl.plan.lengths import Prompts, prompt_length
from minirl.plan.memory import Phases, Workload, phases
from minirl.plan.models import architecture_of
from minirl.plan.pace import Pace, pace
from minirl.plan.target import Target
from minirl.plan.workload import Lengths, Stack, stack_of, workload

# max_seq_length is made a quarter longer than the longest prompt that was seen: others may be, and
# an estimate may fall short.
PROMPT_MARGIN = 1.25
_PASSES = {"train.token_budget", "train.micro_batch"}  # what a training pass holds
NF4_BLOCK = 64  # on a CPU, bitsandbytes refuses matrices whose inputs are no multiple of it


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will take, counted with replies as long as the recipe allows.

    Attributes:
        target: where it is to run.
        stack: what will run it there.
        arch: the model's architecture.
        parts: bytes of each part at the peak; together they are :attr:`total`.
        phases: the same while sampling and while training; the peak is the larger of both.
        evaluation: bytes at the peak of the evaluation's sampling.
        settled: values for the keys that the recipe leaves open (``train.token_budget`` or
            ``train.micro_batch``, whichever bounds the training pass; ``model.max_seq_length``),
            and a lower ``sampling.batch`` where the recipe's cannot fit.
        room: the largest values that would fit, each with all others as they are: ``context``
            (tokens of prompt and reply), ``train.token_budget`` (left out where a whole step fits
            in one pass) or ``train.micro_batch``, ``train.group_size`` (a whole group in one pass)
            and ``sampling.batch``.
        prompt: the longest prompt.
        completion: tokens of the longest reply, all turns together.
        changes: settings under which it fits, where it does not as it is; each was planned.
        advice: what to do, as sentences and ``--set`` options.
        pace: a rough time; None where the target's speed is not known.
    """

    target: Target
    stack: Stack
    arch: Architecture
    parts: dict[str, int]
    phases: Phases
    evaluation: int
    settled: dict[str, int]
    room: dict[str, int]
    prompt: Prompts
    completion: int
    changes: Settings | None
    advice: tuple[str, ...]
    pace: Pace | None

    @property
    def total(self) -> int:
        """Bytes at the peak of the training."""
        return sum(self.parts.values())

    @property
    def headroom(self) -> int:
        """Usable bytes that are left at the peak; negative where it does not fit."""
        return self.target.usable - max(self.total, self.evaluation)

    @property
    def fits(self) -> bool:
        """Whether training and evaluation stay within what is usable of the target."""
        return self.headroom >= 0


@dataclass(frozen=True, slots=True)
class _Planner:
    """One model and environment on one target; recipes vary."""

    arch: Architecture
    lengths: Lengths
    target: Target

    def work(self, recipe: Recipe, *, evaluation: bool = False) -> Workload:
        return workload(recipe, self.arch, self.lengths, self.target, evaluation=evaluation)

    def training(self, recipe: Recipe) -> int:
        return sum(phases(self.work(recipe))["training"].values())

    def sampling(self, recipe: Recipe) -> int:
        return max(
            sum(phases(self.work(recipe, evaluation=e))["sampling"].values()) for e in (False, True)
        )

    def fits(self, recipe: Recipe) -> bool:
        return max(self.training(recipe), self.sampling(recipe)) <= self.target.usable

    def settled(self, recipe: Recipe) -> dict[str, int]:
        """Values for what the recipe leaves open, and a batch that fits."""
        found: dict[str, int] = {}
        on_unsloth = stack_of(recipe, self.target).backend == "unsloth"
        if recipe.model.max_seq_length is None and on_unsloth:  # the stock backend needs no limit
            found["model.max_seq_length"] = self.longest(recipe)
        batch = recipe.sampling.batch
        while batch > 1 and self.sampling(_with_batch(recipe, batch)) > self.target.usable:
            batch //= 2
        # Where even one at a time does not fit, the batch is not what is wrong.
        if batch < recipe.sampling.batch and (
            self.sampling(_with_batch(recipe, batch)) <= self.target.usable
        ):
            found["sampling.batch"] = batch
        return found | self.passes(recipe)

    def passes(self, recipe: Recipe) -> dict[str, int]:
        """How much a training pass may hold, where the recipe leaves it open: the most that fits,
        or, where nothing does, the most of what needs least.
        """
        work = self.work(recipe)
        if work.shared_prefix:
            key, given = "train.token_budget", recipe.train.token_budget
            sizes = [work.token_budget, *lower_budgets(work.token_budget)]
        else:
            key, given = "train.micro_batch", recipe.train.micro_batch
            sizes = divisors(rows_of(recipe))
        if given is not None:
            return {}
        needs = {size: self.training(change(recipe, {key: size})) for size in sizes}
        least = min(needs, key=lambda size: (needs[size], -size))
        return {key: next((s for s in sizes if needs[s] <= self.target.usable), least)}

    def longest(self, recipe: Recipe) -> int:
        """Tokens that a conversation may come to, rounded up to a multiple of 64.

        Never less than what unsloth gets where nobody says: a prompt that does not fit ends a run,
        and room that is not used costs it nothing.
        """
        tokens = self.lengths.prompt * PROMPT_MARGIN
        tokens += self.lengths.completion(recipe.sampling.max_tokens)
        tokens = max(tokens, UNSLOTH_CONTEXT)
        return min(self.arch.max_positions, -int(-tokens // 64) * 64)

    def room(self, recipe: Recipe) -> dict[str, int]:
        """The largest values that fit, each by itself."""
        usable = self.target.usable
        work = self.work(recipe)

        def fits(*names: Literal["sampling", "training"], **fields: Any) -> bool:
            found = phases(replace(work, **fields))
            return all(sum(found[name].values()) <= usable for name in names)

        both: tuple[Literal["sampling", "training"], ...] = ("sampling", "training")
        most = max(1, self.arch.max_positions - work.prompt)
        reply = largest(lambda n: fits(*both, completion=n), limit=most)
        found = {"context": work.prompt + reply if reply else 0}
        if not work.shared_prefix:
            found["train.micro_batch"] = largest(
                lambda n: fits("training", rows=n, distinct=min(n, recipe.train.prompts_per_step)),
                limit=4096,
            )
        elif not fits("training", token_budget=work.tree):
            found["train.token_budget"] = largest(lambda n: fits("training", token_budget=n))
        found["train.group_size"] = largest(
            lambda n: fits("training", rows=n, distinct=1, token_budget=FAR), limit=4096
        )
        if work.engine != "vllm":
            found["sampling.batch"] = largest(lambda n: fits("sampling", sampled=n), limit=4096)
        return found


def _with_batch(recipe: Recipe, batch: int) -> Recipe:
    return change(recipe, {"sampling.batch": batch})


def plan_run(recipe: Recipe, *, target: Target, env: Environment[Any] | None = None) -> Plan:
    """Predict the peak of ``recipe`` on ``target``, before anything is loaded.

    Args:
        recipe: the run.
        target: where (:func:`~minirl.plan.this_machine`, :func:`~minirl.plan.card_target`).
        env: its environment, where it has been made already.

    Raises:
        ModelError: the model's architecture cannot be found out.
        UnknownNameError: no such model.
        ConfigError: the recipe asks for what the target cannot do.
        EnvironmentFault: the environment failed while its prompts were read.
    """
    if env is None:
        from minirl.envs import make_env

        env = make_env(recipe.env.name, recipe.env.options)
    arch = architecture_of(recipe.model.name)
    stack = stack_of(recipe, target)
    prompt = prompt_length(env, recipe.model.name)
    planner = _Planner(arch, Lengths(prompt.tokens, env.max_turns), target)
    settled = planner.settled(recipe)
    final = change(recipe, settled)
    work = planner.work(final)
    by_phase = phases(work)
    parts = max(by_phase.values(), key=lambda p: sum(p.values()))
    asked = phases(planner.work(final, evaluation=True))["sampling"]
    changes = None if planner.fits(final) else _changes(planner, recipe, settled)
    draft = Plan(
        target=target,
        stack=stack,
        arch=arch,
        parts=parts,
        phases=by_phase,
        evaluation=sum(asked.values()),
        settled=settled,
        room=planner.room(final),
        prompt=prompt,
        completion=work.completion,
        changes=changes,
        advice=(),
        pace=pace(final, work, target),
    )
    return replace(draft, advice=_advice(draft, recipe))


def _changes(planner: _Planner, recipe: Recipe, settled: dict[str, int]) -> Settings | None:
    """Settings under which it fits; the length that was settled on follows the reply's."""
    on_card = planner.target.device == "cuda"
    widths = (planner.arch.hidden, planner.arch.intermediate, planner.arch.q_width)
    four_bit = on_card or not any(w % NF4_BLOCK for w in widths)
    passes = {k: v for k, v in settled.items() if k in _PASSES}
    base = change(recipe, passes)
    work = planner.work(base)
    budget = work.token_budget if work.shared_prefix else None
    found = remedy(base, planner.fits, budget=budget, four_bit=four_bit)
    return None if found is None else found | {k: v for k, v in passes.items() if k not in found}


def _advice(plan: Plan, recipe: Recipe) -> tuple[str, ...]:
    if plan.fits:
        return ()
    missing = -plan.headroom
    if plan.changes:
        options = " ".join(f"--set {key}={_toml(value)}" for key, value in plan.changes.items())
        return (f"it lacks {missing / 1e9:.1f} GB; it fits with: {options}",)
    least = plan.parts["weights"] + plan.parts["quantisation"] + plan.parts["runtime"]
    return (
        f"it lacks {missing / 1e9:.1f} GB, and no setting makes {recipe.model.name} fit: its "
        f"weights alone take {least / 1e9:.1f} GB of {plan.target.usable / 1e9:.1f}; take a "
        "smaller model (--set model.name=...) or more memory",
    )


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
