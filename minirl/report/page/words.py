"""What the verdicts mean, and which command makes what is not there yet."""

from __future__ import annotations

PROBE_TITLES = {
    "go": "Go",
    "ease": "Raise G, or ease the task",
    "cold_start": "Cold start first",
    "saturated": "Saturated",
}
PROBE_RULES = {
    "go": "At least 30 % of groups carry signal: their rollouts differ in reward, and a difference "
    "is all that GRPO learns from.",
    "ease": "Between 10 and 30 % of groups carry signal.",
    "cold_start": "Fewer than 10 % of groups carry signal, because next to nothing is solved: "
    "reinforcement cannot make likelier what is never sampled.",
    "saturated": "Fewer than 30 % of groups carry signal, because 80 % or more is solved already.",
}
PROVE_RULES = {
    "narrowed": "pass@1 or pass@K fell: its interval lies below 0.",
    "format only": "pass@1 rose, but the right answer, read in any form, is no more frequent: it "
    "stands less often in a wrong form.",
    "expanded": "pass@K rose, and tasks that the base never solved are solved more often than "
    "guessing explains.",
    "sharpened": "pass@1 rose by more than form, and nothing shows that more tasks can be solved: "
    "what the base could already do has become likelier.",
    "no effect": "None of the intervals excludes 0.",
}


def commands(run: str) -> dict[str, str]:
    """The command that makes each part; ``run`` is the run's directory."""
    recipe = f"{run}/recipe.toml --name {run}"
    return {
        "probe": f"minirl probe {recipe}",
        "training": f"minirl train {recipe}",
        "resume": f"minirl train {recipe} --resume",
        "eval": f"minirl eval {run}",
        "prove": f"minirl prove {run}",
    }
