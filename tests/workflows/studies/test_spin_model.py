import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import neq
from neq.errors import ConfigError, RecordingError
from neq.estimators.per_spin import PerSpinMaxEnt
from neq.models.spin_flips import sample_spin_flips
from workflows import config as configs
from workflows.blocks import cells
from workflows.commands import pipeline
from workflows.studies import spin_model, study_class

ROOT = Path(__file__).parents[3]
BASE = """
study: spin_model
seed: 3
network: {n_unit: 8, mean_neighbours: 3}
beta: [0.0, 1.5]
repetitions: 2
sampling: {samples: 4000, restarts: 200}
store: [theta]
figures: {coupling_beta: 1.5}
cluster: {workers: 1}
"""


def load(folder, *overrides, text=BASE):
    path = folder / "spins.yaml"
    path.write_text(text)
    return configs.load(path, list(overrides))


def make(folder, *overrides):
    config = load(folder, *overrides)
    return study_class(config.study)(config)


def compute(study, **labels):
    cell = {"beta": 1.5, "estimator": "maxent", "repetition": 0} | labels
    return study.compute(cell, study.open_inputs(cell, None, Path()))


def test_axes__beta_estimator_repetition(tmp_path):
    axes = make(tmp_path).axes()
    assert [axis.name for axis in axes] == ["beta", "estimator", "repetition"]
    assert axes[1].labels == ("maxent", "mtur", "newton")


def test_compute__is_the_estimate_of_the_sampled_network(tmp_path):
    values = compute(make(tmp_path), repetition=1)
    couplings = make(tmp_path).couplings()
    assert 1.5 < np.count_nonzero(couplings) / 8 < 4.5
    sample = sample_spin_flips(couplings, 1.5, 4000, 200, seed=3, repetition=1)
    seed = neq.seeds.seed_sequence(3, beta=1.5, repetition=1, role="interval")
    result = PerSpinMaxEnt().fit(sample.flips, seed=seed)
    assert values["entropy_production"] == result.entropy_production
    assert (values["interval_low"], values["interval_high"]) == result.interval
    assert values["exact_entropy_production"] == sample.entropy_production
    assert values["n_unfitted"] == result.n_unfitted
    assert values["exact_standard_error"] == sample.standard_error
    np.testing.assert_array_equal(values["theta"], result.theta)
    pair = np.triu_indices(8, 1)
    fitted, true = (result.theta - result.theta.T)[pair], 1.5 * (couplings - couplings.T)[pair]
    assert values["coupling_correlation"] == pytest.approx(np.corrcoef(true, fitted)[0, 1])
    assert values["coupling_slope"] == pytest.approx(np.polyfit(true, fitted, 1)[0])


def test_compute__estimators_share_one_sample(tmp_path, monkeypatch):
    study, taken = make(tmp_path), []
    real = spin_model.sample_spin_flips
    spin_model._sample.cache_clear()
    monkeypatch.setattr(
        spin_model, "sample_spin_flips", lambda *args, **labels: taken.append(1) or real(*args, **labels)
    )
    exact = {compute(study, estimator=name)["exact_entropy_production"] for name in ("maxent", "mtur", "newton")}
    assert len(exact) == len(taken) == 1
    assert compute(study, repetition=1)["exact_entropy_production"] not in exact
    spin_model._sample.cache_clear()


def test_compute__order_changes_nothing(tmp_path):
    study = make(tmp_path)
    first = compute(study)["entropy_production"]
    compute(study, beta=0.5)
    spin_model._sample.cache_clear()
    assert compute(study)["entropy_production"] == first


def test_compute__beta_zero_has_no_couplings_to_compare(tmp_path):
    values = compute(make(tmp_path), beta=0.0)
    assert values["exact_entropy_production"] == 0.0
    assert abs(values["entropy_production"]) < 0.01
    assert "coupling_slope" not in values


def test_settings__follow_the_couplings_and_not_the_axes(tmp_path):
    base = make(tmp_path).settings()
    assert json.loads(json.dumps(base)) == base
    assert make(tmp_path, "beta=[1.0]", "repetitions=5").settings() == base
    assert make(tmp_path, "network.mean_neighbours=4").settings() != base
    assert make(tmp_path, "sampling.samples=8000").settings() != base


def test_couplings__from_a_file(tmp_path):
    reference = ROOT / "tests" / "reference_data" / "spin_model_J_N20.npz"
    study = make(tmp_path, f"network.couplings={reference}")
    np.testing.assert_array_equal(study.couplings(), np.load(reference)["J"])
    assert study.dimensions([]) == {"unit": 20, "source": 20}


@pytest.mark.parametrize(
    "matrix", [np.ones((2, 3)), np.eye(3), np.zeros((1, 1)), np.array([[0.0, np.nan], [1.0, 0.0]]), None]
)
def test_couplings__refuses_a_file_without_a_matrix(tmp_path, matrix):
    path = tmp_path / "couplings.npz"
    if matrix is not None:
        np.savez(path, J=matrix)
    with pytest.raises(RecordingError, match=r"^network\.couplings"):
        make(tmp_path, f"network.couplings={path}").couplings()


@pytest.mark.parametrize("damage", ["cut short", "npy", "text"])
def test_couplings__refuses_what_is_no_npz_file(tmp_path, damage):
    path = tmp_path / "couplings.npz"
    np.savez(path, J=np.zeros((3, 3)))
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros((3, 3)))
    else:
        path.write_text("J")
    with pytest.raises(RecordingError, match="is no npz file"):
        make(tmp_path, f"network.couplings={path}").couplings()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.samples=4001", "multiple of restarts"),
        ("network.mean_neighbours=9", "at most"),
        ("beta=[1.0, 1.0]", "stands twice"),
        ("beta=[-1.0]", "beta"),
        ("beta=[.inf]", "beta"),
        ("estimators=[tur]", "estimators"),
        ("repetition=3", "repetition"),
    ],
)
def test_config__problems_are_named(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, override)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spins")
    outcome = pipeline.run(load(folder, f"results={folder}/run"), Console(file=io.StringIO(), width=200))
    return folder, outcome


def test_run__fills_the_grid_and_draws(run):
    folder, outcome = run
    assert outcome.counts["ok"] == 12
    dataset = neq.open_run(folder / "run")
    assert dict(dataset["entropy_production"].sizes) == {"beta": 2, "estimator": 3, "repetition": 2}
    values = dataset["entropy_production"].mean("repetition").sel(beta=1.5)
    assert float(values.sel(estimator="mtur")) < float(values.sel(estimator="maxent"))
    assert dataset["theta"].sizes["source"] == 8
    names = {path.name for path in (folder / "run" / "figures").iterdir()}
    assert {"spin_model.png", "spin_model.pdf", "spin_couplings.png", "summary.csv"} <= names
    assert (folder / "run" / "report.html").stat().st_size > 10_000


def test_report__tells_of_updates_and_not_of_bins(run):
    folder, _ = run
    page = (folder / "run" / "report.html").read_text()
    assert "nats per attempted update" in page
    assert "pair of successive bins" not in page
    assert "rate-matched" not in page


def test_run__finished_notices_other_couplings(run, monkeypatch):
    folder, _ = run
    study = make(folder, f"results={folder}/run")
    assert pipeline.finished(study.config, study)["ok"] == 12
    other = 2 * study.couplings()
    monkeypatch.setattr(study, "couplings", lambda: other)
    assert pipeline.finished(study.config, study) is None


def test_run__same_bits_in_this_process(run):
    folder, _ = run
    study, dataset = make(folder), neq.open_run(folder / "run")
    cell = {"beta": 1.5, "estimator": "newton", "repetition": 1}
    with cells.quiet():
        values = compute(study, **cell)
    stored = dataset.sel(cell)
    assert float(stored["entropy_production"]) == values["entropy_production"]
    assert float(stored["interval_low"]) == values["interval_low"]


def test_reduce__means_over_repetitions(run):
    folder, _ = run
    dataset = neq.open_run(folder / "run")
    summary = make(folder).reduce(dataset)
    assert summary["entropy_production"].dims == ("estimator", "beta")
    np.testing.assert_allclose(
        summary["entropy_production"].sel(estimator="mtur"),
        dataset["entropy_production"].sel(estimator="mtur").mean("repetition"),
    )
    error = dataset["exact_standard_error"].isel(estimator=0)
    expected = np.sqrt((error**2).sum("repetition")) / 2
    np.testing.assert_allclose(summary["exact_standard_error"], expected)


def test_figures__couplings_of_a_beta_that_is_not_there(run):
    folder, _ = run
    study = make(folder, "figures.coupling_beta=3.3")
    drawn = study.figures(neq.open_run(folder / "run"), study.reduce(neq.open_run(folder / "run")))
    assert "beta has no label 3.3" in drawn["spin_couplings"].get_label()


@pytest.mark.parametrize("name", ["spin_model", "spin_model_small"])
def test_configs__are_the_ones_described(name):
    config = configs.load(ROOT / "configs" / f"{name}.yaml")
    assert config.figures.coupling_beta in config.beta
    if name == "spin_model":
        assert config.network.n_unit == 100
        np.testing.assert_allclose([b for b in config.beta if b != 2.5], np.linspace(0, 4, 26), atol=1e-12)
        assert (config.sampling.samples, config.sampling.restarts) == (1_000_000, 1000)
