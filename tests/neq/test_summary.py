import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from neq.summary import SummaryError, summarise
from neq.variables import QUALITY_FLAGS

VALUE = "entropy_production_per_spike"


def slow_point(cells, subjects=None):
    """Twin of one point: values by session, each a list over repetitions; NaN where there is none.

    ``subjects`` are the animals of the sessions where these are the sample.
    """
    kept = {i: [v for v in repetitions if np.isfinite(v)] for i, repetitions in enumerate(cells)}
    kept = {i: repetitions for i, repetitions in kept.items() if repetitions}
    animals = {}
    for i, repetitions in kept.items():
        animals.setdefault(i if subjects is None else subjects[i], []).append(sum(repetitions) / len(repetitions))
    means = [sum(sessions) / len(sessions) for sessions in animals.values()]
    spreads = [float(np.std(repetitions, ddof=1)) for repetitions in kept.values() if len(repetitions) > 1]
    return {
        "": np.mean(means) if means else np.nan,
        "_sem": np.std(means, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.nan,
        "_spread": np.mean(spreads) if spreads else np.nan,
        "_n_session": len(kept),
        "_n_repetition_min": min(map(len, kept.values()), default=0),
        "_n_repetition_max": max(map(len, kept.values()), default=0),
    } | ({} if subjects is None else {"_n_subject": len(means)})


def slow_sample(cells, subjects):
    """Twin of the choice of the sample: the animals of the sessions where these count, else None."""
    there = {name for name, values in zip(subjects, cells, strict=True) if np.isfinite(values).any()}
    return subjects if "" not in there and len(there) > 1 else None


def assert_point(summary, name, where, expected):
    for ending, value in expected.items():
        got = summary[name + ending].sel(where).item()
        np.testing.assert_allclose(got, value, rtol=1e-10, atol=1e-15, err_msg=f"{name}{ending} {where}")


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    subjects=st.lists(st.sampled_from(["m1", "m2", "m3"]), min_size=1, max_size=5),
    unknown=st.booleans(),
    n_repetition=st.integers(1, 4),
    lost=st.floats(0.0, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_summarise__agrees_with_slow_twin(make_cells, subjects, unknown, n_repetition, lost, seed):
    labels = {"repetitions": n_repetition, "seed": seed, "surrogate": ("none", "flip")}
    dataset = make_cells(len(subjects), ("a", "b", "c"), **labels)
    subjects = [*subjects[:-1], ""] if unknown else subjects
    dataset = dataset.assign_coords(subject=("session", subjects))
    rng = np.random.default_rng(seed)
    shape = dataset["status"].shape
    states = rng.choice(["failed", "impossible", "pending", "not_needed"], shape)
    dataset["status"].values[...] = np.where(rng.random(shape) < lost, states, "ok")
    dataset[VALUE].values[rng.random(shape) < lost / 3] = np.nan  # ok, with a reason and without a value
    summary = summarise(dataset, [VALUE])
    cells = dataset[VALUE].where(dataset["status"] == "ok")
    animals = slow_sample(cells.transpose("session", ...).values, subjects)
    assert summary.attrs["sample"] == ("session" if animals is None else "subject")
    assert (f"{VALUE}_n_subject" in summary) == (f"{VALUE}_by_subject" in summary) == (animals is not None)
    for condition, surrogate, size in itertools.product("abc", ("none", "flip"), (10, 20, 0)):
        where = {"condition": condition, "surrogate": surrogate, "size": size}
        point = slow_point(cells.sel(where).transpose("session", "repetition").values, animals)
        assert_point(summary, VALUE, where, point)
    for (one, two), size in itertools.product((("a", "b"), ("a", "c"), ("b", "c")), (10, 20, 0)):
        first, second = (cells.sel(condition=name, surrogate="flip", size=size) for name in (one, two))
        difference = first.transpose("session", "repetition").values - second.transpose("session", "repetition").values
        where = {"contrast": f"{one} − {two}", "surrogate": "flip", "size": size}
        assert_point(summary, f"{VALUE}_difference", where, slow_point(difference, animals))


def test_summarise__repetitions_first_then_sessions(make_cells, spoil):
    """A session with many repetitions weighs no more than one with few."""
    dataset = make_cells(2, ("a",), sizes=(10,), repetitions=4)
    dataset[VALUE].values[0], dataset[VALUE].values[1] = 1.0, 3.0
    for repetition in (1, 2, 3):
        dataset = spoil(dataset, "failed", session="s1", repetition=repetition)
    summary = summarise(dataset)
    assert summary[VALUE].item() == 2.0
    assert summary[f"{VALUE}_sem"].item() == pytest.approx(1.0)
    assert summary[f"{VALUE}_n_repetition_min"].item() == 1
    assert summary[f"{VALUE}_n_repetition_max"].item() == 4


def test_summarise__differences_are_paired(make_cells, spoil):
    """Draws differ, conditions by a constant: differences have no spread, and none stands where one partner is lost."""
    dataset = make_cells(3, ("a", "b"), sizes=(10,), repetitions=4)
    dataset[VALUE].values[:, 1] = dataset[VALUE].values[:, 0] - 0.5
    dataset = spoil(dataset, "failed", session="s0", condition="b", repetition=0)
    summary = summarise(dataset).squeeze()
    assert summary[f"{VALUE}_difference"].item() == pytest.approx(0.5)
    assert summary[f"{VALUE}_difference_spread"].item() == pytest.approx(0.0, abs=1e-12)
    assert summary[f"{VALUE}_difference_n_repetition_min"].item() == 3
    assert summary["contrast"].item() == "a − b"


def test_summarise__t_interval_and_test_agree_with_scipy(make_cells):
    dataset = make_cells(6, ("a", "b"), sizes=(10,), repetitions=1)
    first, second = (dataset[VALUE].sel(condition=name).values.ravel() for name in "ab")
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval(0.95)
    summary = summarise(dataset).squeeze()
    assert summary[f"{VALUE}_difference_p_value"].item() == pytest.approx(expected.pvalue)
    assert summary[f"{VALUE}_difference_low"].item() == pytest.approx(low)
    assert summary[f"{VALUE}_difference_high"].item() == pytest.approx(high)


def test_summarise__one_session_has_spread_and_no_sem(make_cells):
    summary = summarise(make_cells(1))
    assert np.isnan(summary[f"{VALUE}_sem"]).all()
    assert np.isnan(summary[f"{VALUE}_difference_p_value"]).all()
    assert (summary[f"{VALUE}_spread"] > 0).all()


def test_summarise__counts_every_state(make_cells, spoil):
    dataset = spoil(make_cells(2, repetitions=3), "impossible", size=0, session="s1")
    dataset = spoil(dataset, "failed", size=0, session="s0", repetition=0, condition="active")
    summary = summarise(dataset).sel(condition="active", size=0)
    counts = {
        name: summary[f"n_{name}"].item() for name in ("cell", "ok", "failed", "impossible", "pending", "possible")
    }
    assert counts == {"cell": 6, "ok": 2, "failed": 1, "impossible": 3, "pending": 0, "possible": 3}
    assert summary["n_unit"].item() == 40


def test_summarise__shares_of_flags_are_of_ok_cells(make_cells, spoil):
    dataset = make_cells(1, ("a",), sizes=(10,), repetitions=5)
    dataset["quality"].values[0, 0, 0] = [QUALITY_FLAGS["capped"], 0, QUALITY_FLAGS["tail_limited"] + 1, 0, 1]
    summary = summarise(spoil(dataset, "failed", repetition=4)).squeeze()
    assert summary["share_capped"].item() == 0.5
    assert summary["share_tail_limited"].item() == 0.25
    assert summary["share_no_evidence"].item() == 0.0


def test_summarise__data_limited_is_a_share_of_the_cells_examined(make_cells):
    """Half of the data is fitted in repetition 0 alone: its flag must not be diluted by the others."""
    dataset = make_cells(2, ("a",), sizes=(10,), repetitions=10)
    half = xr.full_like(dataset[VALUE], np.nan)
    half[{"repetition": 0}] = 0.1
    dataset["entropy_production_half"] = half
    dataset["quality"].values[0, 0, 0, 0] = QUALITY_FLAGS["data_limited"]
    assert summarise(dataset, [VALUE])["share_data_limited"].item() == 0.5


def test_summarise__medians_and_attributes(make_cells):
    dataset = make_cells(1, ("a",), sizes=(10,), repetitions=3)
    p_value = xr.zeros_like(dataset[VALUE]).assign_attrs(units="1", long_name="p-value")
    p_value.values[0, 0, 0] = [0.1, 0.9, 0.2]
    summary = summarise(dataset.assign(p_value=p_value).assign_attrs(study="x"))
    assert summary["p_value_median"].item() == 0.2
    assert summary.attrs["study"] == "x"
    assert summary[f"{VALUE}_sem"].attrs["units"] == "nats/spike"
    assert all({"units", "long_name"} <= set(array.attrs) for array in summary.data_vars.values())


def test_summarise__nothing_done(make_cells, spoil):
    summary = summarise(spoil(make_cells(), "pending"))
    assert np.isnan(summary[VALUE]).all()
    assert int(summary["n_pending"].sum()) == 36
    assert np.isnan(summary["share_capped"]).all()


def test_summarise__dimension_selected_away(make_cells):
    dataset = make_cells(2)
    one, only = summarise(dataset.sel(session="s1")), summarise(dataset.sel(session=["s1"]))
    xr.testing.assert_allclose(one[VALUE], only[VALUE])
    assert one.sizes["session"] == 1


def test_summarise__data_limited_is_not_known_where_no_half_is_fitted(make_cells):
    dataset = make_cells(1, ("a",), repetitions=4)
    dataset["quality"] = xr.zeros_like(dataset["status"], dtype="u1")
    dataset["quality"][{"repetition": [1, 2]}] = QUALITY_FLAGS["data_limited"]
    half = xr.full_like(dataset["status"], np.nan, dtype=float)
    assert np.isnan(summarise(dataset.assign(entropy_production_half=half))["share_data_limited"]).all()
    half[{"repetition": 0}] = 1.0
    assert (summarise(dataset.assign(entropy_production_half=half))["share_data_limited"] == 0.0).all()


def test_summarise__names_what_is_missing(make_cells):
    with pytest.raises(SummaryError, match=r"needs the variable status .*open_run"):
        summarise(make_cells().drop_vars("status"))
    with pytest.raises(SummaryError, match="no variable nothing; it has entropy"):
        summarise(make_cells(), ["nothing"])


def test_summarise__a_cell_without_evidence_is_no_sign_that_data_limit_the_others(make_cells):
    dataset = make_cells(sessions=1, conditions=("one",), sizes=(10,), repetitions=10)
    half = np.full(dataset[VALUE].shape, np.nan)
    half[..., 0] = 1.0
    dataset["entropy_production_half"] = (dataset[VALUE].dims, half)
    both = QUALITY_FLAGS["data_limited"] | QUALITY_FLAGS["no_evidence"]
    dataset["quality"].values[..., 5] = both
    summary = summarise(dataset, [VALUE])
    assert summary["share_data_limited"].item() == 0.0
    assert summary["share_no_evidence"].item() == 0.1


def nested(n_animal, n_study, seed):
    """Simulate studies (along ``lag``) in which conditions differ in every animal and on average in none."""
    rng = np.random.default_rng(seed)
    sessions = rng.integers(1, 6, n_animal)
    animal = np.repeat(np.arange(n_animal), sessions)
    effect = rng.normal(0, 1, (n_animal, n_study))[animal] + rng.normal(0, 1, (len(animal), n_study))
    cells = rng.normal(0, 0.3, (len(animal), 2, n_study, 3))
    cells[:, 0] += effect[..., None]
    dims = ("session", "condition", "lag", "repetition")
    data = {VALUE: (dims, cells), "status": (dims, np.full(cells.shape, "ok"))}
    coords = {"subject": ("session", [f"m{i}" for i in animal]), "condition": ["a", "b"]}
    return xr.Dataset(data, coords)


def test_summarise__sessions_of_one_animal_are_not_independent():
    dataset = nested(n_animal=9, n_study=4000, seed=3)
    names = dataset["subject"].values
    share = {
        what: float((summarise(run)[f"{VALUE}_difference_p_value"] < 0.05).mean())
        for what, run in {
            "animals": dataset,
            "sessions": dataset.drop_vars("subject"),
            "one unknown": dataset.assign_coords(subject=("session", ["", *names[1:]])),
        }.items()
    }
    # 4,000 studies know a share of 0.05 to 0.0034
    assert 0.04 < share["animals"] < 0.06
    assert share["sessions"] > 0.12
    assert share["one unknown"] == share["sessions"]


def test_summarise__interval_over_animals_agrees_with_scipy():
    dataset = nested(n_animal=5, n_study=2, seed=0)
    summary = summarise(dataset)
    difference = (dataset[VALUE].sel(condition="a") - dataset[VALUE].sel(condition="b")).mean("repetition")
    means = [
        difference.values[dataset["subject"].values == name].mean(axis=0)
        for name in dict.fromkeys(dataset["subject"].values)
    ]
    test = stats.ttest_1samp(means, 0.0)
    interval = test.confidence_interval(0.95)
    key = f"{VALUE}_difference"
    np.testing.assert_allclose(summary[f"{key}_p_value"].squeeze(), test.pvalue)
    np.testing.assert_allclose(summary[f"{key}_low"].squeeze(), interval.low)
    np.testing.assert_allclose(summary[f"{key}_high"].squeeze(), interval.high)
    np.testing.assert_allclose(summary[f"{key}_by_subject"].squeeze().transpose("subject", "lag"), means)
    assert summary["subject"].values.tolist() == [f"m{i}" for i in range(5)]
    assert summary[f"{key}_p_value"].attrs["long_name"] == "two-sided t test over animals"
    assert summary[f"{VALUE}_sem"].attrs["long_name"].startswith("standard error over animals")


def test_summarise__an_animal_for_each_session_changes_no_number(make_cells, spoil):
    dataset = spoil(make_cells(5, repetitions=4), "failed", session="s1", size=10)
    old = summarise(dataset)
    new = summarise(dataset.assign_coords(subject=("session", [f"m{i}" for i in (3, 1, 4, 0, 2)])))
    assert (old.attrs["sample"], new.attrs["sample"]) == ("session", "subject")
    for name in old.data_vars:
        np.testing.assert_array_equal(new[name].values, old[name].values, err_msg=name)
    np.testing.assert_array_equal(new[f"{VALUE}_n_subject"], old[f"{VALUE}_n_session"])
    np.testing.assert_array_equal(new[f"{VALUE}_by_subject"].values, old[f"{VALUE}_by_session"].values)


def test_summarise__says_what_the_sample_is_and_why(make_cells, spoil):
    dataset = make_cells(3)

    def sample(run, *subjects):
        attrs = summarise(run.assign_coords(subject=("session", list(subjects)))).attrs
        return attrs["sample"], attrs["sample_note"]

    assert sample(dataset, "m1", "m1", "m2") == ("subject", "")
    assert sample(dataset, "m1", "", "m2") == ("session", "not all have animal ids")
    assert sample(dataset, "m1", "m1", "m1") == ("session", "of one animal")
    assert sample(dataset, "", "", "") == ("session", "no animal ids")
    # a session without a value needs no animal
    assert sample(spoil(dataset, "failed", session="s1"), "m1", "", "m2") == ("subject", "")
    assert sample(spoil(dataset, "pending"), "m1", "m1", "m2") == ("session", "no animal ids")
    alone = summarise(dataset.assign_coords(subject=("session", ["m1", "m1", "m2"])).sel(session="s1"))
    assert alone["session_subject"].values.tolist() == ["m1"]
    assert summarise(dataset).attrs["sample_note"] == "no animal ids"
