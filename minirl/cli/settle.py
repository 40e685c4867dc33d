"""What a recipe leaves open, settled for this machine by the plan; and what to do when memory runs
out all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minirl.cli.session import Session, with_settings

if TYPE_CHECKING:
    from minirl.models.backend import Choice
    from minirl.models.machine import Machine
    from minirl.plan import Target
    from minirl.report.console import Output


def settle(session: Session, console: Output, *, auto_fit: bool) -> Session:
    """The session with its recipe's open values filled in for this machine.

    Says so where memory will not suffice; with ``auto_fit``, takes the settings that will.
    """
    from minirl.errors import MinirlError
    from minirl.models.backend import choose
    from minirl.models.machine import inspect
    from minirl.plan import plan_run

    recipe = session.recipe
    machine = inspect()
    choice = choose(recipe.model, recipe.sampling, machine)
    for finding in choice.findings:
        if finding.level in ("warning", "error"):
            fix = f"\n  fix:      {finding.fix}" if finding.fix else ""
            console.say(f"{finding.level}: {finding.what}{fix}")
    try:
        plan = plan_run(recipe, target=target_of(machine, choice), env=session.env)
    except MinirlError as error:
        console.say(f"note: memory was not planned: {error.message}")
        return session
    settings: dict[str, Any] = dict(plan.settled)
    if not plan.fits:
        console.say("warning: this will probably run out of memory: " + "; ".join(plan.advice))
        if auto_fit and plan.changes:
            settings |= plan.changes
            console.say("--auto-fit: these settings are taken")
    return with_settings(session, settings)


def target_of(machine: Machine, choice: Choice) -> Target:
    """Where, and with what, a choice will run; for the plan."""
    import torch

    from minirl.cli.session import precision_name
    from minirl.models.precision import choose_dtype
    from minirl.plan import cpu_target, seen_card

    precision: Any = precision_name(choose_dtype(choice.precision, torch.device(choice.device)))
    if choice.device == "cpu":
        target = cpu_target(machine.ram, cores=machine.cores)
    else:
        target = seen_card(machine.cards[0], backend=choice.backend, engine=choice.engine)
    return replace(target, precision=precision, standby=choice.standby)


@contextmanager
def memory_advised(session: Session, *, sampling: bool = False) -> Iterator[None]:
    """Turn running out of memory into an error that says what to lower.

    Args:
        sampling: nothing is trained within the block.

    Raises:
        OutOfMemory: it ran out.
    """
    try:
        yield
    except Exception as error:
        from minirl.errors import OutOfMemory
        from minirl.models.memory import ran_out

        if not ran_out(error):
            raise
        raise OutOfMemory(
            "memory ran out",
            got=str(error).strip().partition("\n")[0][:200],
            fix=_advice(session, sampling=sampling),
        ) from error


def _advice(session: Session, *, sampling: bool) -> str:
    from minirl.models.backend import choose
    from minirl.models.machine import inspect
    from minirl.plan import next_lower

    recipe = session.recipe
    batch = recipe.sampling.batch
    lower: dict[str, int] | None = {"sampling.batch": batch // 2}
    if not sampling:
        choice = choose(recipe.model, recipe.sampling, inspect())
        lower = next_lower(recipe, backend=choice.backend, device=choice.device)
    if not lower or batch == 1:
        return "a smaller model, shorter replies, or model.load_in_4bit=true: see `minirl plan`"
    options = " ".join(f"--set {key}={value}" for key, value in lower.items())
    automatic = "" if sampling else ", or --auto-fit, which lowers it as far as it must"
    return f"{options}{automatic}; `minirl plan` shows what takes how much"
