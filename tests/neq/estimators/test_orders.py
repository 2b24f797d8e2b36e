import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ring

from neq import MaxEnt, Transitions
from neq.errors import EstimationError
from neq.estimators import uncertainty
from neq.estimators.order_features import NestedObservable
from neq.estimators.orders import OrderDecomposition
from neq.estimators.splits import split_transitions
from neq.models.kinetic_ising import KineticIsing


def exclusive_or(error=0.15, n_bin=40_000, n_unit=4, seed=0):
    """Unit 0 fires where just one of the units 1 and 2 fired in the bin before, with errors; the others toss coins."""
    rng = np.random.default_rng(seed)
    spikes = rng.random((n_bin, n_unit)) < 0.5
    spikes[1:, 0] = spikes[:-1, 1] ^ spikes[:-1, 2] ^ (rng.random(n_bin - 1) < error)
    return Transitions.from_spikes(spikes)


def pairwise():
    """Each unit excites the next one and has no other input.

    Which unit's activity came from which is a set of independent threads that go round, so the bins are independent
    across units, and the log ratio of a transition and its reverse is a sum over pairs and single units: order 2 is
    exact.
    """
    return ring(strength=1.2, bias=-1.5)


def parts(transitions, split="blocked", seed=0):
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    return split_transitions(transitions, split, rng)


def slow_objective(transitions, theta, order):
    score = NestedObservable(order).score(transitions, theta)
    return score.mean() - np.log(np.mean(np.exp(-score)))


@pytest.fixture(scope="module")
def three_body():
    return OrderDecomposition(max_order=3).fit(exclusive_or(), seed=0)


def test_three_body_drive__only_order_3_sees_it_and_reaches_the_exact_value(three_body):
    exact = (0.5 - 0.15) * np.log(0.85 / 0.15)
    assert three_body.interval[2, 0] < exact < three_body.interval[2, 1]
    assert three_body.increment_interval[2, 0] > 0.5
    assert np.abs(three_body.entropy_production[:2]).max() < 0.005
    assert not three_body.quality[2]


def test_three_body_drive__theta_is_that_of_the_one_triple(three_body):
    triples = three_body.theta[2][4 + 6 :]
    strongest = np.argmax(np.abs(triples))
    # pair (1, 2) is the fourth pair of four units, unit 0 the first of its others
    assert strongest == 3 * 2
    assert triples[strongest] == pytest.approx(-0.5 * np.log(0.85 / 0.15), rel=0.05)
    assert np.abs(np.delete(triples, strongest)).max() < 0.05


@pytest.mark.parametrize("seed", range(2))
def test_pairwise_network__order_2_is_exact_and_order_3_adds_nothing(seed):
    model = pairwise()
    transitions = Transitions.from_spikes(model.simulate(60_000, seed=seed))
    result = OrderDecomposition(max_order=3).fit(transitions, seed=seed)
    low, high = result.interval[1]
    assert low - 0.005 < model.entropy_production() < high + 0.005
    assert result.increment_interval[1, 0] > 0.1
    low, high = result.increment_interval[2]
    assert low - 0.001 < 0 < high + 0.001
    assert high - low < 0.01
    assert abs(result.entropy_production[0]) < 0.001


def test_equal_seeds_hold_out_what_maxent_holds_out():
    transitions = Transitions.from_spikes(pairwise().simulate(20_000, seed=0))
    maxent = MaxEnt(half=False).fit(transitions, seed=3)
    orders = OrderDecomposition().fit(transitions, seed=3)
    assert orders.n_test == maxent.n_test
    assert orders.entropy_production[1] == pytest.approx(maxent.entropy_production, abs=0.003)


@given(
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.1, 0.3, 0.6]),
    split=st.sampled_from(["shuffled", "blocked"]),
)
@settings(max_examples=15, deadline=None)
def test_training_objective_is_never_lower_than_that_of_the_order_below(seed, density, split):
    # so few bins that the ridge matters everywhere and validation often turns an order down
    spikes = np.random.default_rng(seed).random((400, 4)) < density
    transitions = Transitions.from_spikes(spikes)
    result = OrderDecomposition(max_order=3, split=split, n_draw=0).fit(transitions, seed=0)
    train = transitions.take(parts(transitions, split).train)
    value = [slow_objective(train, theta, order) for order, theta in enumerate(result.theta, 1)]
    np.testing.assert_allclose(result.entropy_production_train, value, atol=1e-10)
    assert (np.diff(result.entropy_production_train, prepend=0.0) >= 0).all()


def test_an_order_turned_down_is_the_one_below_padded():
    transitions = Transitions.from_spikes(np.random.default_rng(2).random((3000, 5)) < 0.3)
    result = OrderDecomposition(max_order=3).fit(transitions, seed=0)
    turned_down = [order for order in result.order if "no_evidence" in result.quality[order - 1]]
    assert turned_down
    for order in turned_down:
        below = result.theta[order - 2] if order > 1 else np.zeros(0)
        np.testing.assert_array_equal(result.theta[order - 1][: len(below)], below)
        assert not result.theta[order - 1][len(below) :].any()
        assert result.increment[order - 1] == 0
        low, high = result.increment_interval[order - 1]
        assert low < high


def test_increments_add_up_and_intervals_are_paired():
    transitions = Transitions.from_spikes(pairwise().simulate(20_000, seed=4))
    result = OrderDecomposition(max_order=2, n_draw=200).fit(transitions, seed=0)
    np.testing.assert_allclose(result.increment.cumsum(), result.entropy_production_uncapped, atol=1e-14)
    test = transitions.take(parts(transitions).test)
    scores = [NestedObservable(order).score(test, theta) for order, theta in enumerate(result.theta, 1)]
    length = [
        uncertainty.block_length(NestedObservable(order).score(transitions, theta), 20_000)
        for order, theta in enumerate(result.theta, 1)
    ]
    _, block = np.unique(uncertainty.time_blocks(test, max(length)), return_inverse=True)
    n_block = block.max() + 1
    assert n_block == result.n_interval_block
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1,)))
    changes = []
    for _ in range(200):
        times = rng.multinomial(n_block, np.full(n_block, 1 / n_block))[block]
        low, high = (
            np.average(score, weights=times) - np.log(np.average(np.exp(-score), weights=times)) for score in scores
        )
        changes.append(high - low)
    expected = uncertainty.percentile_interval(np.array(changes), n_block)
    np.testing.assert_allclose(result.increment_interval[1], expected, rtol=1e-9)


def test_pairing_makes_the_interval_of_a_small_increment_narrow(three_body):
    # order 2 adds nothing to order 1, whatever the blocks: their difference varies much less than a value does
    narrow, wide = (np.ptp(interval) for interval in (three_body.increment_interval[1], three_body.interval[2]))
    assert narrow < 0.1 * wide


def test_too_few_blocks__nan_with_a_reason():
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((100, 3)) < 0.3)
    result = OrderDecomposition().fit(transitions, seed=0)
    assert np.isnan(result.interval).all()
    assert np.isnan(result.increment_interval).all()
    assert "20 are needed" in result.reason
    assert np.isfinite(result.entropy_production).all()
    assert OrderDecomposition(n_draw=0).fit(transitions).reason == "no interval: n_draw is 0"


def test_same_seed_same_bits():
    transitions = exclusive_or(n_bin=3000)
    one, two = (OrderDecomposition(max_order=3).fit(transitions, seed=np.random.SeedSequence(5)) for _ in range(2))
    for field in ("entropy_production", "interval", "increment_interval", "entropy_production_train"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


@pytest.mark.parametrize(
    ("options", "n_unit", "message"),
    [
        ({"max_order": 3}, 41, "at most 40 units; found 41"),
        ({"max_order": 5}, 3, "max_order must be 1, 2 or 3"),
        ({"max_order": 2}, 1, "need 2 units or more"),
        ({"split": "odd"}, 3, "split must be one of"),
    ],
)
def test_fit__names_what_is_wrong(options, n_unit, message):
    transitions = Transitions.from_spikes(np.random.default_rng(0).random((200, n_unit)) < 0.3)
    with pytest.raises(EstimationError, match=message):
        OrderDecomposition(**options).fit(transitions)


def test_fit__silent_units_are_an_error():
    with pytest.raises(EstimationError, match="no order 1 observable of the 3 units varies"):
        OrderDecomposition().fit(Transitions.from_spikes(np.zeros((200, 3), bool)))


@pytest.mark.parametrize("options", [{"fractions": (0.5, 0.5, 0.5)}, {"n_draw": -1}])
def test_options_are_checked(options):
    with pytest.raises(EstimationError, match=next(iter(options))):
        OrderDecomposition(**options)


@pytest.mark.long
def test_40_units_and_100_000_transitions_in_minutes():
    rng = np.random.default_rng(0)
    coupling = rng.normal(size=(40, 40)) * (rng.random((40, 40)) < 0.1)
    model = KineticIsing(couplings=coupling, bias=np.full(40, -2.5))
    transitions = Transitions.from_spikes(model.simulate(100_001, seed=0))
    result = OrderDecomposition(max_order=3).fit(transitions, seed=0)
    assert result.increment[1] > 0.05
    assert abs(result.increment[2]) < 0.1 * result.increment[1]
