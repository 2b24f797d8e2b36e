import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neq import Transitions
from neq.estimators import uncertainty


def slow_objective(u, v):
    return u.mean() - np.log(np.mean(np.exp(v)))


@given(seed=st.integers(0, 999), n_block=st.integers(1, 8))
def test_block_scores__objective_is_that_of_the_transitions(seed, n_block):
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, 40))
    blocks = uncertainty.block_scores(u, v, np.sort(rng.integers(0, n_block, 40)))
    assert blocks.objective == pytest.approx(slow_objective(u, v), abs=1e-12)
    assert blocks.count.sum() == 40


def test_bootstrap__is_that_of_resampled_blocks():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 60))
    block = np.arange(60) // 3
    blocks = uncertainty.block_scores(u, v, block)
    got = blocks.bootstrap(5, np.random.default_rng(1))
    times = np.random.default_rng(1).multinomial(20, np.full(20, 1 / 20), size=5)
    expected = [
        slow_objective(*(np.concatenate([np.tile(s[block == b], n) for b, n in enumerate(row)]) for s in (u, v)))
        for row in times
    ]
    np.testing.assert_allclose(got, expected)


def test_reversed_at_random__exchanges_scores_of_whole_blocks():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 60))
    block = np.arange(60) // 3
    got = uncertainty.block_scores(u, v, block).reversed_at_random(5, np.random.default_rng(1))
    turned = np.random.default_rng(1).random((5, 20)) < 0.5
    expected = [slow_objective(np.where(row[block], v, u), np.where(row[block], u, v)) for row in turned]
    np.testing.assert_allclose(got, expected)


def test_block_scores__extreme_scores_stay_finite():
    u = np.array([800.0, -800.0, 3.0, 4.0])
    blocks = uncertainty.block_scores(u, -u, np.arange(4))
    assert np.isfinite(blocks.objective)
    assert np.isfinite(blocks.bootstrap(50, np.random.default_rng(0))).all()
    assert np.isfinite(blocks.reversed_at_random(50, np.random.default_rng(0))).all()


def test_time_blocks__never_cross_a_border():
    segment = np.repeat([0, 1, 2], [25, 7, 31])
    transitions = Transitions.from_spikes(np.zeros((63, 2), bool), segment)
    block = uncertainty.time_blocks(transitions, 10)
    for number in np.unique(block):
        inside = transitions.earlier[block == number]
        assert len(set(segment[inside])) == 1
        assert inside.max() - inside.min() < 10
    assert len(np.unique(block)) == 3 + 1 + 3


def test_autocorrelation_time__of_an_autoregressive_process():
    rng = np.random.default_rng(0)
    series, memory = np.zeros(200_000), 0.8
    noise = rng.normal(size=series.size)
    for t in range(1, series.size):
        series[t] = memory * series[t - 1] + noise[t]
    assert uncertainty.autocorrelation_time(series) == pytest.approx((1 + memory) / (1 - memory), rel=0.1)


@pytest.mark.parametrize("series", [np.zeros(50), np.ones(1), np.array([1.0, 2.0])])
def test_autocorrelation_time__of_degenerate_series(series):
    assert uncertainty.autocorrelation_time(series) >= 1


def test_block_length__bounds_the_number_of_blocks():
    white = np.random.default_rng(0).normal(size=100_000)
    assert 100 <= uncertainty.block_length(white, 100_000) <= 110
    assert 10 <= uncertainty.block_length(white[:1000], 1000) <= 15


def test_p_value__uniform_for_symmetric_scores():
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        u = rng.normal(0, 0.3, 300)
        blocks = uncertainty.block_scores(u, -u, np.arange(300) // 10)
        p_values.append(uncertainty.reversal_p_value([blocks], 199, rng))
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_p_value__smallest_for_irreversible_scores():
    u = np.random.default_rng(0).normal(0.5, 0.3, 1000)
    blocks = uncertainty.block_scores(u, -u, np.arange(1000) // 10)
    assert uncertainty.reversal_p_value([blocks], 999, np.random.default_rng(0)) == 0.001


def test_p_value__one_where_nothing_distinguishes_the_directions():
    blocks = uncertainty.block_scores(np.zeros(100), np.zeros(100), np.arange(100))
    assert uncertainty.reversal_p_value([blocks], 99, np.random.default_rng(0)) == 1.0


def test_interval__covers_the_objective_of_the_law():
    # Gaussian scores with variance 2 m have J = m exactly; the sampling spread is known by repetition.
    mean = 0.1
    covered, widths, values = 0, [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        u = rng.normal(mean, np.sqrt(2 * mean), 2000)
        blocks = uncertainty.block_scores(u, -u, np.arange(2000) // 10)
        low, high = uncertainty.percentile_interval(blocks.bootstrap(300, rng), blocks.n_block)
        truth = mean + mean - np.log(np.exp(mean))  # <u> - ln <exp(-u)> = m - (-m + m)
        covered += low <= truth <= high
        widths.append(high - low)
        values.append(blocks.objective)
    assert covered >= 88
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(values), rel=0.2)


def test_tail_weight__counts_what_decides():
    even = uncertainty.tail_weight(np.zeros(1000))
    one = uncertainty.tail_weight(np.append(np.zeros(999), 100.0))
    assert even.effective_sample_size == pytest.approx(1000)
    assert one.effective_sample_size == pytest.approx(1)
    assert one.bias == pytest.approx(0.5, rel=0.01)


def test_bootstrap__a_draw_without_the_heaviest_block_keeps_its_precision():
    # One block outweighs the others by e^800: without it their weights vanish in the common scale.
    v = np.append(np.zeros(29), 800.0)
    blocks = uncertainty.block_scores(np.zeros(30), v, np.arange(30))
    draws = blocks.bootstrap(200, np.random.default_rng(0))
    assert np.isfinite(draws).all()
    without = draws > -1
    assert without.any()
    np.testing.assert_allclose(draws[without], 0.0, atol=1e-9)


def test_bootstrap__many_short_stretches_need_little_memory():
    tracemalloc.start()
    u = np.random.default_rng(0).normal(size=8000)
    uncertainty.block_scores(u, -u, np.arange(8000)).bootstrap(999, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
