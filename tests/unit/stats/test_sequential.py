"""The sequential design against enumeration, simulation and a design of fixed size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as oracle

from minirl.stats import Sequential, rate_beside, signal_probability, wilson_interval

PROBE = Sequential()  # thresholds .1 and .3, batches of 8 from 24 to 256
SMALL = Sequential(0.3, 0.6, batch=2, least=4, limit=10, odds_ratio=4.0, error=0.2)
ZONES = ("low", "middle", "high")


def end_of(design: Sequential, observed: np.ndarray) -> tuple[int, int]:
    """Walk through the observations as the probe does, a batch at a time."""
    for n in range(design.batch, design.limit + 1, design.batch):
        k = int(observed[:n].sum())
        if design.zone(k, n) is not None:
            return k, n
    raise AssertionError("the design must end at its limit")


def chances(design: Sequential, share: float) -> dict[str, float]:
    """The exact chance of each answer."""
    chance = design.probabilities(share)
    zones = [design.zone(k, n) for k, n in design.ends]
    return {z: float(chance @ np.array([zone == z for zone in zones])) for z in ZONES}


def test_ends_and_probabilities_equal_enumeration():
    share = 0.45
    counted: dict[tuple[int, int], float] = {}
    for flips in itertools.product((0, 1), repeat=SMALL.limit):
        chance = share ** sum(flips) * (1 - share) ** (SMALL.limit - sum(flips))
        end = end_of(SMALL, np.array(flips))
        counted[end] = counted.get(end, 0.0) + chance
    assert set(SMALL.ends) == set(counted)
    got = dict(zip(SMALL.ends, SMALL.probabilities(share), strict=True))
    assert got == pytest.approx(counted)
    mean = sum(n * chance for (_, n), chance in counted.items())
    assert SMALL.expected(share) == pytest.approx(mean)


@pytest.mark.parametrize("share", [0.0, 0.024, 0.1, 0.149, 0.3, 0.57, 0.992, 1.0])
def test_probabilities_sum_to_one(share):
    assert PROBE.probabilities(share).sum() == pytest.approx(1)


def test_simulation_ends_as_often_as_the_probabilities_say():
    rng = np.random.default_rng(0)
    runs = 3000
    ends = [end_of(PROBE, rng.random(256) < 0.149) for _ in range(runs)]
    share_low = sum(PROBE.zone(k, n) == "low" for k, n in ends) / runs
    assert share_low == pytest.approx(chances(PROBE, 0.149)["low"], abs=0.007)
    assert np.mean([n for _, n in ends]) == pytest.approx(PROBE.expected(0.149), rel=0.03)


@pytest.mark.parametrize(("share", "zone"), [(0.0, "low"), (0.2, "middle"), (0.9, "high")])
def test_plain_cases_are_answered_early(share, zone):
    assert chances(PROBE, share)[zone] > 0.99
    assert PROBE.expected(share) < 100


def test_tests_err_at_most_about_as_often_as_they_were_told_to():
    half = np.sqrt(PROBE.odds_ratio)
    for threshold, below, above in ((0.1, "low", "middle"), (0.3, "middle", "high")):
        odds = threshold / (1 - threshold)
        for edge, right in ((odds / half, below), (odds * half, above)):
            wrong = 1 - chances(PROBE, edge / (1 + edge))[right]
            assert wrong < 0.06  # 0.03, and what the limit of 256 costs at the zone's very edge


def test_it_answers_at_the_limit_and_says_that_it_had_to():
    assert PROBE.zone(26, 256) == "middle"
    assert not PROBE.decided(26, 256)
    assert PROBE.zone(25, 256) == "low"
    assert PROBE.decided(0, 56)
    assert PROBE.zone(0, 16) is None


# Against a design of fixed size -------------------------------------------------------------------

TRUTHS = [signal_probability(p, 8) for p in (0.0, 0.003, 0.02, 0.1, 0.5, 0.97)]


def edges() -> list[tuple[float, str]]:
    """The shares on the edges of the zones of indifference, with their right answers."""
    half = np.sqrt(PROBE.odds_ratio)
    out = []
    for threshold, below, above in ((0.1, "low", "middle"), (0.3, "middle", "high")):
        odds = threshold / (1 - threshold)
        out += [(odds / half / (1 + odds / half), below), (odds * half / (1 + odds * half), above)]
    return out


def as_good(n: int, errors: list[float]) -> bool:
    """Whether two cut-offs let n observations err no more often, on each edge, than ``errors``."""
    shares, cuts = [share for share, _ in edges()], np.arange(n + 1)
    return all(
        (
            (oracle.binom.sf(cuts - 1, n, shares[i]) <= errors[i])
            & (oracle.binom.cdf(cuts - 1, n, shares[i + 1]) <= errors[i + 1])
        ).any()
        for i in (0, 2)
    )


def test_half_the_samples_of_a_fixed_design_at_equal_error():
    errors = [1 - chances(PROBE, share)[right] for share, right in edges()]
    fixed = next(n for n in range(24, 1000) if as_good(n, errors))
    assert fixed == 245
    expected = [PROBE.expected(y) for y in TRUTHS]
    assert max(expected) <= fixed / 2
    assert np.mean(expected) <= 0.3 * fixed
    everywhere = np.mean([PROBE.expected(y) for y in np.linspace(0.0, 1.0, 201)])
    assert everywhere <= 0.3 * fixed


# Intervals ----------------------------------------------------------------------------------------


def test_interval_without_early_stops_is_the_mid_p_interval():
    fixed = Sequential(batch=40, least=40, limit=40)
    low, high = fixed.interval(7, 40)

    def at_least(k: int, share: float) -> float:
        return oracle.binom.sf(k, 40, share) + oracle.binom.pmf(k, 40, share) / 2

    assert at_least(7, low) == pytest.approx(0.025, abs=1e-6)
    assert at_least(7, high) == pytest.approx(0.975, abs=1e-6)
    assert fixed.interval(0, 40).low == 0.0
    assert fixed.interval(40, 40).high == 1.0


def test_interval_coverage_is_exact():
    """Averaged over shares: ends are discrete, so that no method holds 95 % at each share. It is
    computed, not simulated, from the probabilities that the enumeration above has shown right.
    """
    shares = np.linspace(0.005, 0.995, 199)
    bounds = np.array([PROBE.interval(k, n) for k, n in PROBE.ends])
    inside = (bounds[:, 0] <= shares[:, None]) & (shares[:, None] <= bounds[:, 1])
    coverage = (PROBE.probabilities(shares) * inside).sum(axis=1)
    assert 0.95 <= coverage.mean() <= 0.96
    assert coverage.min() > 0.92
    moderate = coverage[(shares > 0.05) & (shares < 0.9)]
    assert 0.94 <= moderate.mean() <= 0.96


@pytest.mark.parametrize("further", [8, 24])
def test_prediction_coverage_is_exact(further):
    """Over every end of the design and every count that may follow, for each share."""
    shares = np.linspace(0.02, 0.98, 33)
    bounds = np.array([PROBE.predicted(k, n, further) for k, n in PROBE.ends])  # (ends, 2)
    inside = np.array(
        [
            oracle.binom.cdf(bounds[:, 1], further, y)
            - oracle.binom.cdf(bounds[:, 0] - 1, further, y)
            for y in shares
        ]
    )  # (shares, ends)
    covered = (PROBE.probabilities(shares) * inside).sum(axis=1)
    assert covered.min() >= 0.93
    assert 0.945 <= covered.mean() <= 0.985


def test_predictions_of_many_observations_are_the_shares_own_interval():
    low, high = PROBE.interval(16, 24)
    least, most = PROBE.predicted(16, 24, 4000)
    assert least / 4000 == pytest.approx(low, abs=0.02)
    assert most / 4000 == pytest.approx(high, abs=0.02)
    assert PROBE.predicted(24, 24, 8)[1] == 8
    with pytest.raises(ValueError, match="further must be at least 1"):
        PROBE.predicted(16, 24, 0)


def test_estimate_corrects_what_stopping_early_exaggerates():
    for share in (0.149, 0.216, 0.35, 0.57):
        chance = PROBE.probabilities(share)
        median = [PROBE.estimate(k, n) for k, n in PROBE.ends]
        above = float(chance @ np.array([m > share for m in median]))
        assert above == pytest.approx(0.5, abs=0.06)
        plain = float(chance @ np.array([k / n for k, n in PROBE.ends]))
        assert abs(chance @ np.array(median) - share) < abs(plain - share) + 0.004


def test_a_higher_estimate_has_a_higher_interval():
    ends = sorted(PROBE.ends, key=lambda end: end[0] / end[1])
    lows, highs = zip(*(PROBE.interval(k, n) for k, n in ends), strict=True)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(lows))
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(highs))


def test_only_an_end_has_an_interval():
    with pytest.raises(ValueError, match="the design does not end at 5 of 30"):
        PROBE.interval(5, 30)


@pytest.mark.parametrize(
    "change",
    [
        {"low": 0.4},
        {"low": 0.0},
        {"least": 20},
        {"limit": 16},
        {"limit": 250},
        {"odds_ratio": 1.0},
        {"error": 0.5},
    ],
)
def test_impossible_designs_are_refused(change):
    with pytest.raises(ValueError, match=r"expected .*got"):
        Sequential(**change)


# Rates beside the design --------------------------------------------------------------------------


def test_a_rate_that_is_the_observation_takes_the_designs_interval():
    k, n = next((k, n) for k, n in PROBE.ends if n == 48 and k / n > 0.3)
    observed = [True] * k + [False] * (n - k)
    got = rate_beside(PROBE, observed, [float(o) for o in observed], n=n)
    low, high = PROBE.interval(k, n)
    assert got.value == pytest.approx(PROBE.estimate(k, n))
    assert (got.low, got.high) == pytest.approx((low, high), abs=0.02)


def test_a_rate_apart_from_the_observation_is_an_ordinary_mean():
    observed = [i % 4 != 0 for i in range(24)]
    values = [float(i % 8 < 4) for i in range(24)]  # as often beside a yes as beside a no
    got = rate_beside(PROBE, observed, values, n=24)
    assert got.value == pytest.approx(0.5)
    assert (got.low, got.high) == pytest.approx(wilson_interval(12, 24), abs=0.02)
    assert (got.n, got.tasks) == (24, 24)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_rate_without_any_spread_keeps_a_width(value):
    got = rate_beside(PROBE, [False] * 56, [value] * 56, n=448)
    assert got.value == value
    assert got.high - got.low == pytest.approx(0.064, abs=0.001)  # Wilson's of 56


def test_a_rate_needs_a_value_an_observation():
    with pytest.raises(ValueError, match="a value for each observation, got 3 for 56"):
        rate_beside(PROBE, [False] * 56, [0.0] * 3, n=448)
