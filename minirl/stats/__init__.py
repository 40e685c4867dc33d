"""Rates, differences and their intervals: pure functions on counts (numpy and scipy, no torch).

Rates and probabilities are fractions in [0, 1]; text for people shows per cent, differences show
points. ``by_task`` arguments hold one ``(solved, sampled)`` pair for each task.
"""

from minirl.stats.bayes import Posterior, beta_posterior, signal_probability
from minirl.stats.betabinomial import (
    SuccessSpread,
    expected_pass_at_k,
    expected_signal,
    fit_success,
    unbiased_signal,
)
from minirl.stats.bootstrap import (
    Estimate,
    bootstrap,
    mean_estimate,
    ratio_difference,
    ratio_estimate,
)
from minirl.stats.counts import TaskCounts
from minirl.stats.paired import Difference, mcnemar_exact, paired_difference
from minirl.stats.passk import (
    Crossover,
    crossover,
    ladder,
    pass_at_k,
    pass_at_k_curve,
    pass_at_k_difference,
    pass_table,
)
from minirl.stats.rates import Interval, Rate, clustered_rate, wilson_interval
from minirl.stats.sequential import Sequential, rate_beside

__all__ = [
    "Crossover",
    "Difference",
    "Estimate",
    "Interval",
    "Posterior",
    "Rate",
    "Sequential",
    "SuccessSpread",
    "TaskCounts",
    "beta_posterior",
    "bootstrap",
    "clustered_rate",
    "crossover",
    "expected_pass_at_k",
    "expected_signal",
    "fit_success",
    "ladder",
    "mcnemar_exact",
    "mean_estimate",
    "paired_difference",
    "pass_at_k",
    "pass_at_k_curve",
    "pass_at_k_difference",
    "pass_table",
    "rate_beside",
    "ratio_difference",
    "ratio_estimate",
    "signal_probability",
    "unbiased_signal",
    "wilson_interval",
]
