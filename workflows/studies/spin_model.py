"""The spin model: kinetic Ising networks under sequential Glauber dynamics, estimated spin by spin."""

from __future__ import annotations

import functools
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import stats

from neq import seeds
from neq.errors import RecordingError
from neq.estimators.per_spin import PER_SPIN, PerSpinResult
from neq.models import sparse_spin_couplings
from neq.models.spin_flips import SpinSample, sample_spin_flips
from neq.variables import quality_bits

from .base import Axis, Cell, Output, Prepared, Study
from .spin_model_config import SpinModelConfig
from .spin_model_outputs import OUTPUTS, READING, THETA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COST = {"maxent": 4.0, "newton": 2.0, "mtur": 2.0}


class SpinModel(Study):
    """Beta x estimator x repetition; the estimators of one beta and repetition share their samples."""

    name = "spin_model"
    version = 2
    Config = SpinModelConfig
    config: SpinModelConfig
    reading = READING

    def axes(self) -> tuple[Axis, ...]:
        """Return beta, estimator and repetition."""
        config = self.config
        return (
            Axis("beta", tuple(config.beta), units="1", long_name="inverse temperature"),
            Axis("estimator", tuple(config.estimators)),
            Axis("repetition", tuple(range(config.repetitions)), units="1", long_name="sample of the network"),
        )

    def outputs(self) -> tuple[Output, ...]:
        """Return the values of a cell; theta on request."""
        return (*OUTPUTS, THETA) if "theta" in self.config.store else OUTPUTS

    def settings(self) -> dict[str, Any]:
        """Return root seed, the couplings as a hash of their content, sampling, and the estimators' versions."""
        content = hashlib.blake2b(self.couplings().tobytes(), digest_size=16).hexdigest()
        versions = {name: estimator.version for name, estimator in PER_SPIN.items()}
        return {
            "seed": self.config.seed,
            "couplings": content,
            "sampling": self.config.sampling.model_dump(),
            "versions": versions,
        }

    def couplings(self) -> np.ndarray:
        """Return J (target, source): drawn from the seed, or read from the config's file."""
        network = self.config.network
        if network.couplings is not None:
            return read_couplings(network.couplings)
        random = seeds.generator(self.config.seed, role="couplings", n_unit=network.n_unit)
        return sparse_spin_couplings(network.n_unit, random, mean_neighbours=network.mean_neighbours).toarray()

    def warm_up(self) -> tuple[dict[str, Any], ...]:
        """Return a small network."""
        return ({"network": {"n_unit": 8}, "beta": [1.0], "sampling": {"samples": 2000, "restarts": 20}},)

    def dimensions(self, prepared: Any) -> dict[str, int]:
        """Return the number of spins."""
        n_unit = len(self.couplings())
        return {"unit": n_unit, "source": n_unit}

    def open_inputs(self, cell: Cell, prepared: Prepared | None, run_folder: Path) -> np.ndarray:
        """Return the couplings."""
        return self.couplings()

    def compute(self, cell: Cell, inputs: Any) -> dict[str, Any]:
        """Sample the network, or take the sample that the cell before took, and estimate."""
        couplings, labels = inputs, {"beta": float(cell["beta"]), "repetition": int(cell["repetition"])}
        sampling, seed = self.config.sampling, self.config.seed
        sample = _sample(couplings.tobytes(), len(couplings), sampling.samples, sampling.restarts, seed, **labels)
        estimator = PER_SPIN[str(cell["estimator"])]()
        result = estimator.fit(sample.flips, seed=seeds.seed_sequence(seed, **labels, role="interval"))
        values = _values(result, sample) | _agreement(result.theta, labels["beta"] * couplings)
        return values | {"theta": result.theta} if "theta" in self.config.store else values

    def cost(self, cell: Cell, facts: Mapping[str, Any]) -> float:
        """Return the relative cost of the estimator."""
        return COST[str(cell["estimator"])]

    def reduce(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return means over repetitions, and how far repetitions spread."""
        names = ("entropy_production", "interval_low", "interval_high", "coupling_correlation", "coupling_slope")
        summary = dataset[list(names)].mean("repetition", keep_attrs=True)
        n_repetition = dataset.sizes["repetition"]
        if n_repetition > 1:
            summary["entropy_production_spread"] = dataset["entropy_production"].std("repetition", ddof=1)
        for name in ("tail_limited", "capped"):
            flagged = dataset["quality_flags"].str.contains(name).where(dataset["status"] == "ok")
            summary[f"share_{name}"] = flagged.astype(float).mean("repetition")
        summary = summary.transpose("estimator", "beta")
        exact = dataset["exact_entropy_production"].mean(("estimator", "repetition"), keep_attrs=True)
        error = dataset["exact_standard_error"].mean("estimator")
        summary["exact_entropy_production"] = exact
        summary["exact_standard_error"] = np.sqrt((error**2).sum("repetition")) / error.notnull().sum("repetition")
        return summary

    def figures(self, dataset: xr.Dataset, summary: xr.Dataset) -> dict[str, Figure]:
        """Draw the estimates against beta, and the couplings where theta was stored."""
        # here and below: a worker that computes cells has no use for matplotlib, and importing it takes a second
        from neq import figures

        drawn = {"spin_model": figures.spin_model(summary, n_unit=len(self.couplings()))}
        if "theta" in dataset:
            drawn["spin_couplings"] = self._couplings_figure(dataset)
        return drawn

    def _couplings_figure(self, dataset: xr.Dataset) -> Figure:
        from neq import figures

        beta, estimator = self.config.figures.coupling_beta, self.config.estimators[0]
        if beta not in dataset["beta"].values:
            return figures.message("couplings", f"no couplings: beta has no label {beta:g}; add it to beta")
        cell = dataset.sel(beta=beta, estimator=estimator).isel(repetition=0)
        if str(cell["status"].values) != "ok":
            return figures.message("couplings", f"no couplings: this cell is {cell['status'].values}")
        return figures.spin_couplings(cell["theta"].values, self.couplings(), beta, estimator)


def read_couplings(path: str) -> np.ndarray:
    """Read J (target, source) from an npz file: its array ``J`` or its only one.

    Raises
    ------
    RecordingError
        The file cannot be read or holds no square matrix.
    """
    try:
        with Path(path).open("rb") as stream, np.load(stream) as file:
            name = "J" if "J" in file.files else file.files[0]
            couplings = np.ascontiguousarray(file[name], dtype=float)
    except (OSError, ValueError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise RecordingError(f"network.couplings: {path} is no npz file with a matrix J ({error})") from error
    if couplings.ndim != 2 or couplings.shape[0] != couplings.shape[1] or np.diag(couplings).any():
        raise RecordingError(
            f"network.couplings: expected a square matrix with a zero diagonal in {path}; found {couplings.shape}"
        )
    if len(couplings) < 2 or not np.isfinite(couplings).all():
        raise RecordingError(
            f"network.couplings: expected finite numbers for 2 spins or more in {path}; found {len(couplings)} spins "
            f"and {np.sum(~np.isfinite(couplings))} numbers that are NaN or infinite"
        )
    return couplings


@functools.lru_cache(maxsize=1)
def _sample(couplings: bytes, n_unit: int, n_sample: int, n_restart: int, seed: int, **labels: Any) -> SpinSample:
    """Return the sample of one network, beta and repetition; kept while its estimators ask for it."""
    matrix = np.frombuffer(couplings).reshape(n_unit, n_unit)
    return sample_spin_flips(matrix, labels.pop("beta"), n_sample, n_restart, seed, **labels)


def _values(result: PerSpinResult, sample: SpinSample) -> dict[str, Any]:
    low, high = result.interval
    return {
        "entropy_production": result.entropy_production,
        "standard_error": result.standard_error,
        "interval_low": low,
        "interval_high": high,
        "exact_entropy_production": sample.entropy_production,
        "exact_standard_error": sample.standard_error,
        "flip_frequency": result.frequency.mean(),
        "least_flip_frequency": result.frequency.min(),
        "effective_sample_size": np.median(result.effective_sample_size),
        "n_fitted": int(result.theta.any(axis=1).sum()),
        "n_unfitted": result.n_unfitted,
        "n_evaluation": result.n_evaluation,
        "reason": result.reason,
        "quality": quality_bits(result.quality),
    }


def _agreement(theta: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return correlation and slope of theta_ij - theta_ji against the same of the truth; NaN where either is zero."""
    pair = np.triu_indices(len(theta), 1)
    fitted, true = (theta - theta.T)[pair], (truth - truth.T)[pair]
    if len(true) < 2 or not fitted.any() or not true.any():
        return {}
    line = stats.linregress(true, fitted)
    return {"coupling_correlation": float(line.rvalue), "coupling_slope": float(line.slope)}
