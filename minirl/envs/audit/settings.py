"""How much an audit tries, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """How thorough an audit is.

    Attributes:
        tasks: how many tasks of each split the cheap checks take; the dear ones take a share.
        seed: of what the audit draws (pairs of tasks, metamorphic changes).
        call_limit_s: how long one call of the environment's code may take.
        check_budget_s: how long one check goes on; what it had not tried by then stays untried, and
            its counts say so. A dear verifier would take hours else.
        slow_task_s, slow_score_s: the medians from which an environment is too slow to train on.
        elsewhere: whether to ask again in processes with another hash seed, directory and clock.
    """

    tasks: int = 1000
    seed: int = 0
    call_limit_s: float = 10.0
    check_budget_s: float = 20.0
    slow_task_s: float = 0.25
    slow_score_s: float = 0.25
    elsewhere: bool = True
