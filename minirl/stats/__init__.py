"""Rates, differences and their intervals: pure functions on counts (numpy and scipy, no torch).

Rates and probabilities are fractions in [0, 1]; text for people shows per cent, differences show
points. ``by_task`` arguments hold one ``(solved, sampled)`` pair for each task.
"""

from minirl.stats.bayes import Posterior, beta_posterior, signal_probability
from minirl.stats.counts import TaskCounts
from minirl.stats.paired import Difference, mcnemar_exact, paired_difference
from minirl.stats.rates import Interval, Rate, clustered_rate, wilson_interval

__all__ = [
    "Difference",
    "Interval",
    "Posterior",
    "Rate",
    "TaskCounts",
    "beta_posterior",
    "clustered_rate",
    "mcnemar_exact",
    "paired_difference",
    "signal_probability",
    "wilson_interval",
]
