import numpy as np
import pytest

import neq
from neq import seeds
from neq.estimators.ridge_path import PathOptions
from neq.spikes.surrogates import surrogate
from neq.spikes.transitions import Transitions
from neq.variables import quality_bits
from workflows import config as configs
from workflows.studies import neural_compute, study_class
from workflows.studies.population import Population

BIN = 0.02
OPTIONS = {
    "method": "maxent",
    "observable": "antisymmetric",
    "split": "blocked",
    "cross_fit": 0,
    "lag": 1,
    "surrogate": "none",
    "n_draw": 99,
    "max_order": 2,
}


def population_of(spikes, segment, lag=1):
    n_bin, n_unit = spikes.shape
    return Population(
        transitions=Transitions.from_spikes(spikes, segment, lag),
        unit=np.arange(n_unit),
        area=np.array(["V1", "LM"] * n_unit, dtype=object)[:n_unit],
        activity=spikes.mean(axis=0),
        bin_size=BIN,
        time=10.0 + BIN * np.arange(n_bin),
        segment=segment,
        event_time=np.array([10.0]),
        event_name=np.array(["trial"], dtype=object),
    )


@pytest.fixture(scope="module")
def spikes():
    """Return four units that fire in turn, with noise, in two segments."""
    rng = np.random.default_rng(0)
    return np.tile(np.eye(4, dtype=bool), (1000, 1)) ^ (rng.random((4000, 4)) < 0.25), np.repeat([0, 1], [1500, 2500])


def estimate(spikes, store=(), seed=7, half=False, **options):
    array, segment = spikes
    chosen = OPTIONS | options
    population = population_of(array, segment, chosen["lag"])
    turned = surrogate(population.transitions, chosen["surrogate"], np.random.default_rng(1))
    values = neural_compute.estimate(turned, population, chosen, store, np.random.SeedSequence(seed), half=half)
    return values, turned


@pytest.mark.parametrize("method", ["maxent", "newton_step", "mtur"])
def test_estimate__is_the_method_that_is_named(spikes, method):
    values, transitions = estimate(spikes, method=method)
    seed = np.random.SeedSequence(7)
    if method == "mtur":
        result = neq.MTUR(n_draw=99, held_out=True).fit(transitions, seed=seed)
        expected, train = result.entropy_production_held_out, result.entropy_production
    else:
        kind = {"maxent": neq.MaxEnt, "newton_step": neq.NewtonStep}[method]
        result = kind(n_draw=99, half=False).fit(transitions, seed=seed)
        expected, train = result.entropy_production, result.entropy_production_train
    assert expected > 0.05
    assert values["entropy_production"] == expected
    assert values["entropy_production_train"] == train
    assert (values["interval_low"], values["interval_high"]) == result.interval
    assert values["p_value"] == result.p_value
    assert values["n_test"] == result.n_test
    np.testing.assert_array_equal(values["theta"], result.theta)


def test_estimate__methods_share_the_held_out_part(spikes):
    found = [estimate(spikes, method=method)[0] for method in ("maxent", "newton_step", "mtur")]
    assert len({values["n_test"] for values in found}) == 1
    assert len({values["spikes_per_bin"] for values in found}) == 1


def test_estimate__flags_of_a_relation_are_those_of_its_held_out_value(spikes):
    certain = np.tile(np.eye(4, dtype=bool), (500, 1)), np.zeros(2000, int)
    values, _ = estimate(certain, method="mtur")
    assert values["entropy_production"] == np.log(values["n_test"])
    assert values["entropy_production_uncapped"] > values["entropy_production"]
    assert values["quality"] == quality_bits({"capped"})
    noise = np.random.default_rng(0).random((1000, 12)) < 0.3, np.zeros(1000, int)
    values, transitions = estimate(noise, method="mtur")
    assert "data_limited" in neq.MTUR().fit(transitions).quality
    assert values["quality"] == 0


def test_estimate__folds(spikes):
    values, transitions = estimate(spikes, cross_fit=4)
    result = neq.MaxEnt(cross_fit=4, n_draw=99, half=False).fit(transitions, seed=np.random.SeedSequence(7))
    assert values["n_fold"] == 4
    np.testing.assert_array_equal(values["fold_entropy_production"], result.fold_entropy_production)
    assert len(set(values["fold_entropy_production"])) == 4
    assert values["entropy_production"] == result.entropy_production
    assert values["ridge"] == result.ridge
    assert estimate(spikes)[0]["n_fold"] == 1


@pytest.mark.parametrize("lag", [1, 3])
def test_estimate__per_spike_is_rate_over_spikes_per_second(spikes, lag):
    values, _ = estimate(spikes, lag=lag)
    assert abs(values["entropy_production"]) > 1e-3
    assert values["entropy_production_rate"] == pytest.approx(values["entropy_production"] / (lag * BIN))
    spikes_per_second = values["spikes_per_bin"] / BIN
    assert values["entropy_production_per_spike"] == pytest.approx(
        values["entropy_production_rate"] / spikes_per_second
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cross_fit": 3},
        {"split": "shuffled"},
        {"observable": "flow"},
        {"observable": "flow", "cross_fit": 3},
        {"method": "newton_step"},
        {"lag": 2},
        {"surrogate": "time_reversal"},
    ],
)
def test_estimate__contributions_and_scores_add_up_to_the_value(spikes, options):
    values, transitions = estimate(spikes, store=["contributions", "scores"], **options)
    value = values["entropy_production_uncapped"]
    total = values["contribution"].sum()
    assert total - values["log_normaliser"] == pytest.approx(value, rel=1e-9)
    assert values["contribution_unit"].sum() == pytest.approx(total)
    known = np.isfinite(values["score"])
    assert known.sum() == values["n_test"]
    if not options.get("cross_fit"):
        assert values["score"][known].mean() == pytest.approx(value, rel=1e-9)
    later = np.maximum(transitions.earlier, transitions.later)
    np.testing.assert_allclose(values["score_time"], 10.0 + BIN * later)
    np.testing.assert_array_equal(values["score_segment"], (later >= 1500).astype(int))


@pytest.mark.parametrize("cross_fit", [0, 3])
def test_estimate__scores_are_those_of_the_estimator(spikes, cross_fit):
    values, transitions = estimate(spikes, store=["scores"], cross_fit=cross_fit)
    maxent = neq.MaxEnt(cross_fit=cross_fit or None, n_draw=0, half=False, scores=True)
    expected = maxent.fit(transitions, seed=np.random.SeedSequence(7)).score
    np.testing.assert_allclose(values["score"], expected, rtol=1e-9, atol=1e-12)


def test_estimate__mtur_has_no_contributions(spikes):
    values, _ = estimate(spikes, store=["contributions", "scores", "orders"], method="mtur")
    assert not {"contribution", "score", "order_increment"} & set(values)


def test_estimate__orders(spikes):
    values, transitions = estimate(spikes, store=["orders"], max_order=3)
    result = neq.OrderDecomposition(max_order=3, n_draw=99).fit(transitions, seed=np.random.SeedSequence(7))
    np.testing.assert_array_equal(values["order_entropy_production"], result.entropy_production)
    np.testing.assert_array_equal(values["order_increment_low"], result.increment_interval[:, 0])
    assert values["order_increment"].shape == (3,)
    assert values["order_increment"][1] > 0.05 > abs(values["order_increment"][0])


def test_estimate__units_that_an_order_does_not_have_are_said(spikes):
    array, segment = spikes
    values, _ = estimate((array[:, :2], segment), store=["orders"], max_order=3)
    assert "order_increment" not in values
    assert "no orders: up to order 3 needs 3 units or more, order 3 at most 40; there are 2" in values["reason"]


def test_versions__of_the_methods_asked_for():
    assert neural_compute.versions(["maxent", "mtur"]) == {
        "maxent": neq.MaxEnt.version,
        "mtur": neq.MTUR.version,
        "orders": neq.OrderDecomposition.version,
    }


def test_n_fit__grows_with_folds_and_orders():
    def cost(with_orders=False, n_unit=20, **options):
        return neural_compute.n_fit(OPTIONS | options, n_unit, with_orders)

    assert cost(method="mtur") < cost(method="newton_step") < cost() < cost(cross_fit=5) < cost(cross_fit=10)
    assert cost() < cost(True) < cost(True, max_order=3) < cost(True, n_unit=40, max_order=3)


SYNTHETIC = """
recordings: {kind: synthetic, sessions: [a], options: {n_unit: 6, duration: 20}}
conditions: [driven]
sizes: [3, all]
repetitions: 1
estimator: {n_draw: 99}
"""


def make(folder, *overrides):
    path = folder / "study.yaml"
    path.write_text(SYNTHETIC)
    config = configs.load(path, list(overrides))
    return study_class(config.study)(config)


def test_compute__labels_of_method_and_folds_decide(tmp_path):
    study = make(tmp_path, "axes.method=[maxent, newton_step]")
    prepared = study.ingest(study.sources()[0], tmp_path)
    folded = make(tmp_path, "axes.cross_fit=[null, 3]", "store=[theta, contributions, scores, orders]")
    lengths = folded.dimensions([prepared])
    assert folded.axes()[2].labels == (0, 3)
    cell = {"session": "a", "condition": "driven", "size": 0, "repetition": 0}

    def value(one, **labels):
        full = cell | labels
        return one.compute(full, one.open_inputs(full, prepared, tmp_path))

    single = value(study, method="maxent")
    assert value(study, method="newton_step")["shrinkage"] >= 0
    assert single["shrinkage"] in PathOptions().shrinkage
    again, crossed = value(folded, cross_fit=0), value(folded, cross_fit=3)
    assert again["entropy_production"] == single["entropy_production"]
    assert (again["n_fold"], crossed["n_fold"]) == (1, 3)
    declared = {output.name: output for output in folded.outputs()}
    assert set(crossed) == {*declared, "quality"}
    for name, output in declared.items():
        if output.dims:
            assert np.shape(crossed[name])[0] <= lengths[output.dims[0]], name


def test_settings__stored_things_change_no_hash_and_methods_do(tmp_path):
    settings = make(tmp_path).settings()
    assert settings == make(tmp_path, "store=[theta, contributions, scores, orders]").settings()
    changes = ("estimator.method=mtur", "estimator.cross_fit=5", "estimator.max_order=3")
    for override in changes:
        assert settings != make(tmp_path, override).settings()
    one, two = (make(tmp_path, f"axes.method={labels}").settings() for labels in ("[maxent]", "[maxent, mtur]"))
    assert one == two
    assert set(one["versions"]) == {"maxent", "newton_step", "mtur", "orders"}


def test_cost__knows_the_folds(tmp_path):
    study = make(tmp_path, "axes.cross_fit=[0, 5]")
    cell = {"session": "a", "condition": "driven", "size": 6, "repetition": 0}
    assert study.cost(cell | {"cross_fit": 5}, {}) == 6 * study.cost(cell | {"cross_fit": 0}, {})


def test_seeds__of_the_split_are_those_of_the_labels(tmp_path):
    study = make(tmp_path, "store=[scores]")
    prepared = study.ingest(study.sources()[0], tmp_path)
    labels = {"session": "a", "condition": "driven", "repetition": 0}
    cell = labels | {"size": 0}
    population, _ = study.open_inputs(cell, prepared, tmp_path)
    values = study.compute(cell, (population, {}))
    order = np.argsort(population.unit)
    drawn = [int(np.flatnonzero(population.unit == unit)[0]) for unit in values["drawn_unit"]]
    assert sorted(drawn) == sorted(order.tolist())
    seed = seeds.seed_sequence(0, **labels, role="split")
    result = neq.MaxEnt(n_draw=0, half=False, scores=True).fit(population.transitions.select_units(drawn), seed=seed)
    np.testing.assert_allclose(values["score"], result.score, rtol=1e-9, atol=1e-12)
