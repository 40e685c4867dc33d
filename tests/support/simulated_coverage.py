"""How often each 95 % interval of `minirl.stats` holds the truth, over simulated data sets.

`python tests/support/simulated_coverage.py` prints the table, and tests/unit/stats/test_coverage.py
bounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from minirl.stats import (
    Sequential,
    beta_posterior,
    clustered_rate,
    expected_pass_at_k,
    expected_signal,
    fit_success,
    mean_estimate,
    paired_difference,
    pass_at_k_curve,
    pass_at_k_difference,
    rate_beside,
    ratio_difference,
    ratio_estimate,
    unbiased_signal,
    wilson_interval,
)

Covered = Iterator[tuple[str, float]]  # a setting, and the share of its data sets that were covered
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]  # success probabilities

TRIALS = 2000
RESAMPLES = 500  # the percentiles' own noise averages out over the data sets
# What bases look like: all or nothing, mostly hard, middling, rarely solved, mostly solved, alike.
SHAPES = ((0.3, 0.3), (0.5, 1.5), (2.0, 2.0), (0.2, 4.0), (4.0, 0.5), (50.0, 50.0))


class Cached(Sequential):
    """The design, its intervals computed once."""

    interval = lru_cache(maxsize=None)(Sequential.interval)  # type: ignore[assignment]
    estimate = lru_cache(maxsize=None)(Sequential.estimate)  # type: ignore[assignment]
    zone = lru_cache(maxsize=None)(Sequential.zone)  # type: ignore[assignment]


PROBE = Cached()


def share(hits: int | float, trials: int = TRIALS) -> float:
    return float(hits) / trials


def counts_of(rng: np.random.Generator, p: np.ndarray, n: int) -> list[tuple[int, int]]:
    return [(int(c), n) for c in rng.binomial(n, p)]


def pass_truth(shape: tuple[float, float], k: int) -> float:
    return float(expected_pass_at_k(np.array(shape[0]), np.array(shape[1]), k))


# Rates and posteriors -----------------------------------------------------------------------------


def wilson() -> Covered:
    """Averaged over p, uniform on [0.02, 0.98]: at a single p no method holds the nominal coverage,
    for the counts are discrete (Brown, Cai & DasGupta 2001).
    """
    for n in (20, 60, 400):
        rng = np.random.default_rng([1, n])
        bounds = np.array([wilson_interval(k, n) for k in range(n + 1)])
        p = rng.uniform(0.02, 0.98, 5 * TRIALS)
        low, high = bounds[rng.binomial(n, p)].T
        yield f"n = {n}", share(((low <= p) & (p <= high)).sum(), len(p))


def posterior() -> Covered:
    """Averaged over p of the prior, where it is exact, and over uniform p."""
    for n in (8, 32, 300):
        bounds = np.array([(q.low, q.high) for q in (beta_posterior(c, n) for c in range(n + 1))])
        for name, shape in (("Jeffreys", (0.5, 0.5)), ("uniform", (1.0, 1.0))):
            rng = np.random.default_rng([2, n])
            p = rng.beta(*shape, 5 * TRIALS)
            low, high = bounds[rng.binomial(n, p)].T
            yield f"n = {n}, p {name}", share(((low <= p) & (p <= high)).sum(), len(p))


def rates(tasks: int) -> Covered:
    for shape in SHAPES:
        for n in (1, 8, 64):
            rng = np.random.default_rng([3, tasks, n, int(10 * shape[0])])
            truth, hits = shape[0] / sum(shape), 0
            for p in rng.beta(*shape, (TRIALS, tasks)):
                got = clustered_rate(counts_of(rng, p, n))
                hits += got.low <= truth <= got.high
            yield f"Beta{shape}, {tasks} tasks, n = {n}", share(hits)


# pass@k -------------------------------------------------------------------------------------------


def pass_curves(tasks: int, n: int, ks: Sequence[int]) -> Covered:
    """Where at least two tasks are expected on either side; beyond, discreteness rules, as for
    Wilson's interval, and on average it covers more.
    """
    for shape in SHAPES:
        rng = np.random.default_rng([4, tasks, n, int(10 * shape[0])])
        truths = {k: pass_truth(shape, k) for k in ks}
        asked = [k for k in ks if 2 <= tasks * truths[k] <= tasks - 2]
        hits = dict.fromkeys(asked, 0)
        for p in rng.beta(*shape, (TRIALS, tasks)):
            for k, got in zip(asked, pass_at_k_curve(counts_of(rng, p, n), asked), strict=True):
                hits[k] += got.low <= truths[k] <= got.high
        for k in asked:
            yield f"Beta{shape}, {tasks} tasks, n = {n}, k = {k}", share(hits[k])


def better(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Most tasks are solved more often."""
    base = rng.beta(0.5, 1.0, shape)
    return base, base + (1 - base) * rng.uniform(0, 0.4, shape) * (rng.random(shape) < 0.7)


def hard(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Seldom solved before, and somewhat more often after."""
    base = rng.beta(0.5, 5.0, shape)
    return base, base + (1 - base) * rng.uniform(0, 0.4, shape) * (rng.random(shape) < 0.7)


def sharper(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """More is solved of what was solved, and every seventh task is lost."""
    base = rng.beta(0.5, 1.0, shape)
    return base, np.where(rng.random(shape) < 0.15, 0.0, np.sqrt(base))


def differences(tasks: int, n: int) -> Covered:
    """paired_difference, and pass_at_k_difference with the sampling-efficiency gap."""
    for model in (better, hard, sharper):
        base, tuned = model(np.random.default_rng(0), (2_000_000,))
        asked = {"": (1, 1)}
        if n > 1:
            asked |= {f", k = {k}": (k, k) for k in (n // 4, n)} | {f", gap at k = {n}": (1, n)}
        truths = {
            name: float((1 - (1 - tuned) ** k).mean() - (1 - (1 - base) ** K).mean())
            for name, (k, K) in asked.items()
        }
        rng = np.random.default_rng([5, tasks, n])
        hits = dict.fromkeys(asked, 0)
        for trial in range(TRIALS):
            before, after = (counts_of(rng, p, n) for p in model(rng, (tasks,)))
            for name, (k, K) in asked.items():
                if k == K == 1:
                    got = paired_difference(before, after, seed=trial, resamples=RESAMPLES)
                else:
                    got = pass_at_k_difference(
                        before, after, k, base_k=K, seed=trial, resamples=RESAMPLES
                    )
                hits[name] += got.low <= truths[name] <= got.high
        for name in asked:
            yield f"{model.__name__}, {tasks} tasks, n = {n}{name}", share(hits[name])


# Means and ratios ---------------------------------------------------------------------------------


def means(tasks: int) -> Covered:
    """mean_estimate of lengths (skewed) and of shares, ratio_estimate and ratio_difference of sums
    a token.
    """
    rng = np.random.default_rng([6, tasks])
    hits = {"mean, gamma": 0, "mean, Beta(0.5, 1.5)": 0, "ratio": 0, "difference of ratios": 0}
    settings = {"seed": 0, "resamples": RESAMPLES}
    for trial in range(TRIALS):
        settings["seed"] = trial
        size = rng.gamma(4.0, 25.0, tasks)  # tokens a task
        a = size * rng.gamma(8.0, 0.1, tasks)  # their negative log-probability, 0.8 a token
        b = size * rng.gamma(8.0, 0.05, tasks)
        for name, got, truth in (
            ("mean, gamma", mean_estimate(rng.gamma(2.0, 20.0, tasks), **settings), 40.0),
            ("mean, Beta(0.5, 1.5)", mean_estimate(rng.beta(0.5, 1.5, tasks), **settings), 0.25),
            ("ratio", ratio_estimate(a, size, **settings), 0.8),
            ("difference of ratios", ratio_difference((a, b), (size, size), **settings), -0.4),
        ):
            hits[name] += got.low <= truth <= got.high
    for name, hit in hits.items():
        yield f"{name}, {tasks} tasks", share(hit)


# The sequential probe -----------------------------------------------------------------------------


def mixture(weight: float, p: float, q: float) -> Draw:
    return lambda rng, shape: np.where(rng.random(shape) < weight, p, q)


def alike(p: float) -> Draw:
    return lambda rng, shape: np.full(shape, p)


def beta(a: float, b: float) -> Draw:
    return lambda rng, shape: rng.beta(a, b, shape)


TRUTHS: dict[str, Draw] = {
    "p = 0.003": alike(0.003),
    "p = 0.02": alike(0.02),
    "p = 0.05": alike(0.05),
    "p = 0.1": alike(0.1),
    "p = 0.5": alike(0.5),
    "p = 0.97": alike(0.97),
    "half 0, half 0.5": mixture(0.5, 0.0, 0.5),
    "9 of 10 0, else 0.5": mixture(0.9, 0.0, 0.5),
    "Beta(0.3, 0.3)": beta(0.3, 0.3),
    "Beta(0.5, 1.5)": beta(0.5, 1.5),
    "Beta(0.2, 4)": beta(0.2, 4.0),
    "Beta(2, 2)": beta(2.0, 2.0),
    "Beta(20, 1)": beta(20.0, 1.0),
    "Beta(1, 20)": beta(1.0, 20.0),
}


def screens(rng: np.random.Generator, draw: Draw, trials: int = TRIALS) -> Iterator[np.ndarray]:
    """The counts of 8 that a probe's screen ends with, as it stops itself."""
    solved = rng.binomial(8, draw(rng, (trials, PROBE.limit)))
    signal = ((solved > 0) & (solved < 8)).cumsum(axis=1)
    for counts, so_far in zip(solved, signal, strict=True):
        ends = range(PROBE.batch, PROBE.limit + 1, PROBE.batch)
        yield counts[: next(n for n in ends if PROBE.zone(int(so_far[n - 1]), n) is not None)]


def probes() -> Covered:
    """What the probe says of groups of 8 (Sequential.interval), of 4, and of the solved rate
    (rate_beside), after it stopped early.
    """
    for name, draw in TRUTHS.items():
        p = draw(np.random.default_rng(0), (2_000_000,))
        truths = {f"G = {g}": float((1 - p**g - (1 - p) ** g).mean()) for g in (8, 4)}
        truths["solved"] = float(p.mean())
        hits = dict.fromkeys(truths, 0)
        for solved in screens(np.random.default_rng(7), draw):
            signal = (solved > 0) & (solved < 8)
            n = len(solved)
            of_four = [unbiased_signal((int(c), 8 - int(c)), 4) for c in solved]
            for what, got in (
                ("G = 8", PROBE.interval(int(signal.sum()), n)),
                ("G = 4", rate_beside(PROBE, signal, of_four, n=8 * n)),
                ("solved", rate_beside(PROBE, signal, solved / 8, n=8 * n)),
            ):
                hits[what] += got.low <= truths[what] <= got.high
        for what, hit in hits.items():
            yield f"{name}, {what}", share(hit)


def designs() -> Covered:
    """Sequential.interval, averaged over shares uniform on [0.01, 0.99]."""
    rng = np.random.default_rng(8)
    hits = 0
    for truth in rng.uniform(0.01, 0.99, TRIALS):
        observed = (rng.random(PROBE.limit) < truth).cumsum()
        ends = range(PROBE.batch, PROBE.limit + 1, PROBE.batch)
        n = next(n for n in ends if PROBE.zone(int(observed[n - 1]), n) is not None)
        low, high = PROBE.interval(int(observed[n - 1]), n)
        hits += low <= truth <= high
    yield "shares uniform on [0.01, 0.99]", share(hits)


FITTED = ((0.5, 1.5), (0.2, 4.0), (1.0, 20.0))


def fits(shape: tuple[float, float], *, sequential: bool) -> Covered:
    """fit_success over 100 tasks of 8 samples, or over a probe's screen with
    SuccessSpread.recalibrated, as the probe uses it.
    """
    rng = np.random.default_rng([9, int(10 * shape[0])])
    if sequential:
        data = screens(rng, beta(*shape))
    else:
        data = iter(rng.binomial(8, rng.beta(*shape, (TRIALS, 100))))
    a, b = (np.array(x) for x in shape)
    truths = {f"signal, G = {g}": float(expected_signal(a, b, g)) for g in (8, 16, 32)}
    truths |= {"pass@64": float(expected_pass_at_k(a, b, 64)), "mean": shape[0] / sum(shape)}
    hits = dict.fromkeys(truths, 0)
    for solved in data:
        spread = fit_success([(int(c), 8) for c in solved])
        if sequential:
            k, n = int(((solved > 0) & (solved < 8)).sum()), len(solved)
            spread = spread.recalibrated(
                lambda x, y: expected_signal(x, y, 8),
                lambda shares, k=k, n=n: PROBE.at_least(k, n, shares),
            )
        for what, got in (
            *((f"signal, G = {g}", spread.signal(g)) for g in (8, 16, 32)),
            ("pass@64", spread.pass_at_k(64)),
            ("mean", spread.mean()),
        ):
            hits[what] += got.low <= truths[what] <= got.high
    how = "sequential" if sequential else "100 tasks"
    for what, hit in hits.items():
        yield f"Beta{shape}, {how}, {what}", share(hit)


TABLE: dict[str, Callable[[], Covered]] = {
    "wilson_interval": wilson,
    "beta_posterior": posterior,
    "clustered_rate, 40 tasks": lambda: rates(40),
    "clustered_rate": lambda: rates(100),
    "pass_at_k_curve, n = 8": lambda: pass_curves(100, 8, (1, 2, 4, 8)),
    "pass_at_k_curve, n = 64": lambda: pass_curves(100, 64, (1, 4, 16, 32, 64)),
    "differences, n = 1": lambda: differences(100, 1),
    "differences, n = 8": lambda: differences(100, 8),
    "differences, n = 64": lambda: differences(100, 64),
    "differences, 40 tasks, n = 8": lambda: differences(40, 8),
    "mean_estimate, ratio_estimate, ratio_difference": lambda: means(100),
    "Sequential.interval": designs,
    "probe": probes,
    **{
        f"fit_success, {shape}, {how}": lambda shape=shape, how=how: fits(
            shape, sequential=how == "sequential"
        )
        for shape in FITTED
        for how in ("100 tasks", "sequential")
    },
}


def main(names: Sequence[str]) -> None:
    for name, simulate in TABLE.items():
        if not names or name in names:
            for setting, covered in simulate():
                mark = "" if 0.93 <= covered <= 0.97 else "  <-- outside"
                print(f"{name:<40} {setting:<50} {100 * covered:5.1f} %{mark}", flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
