"""A rough time for a step, from a target's bandwidth and arithmetic. Imports no torch.

Writing a token reads all weights once for the whole batch, so memory bandwidth bounds it (Pope et
al., arXiv 2211.05102); training multiplies large matrices, so arithmetic does. What a kit reaches
of either is stated here and not measured on the target: good to a factor of two or three, for
"minutes or days?" alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minirl.config import Recipe
from minirl.plan.memory import Workload, kv_bytes, static
from minirl.plan.target import Target

ROUGH = "rough estimate, not measured"

# What is reached of a card's data sheet, and of what cpu_target says of a core.
BANDWIDTH_REACHED = 0.5
FLOPS_REACHED = {"cuda": 0.3, "cpu": 0.7}
# Seconds a layer that Python and kernel launches take for one token of a batch, whatever its size.
LAUNCH = {"torch": 6e-4, "generate": 3e-4, "vllm": 4e-5, "none": 0.0}
# Reading a 4-bit weight costs about as much as reading two bytes of it: it has to be unpacked.
UNPACKING = 2.0
# Groups without signal are drawn again: about half of them, each round.
REDRAWN = 0.5
TYPICAL_REPLY = 0.7  # of the longest reply that the recipe allows


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of one step's two halves, and of the whole training."""

    sampling: float
    training: float
    steps: int

    @property
    def step(self) -> float:
        return self.sampling + self.training

    @property
    def run(self) -> float:
        return self.steps * self.step


def pace(recipe: Recipe, work: Workload, target: Target) -> Pace | None:
    """Seconds a step and a run; None where the target's speed is not known."""
    if not target.bandwidth or not target.flops:
        return None
    arch = work.arch
    flops = target.flops * FLOPS_REACHED[target.device] / (2 if work.number == 4 else 1)
    reply = max(1.0, TYPICAL_REPLY * work.completion)
    rows = recipe.train.prompts_per_step * recipe.train.group_size
    played = rows * (1 + REDRAWN * recipe.stream.resample_rounds)

    at_once = played if work.engine == "vllm" else min(work.sampled, played)
    weights = static(work)["weights"] * (UNPACKING if work.four_bit else 1)
    cache = at_once * kv_bytes(arch, round(work.prompt + reply / 2), work.number)
    reading = (weights + cache) / (target.bandwidth * BANDWIDTH_REACHED)
    arithmetic = 2 * arch.active_parameters() * at_once / flops
    launching = LAUNCH[work.engine] * arch.layers if target.device == "cuda" else 0
    token = max(reading, arithmetic) + launching
    prefill = 2 * arch.active_parameters() * work.prompt * recipe.train.prompts_per_step / flops
    sampling = math.ceil(played / at_once) * reply * token + prefill

    # Forward, the gradients of the activations (the base's weights get none), and, with
    # checkpointing, the forward pass again (Kaplan et al., arXiv 2001.08361: 2 a weight and token).
    passes = 6 if work.checkpointing else 4
    tokens = rows / work.rows * _tokens(work, reply)
    training = passes * arch.active_parameters() * tokens * recipe.train.iterations / flops
    return Pace(sampling, training, recipe.train.steps)


def _tokens(work: Workload, reply: float) -> float:
    """Tokens that are computed of the rows of one micro-batch: of a tree, each prompt once in every
    pass that it comes in.
    """
    if not work.shared_prefix:
        return work.rows * (work.prompt + reply)
    group = work.rows / work.distinct
    held = max(1, (work.token_budget - work.prompt) // reply)  # rows of one prompt in a pass
    return work.distinct * math.ceil(group / held) * work.prompt + work.rows * reply
