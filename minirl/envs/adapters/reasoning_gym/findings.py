"""What the audit found wrong with scorers of reasoning-gym 0.1.25 that pay in full all the same.

docs/reasoning_gym.md has the whole table; these are told whenever such a task is opened.
"""

from __future__ import annotations

from collections.abc import Mapping

FINDINGS: Mapping[str, str] = {
    "coin_flip": "its scorer takes any probability within 0.0001, so that 0 solves most tasks",
    "fraction_simplification": "its scorer ignores what follows a fraction in LaTeX",
    "game_of_life": "its scorer ignores rows and columns beyond those of the right grid",
    "gsm_symbolic": "its scorer takes the first number in the answer, whatever follows it",
    "number_sorting": "its scorer takes numbers that are off by up to 1",
    "puzzle24": "its scorer does not ask which numbers are used: 6*4+1-1 solves every task",
}
