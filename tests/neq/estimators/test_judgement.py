import numpy as np
import pytest

from neq.estimators.judgement import HeldOut, judge

N = 400
CAP = np.log(N)


def part(value=1.0, half=1.0, evidence=True, spread=0.0, tail=False):
    """Return held-out transitions with this J, the scores of all of them alike or, in turn, apart by ``spread``."""
    score = np.full(N, value) + spread * np.repeat([1, -1], N // 2)
    reverse = np.zeros(N)
    if tail:
        reverse[0] = 30.0
        score += np.log(np.mean(np.exp(reverse)))
    return HeldOut(score, reverse, np.arange(N) // 10, evidence=evidence, half=half)


def quality(*folds):
    return set(judge(folds, 999, np.random.default_rng(0)).quality)


# sd of the bootstrapped mean of 40 blocks of scores apart by 1 from their mean
DEVIATION = 1 / np.sqrt(40)


@pytest.mark.parametrize(
    ("case", "flags"),
    [
        ({}, set()),
        ({"tail": True}, {"tail_limited"}),
        ({"value": CAP - 0.01, "half": CAP}, set()),
        ({"value": CAP + 0.01, "half": CAP}, {"capped"}),
        ({"evidence": False, "half": 0.0}, {"no_evidence", "data_limited"}),
        ({"value": CAP + 1, "evidence": False, "half": 0.0}, {"no_evidence", "data_limited"}),
        # within a tenth of the value, on either side
        ({"half": 0.91}, set()),
        ({"half": 1.09}, set()),
        ({"half": 0.89}, {"data_limited"}),
        ({"half": 1.11}, {"data_limited"}),
        ({"value": -1.0, "half": -0.91}, set()),
        # or within one standard error, where that is more
        ({"half": 0.81, "spread": 0.2 / DEVIATION}, set()),
        ({"half": 0.76, "spread": 0.2 / DEVIATION}, {"data_limited"}),
        ({"half": 0.91, "spread": 0.05 / DEVIATION}, set()),
        ({"half": 0.89, "spread": 0.05 / DEVIATION}, {"data_limited"}),
        # not asked for
        ({"half": np.nan}, set()),
        ({"value": CAP + 1, "half": -50.0, "tail": True}, {"capped", "tail_limited", "data_limited"}),
    ],
)
def test_quality__each_doubt_has_its_own_reason(case, flags):
    assert quality(part(**case)) == flags


def test_judge__one_part_is_itself_and_equal_parts_change_nothing_but_the_noise():
    one = part(value=0.3, half=0.3, spread=0.1)
    alone, twice = (judge(folds, 999, np.random.default_rng(0)) for folds in ([one], [one, one]))
    assert alone.entropy_production == one.value == one.objective
    assert twice.entropy_production == pytest.approx(one.value, abs=1e-15)
    assert twice.effective_sample_size == one.tail.effective_sample_size
    assert (twice.n_test, twice.n_interval_block) == (2 * N, 80)
    width = [np.ptp(verdict.interval) for verdict in (alone, twice)]
    assert width[0] / width[1] == pytest.approx(np.sqrt(2), rel=0.1)


def test_judge__a_fold_without_evidence_counts_as_zero_and_half_of_them_flag_the_whole():
    good, none = part(value=0.6, half=0.6), part(value=0.5, half=0.0, evidence=False)
    mostly = judge([good, good, none], 99, np.random.default_rng(0))
    assert mostly.entropy_production == pytest.approx(0.4)
    assert mostly.entropy_production_uncapped == pytest.approx(1.7 / 3)
    np.testing.assert_allclose(mostly.fold_entropy_production, [0.6, 0.6, 0.0])
    assert mostly.quality == set()
    assert quality(good, none) == {"no_evidence", "data_limited"}
    assert judge([none, none], 99, np.random.default_rng(0)).entropy_production == 0.0


def test_judge__caps_each_fold_and_weighs_folds_by_their_transitions():
    high = part(value=CAP + 2, half=CAP)
    small = HeldOut(np.full(100, 0.2), np.zeros(100), np.arange(100) // 10, half=0.2)
    verdict = judge([high, small], 0, np.random.default_rng(0))
    assert verdict.entropy_production == pytest.approx(0.8 * CAP + 0.2 * 0.2)
    assert verdict.entropy_production_uncapped == pytest.approx(0.8 * (CAP + 2) + 0.2 * 0.2)
    assert verdict.quality == {"capped"}
    assert np.isnan(verdict.p_value)
    assert "n_draw is 0" in verdict.reason


def test_judge__size_and_bias_of_folds_belong_together():
    even, heavy = part(), part(tail=True)
    verdict = judge([even, heavy], 0, np.random.default_rng(0))
    assert verdict.bias == pytest.approx((even.tail.bias + heavy.tail.bias) / 2)
    # bias = (1 / effective size - 1 / size) / 2 in one part
    assert 2 * verdict.bias == pytest.approx(1 / verdict.effective_sample_size - 1 / N)


def test_trajectory_score__averages_to_the_objective():
    u, v = np.random.default_rng(0).normal(size=(2, 300))
    fold = HeldOut(u, v, np.arange(300) // 10)
    assert fold.trajectory_score.mean() == pytest.approx(fold.objective, abs=1e-14)


@pytest.mark.parametrize(("noise", "factor"), [(0.0, 1.0), (1.0, 1.5), (np.sqrt(0.5), 1.25), (3.0, 1.5)])
def test_judge__widens_the_interval_of_folds_by_the_noise_that_they_share(noise, factor):
    score = 0.05 * np.random.default_rng(0).normal(size=(3, N))
    folds = [HeldOut(u, -u, np.arange(N) // 10, noise=noise * np.stack([u, -u])) for u in score]
    plain, wide = (np.ptp(judge(folds, 499, np.random.default_rng(0), overlap).interval) for overlap in (0.0, 0.5))
    assert (wide / plain) ** 2 == pytest.approx(factor, rel=0.01)


def test_judge__p_value_of_folds_counts_shared_data_in_full():
    score = np.random.default_rng(1).normal(0.02, 0.2, size=(3, N))
    folds = [HeldOut(u, -u, np.arange(N) // 10) for u in score]
    plain, shared = (judge(folds, 999, np.random.default_rng(0), overlap).p_value for overlap in (0.0, 0.9))
    assert plain < shared < 0.5
