"""What a run will take of a card's or a machine's memory, before anything is loaded. No torch."""

from minirl.plan.architecture import Architecture
from minirl.plan.cards import CARDS, CardSpec, find_card
from minirl.plan.fit import next_lower
from minirl.plan.models import architecture_of
from minirl.plan.pace import Pace
from minirl.plan.run import Plan, plan_run
from minirl.plan.target import (
    Target,
    any_card,
    card_target,
    cpu_target,
    seen_card,
    this_machine,
)

__all__ = [
    "CARDS",
    "Architecture",
    "CardSpec",
    "Pace",
    "Plan",
    "Target",
    "any_card",
    "architecture_of",
    "card_target",
    "cpu_target",
    "find_card",
    "next_lower",
    "plan_run",
    "seen_card",
    "this_machine",
]
