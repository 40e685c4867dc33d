"""What training a probed recipe will take on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minirl.cli.session import Session
    from minirl.config import Recipe
    from minirl.measure.probe_result import Probe
    from minirl.plan.pace import Pace

HOW = (
    "sampling at the probe's own speed; the training half is that times what the plan expects of "
    "the two, which is good to a factor of two"
)


def price(session: Session, probe: Probe) -> dict[str, Any] | None:
    """Rollouts, tokens and seconds of the training; None where the machine's speed is unknown."""
    from minirl.cli.settle import target_of
    from minirl.errors import MinirlError
    from minirl.models.backend import choose
    from minirl.models.machine import inspect
    from minirl.plan import plan_run

    recipe = session.recipe
    machine = inspect()
    try:
        target = target_of(machine, choose(recipe.model, recipe.sampling, machine))
        pace = plan_run(recipe, target=target, env=session.env).pace
    except MinirlError:  # a model whose architecture is unknown here is not priced
        return None
    return cost(recipe, probe, pace) if pace is not None and pace.sampling else None


def cost(recipe: Recipe, probe: Probe, pace: Pace) -> dict[str, Any]:
    """The price, by the screen's seconds and tokens a rollout.

    Groups without signal are drawn again, as often as the probe found them. The plan's ratio of
    training to sampling is taken a rollout, for it expects another share of them.
    """
    from minirl.plan.pace import REDRAWN

    screened = [p for p in probe.played if p.stage == "screen"]
    samples = sum(p.sampled for p in screened)
    seconds = sum(p.seconds for p in screened) / samples
    tokens = sum(sum(p.tokens) for p in screened) / samples
    kept = recipe.train.steps * recipe.train.prompts_per_step * recipe.train.group_size
    idle = 1 - probe.signal[recipe.train.group_size].value
    rollouts = kept * sum(idle**r for r in range(recipe.stream.resample_rounds + 1))
    sampling = rollouts * seconds
    planned = 1 + REDRAWN * recipe.stream.resample_rounds  # rollouts for each that is kept
    training = kept * seconds * planned * pace.training / pace.sampling
    return {
        "rollouts": round(rollouts),
        "tokens": round(rollouts * tokens),
        "seconds": sampling + training,
        "seconds_low": sampling + training / 2,
        "seconds_high": sampling + training * 2,
        "how": HOW,
    }
