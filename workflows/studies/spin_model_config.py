"""Config of the spin model study."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from workflows.config import DataPath, RunConfig, Section, SweepConfig

Count = Annotated[int, Field(ge=1)]
Beta = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Estimator = Literal["maxent", "mtur", "newton"]


class Network(Section):
    """The couplings."""

    n_unit: Annotated[int, Field(ge=2)] = 100
    """Number of spins; not used with a file."""
    mean_neighbours: Annotated[float, Field(gt=0)] = 6.0
    """Mean number of sources of a spin; couplings are N(0, 1) / sqrt(mean_neighbours)."""
    couplings: DataPath | None = None
    """An npz file with J (target, source), zero diagonal, instead of drawn ones."""

    @model_validator(mode="after")
    def _sparse_enough(self) -> Self:
        if self.couplings is None and self.mean_neighbours > self.n_unit - 1:
            raise ValueError(f"mean_neighbours can be {self.n_unit - 1} at most with {self.n_unit} spins")
        return self


class Sampling(Section):
    """How the network is sampled."""

    samples: Count = 1_000_000
    """Samples of every spin, all runs together; N attempted updates apart."""
    restarts: Annotated[int, Field(ge=3)] = 1000
    """Independent runs, each warmed up for a tenth of its length; intervals need 200."""

    @model_validator(mode="after")
    def _whole_runs(self) -> Self:
        if self.samples % self.restarts:
            raise ValueError(f"samples must be a multiple of restarts; found {self.samples} and {self.restarts}")
        return self


class FigureConfig(Section):
    """What is drawn; changes no number."""

    coupling_beta: Beta = 2.5
    """The beta whose fitted couplings are drawn against the true ones, where theta is stored."""


class SpinModelConfig(RunConfig):
    """Entropy production of spins under sequential Glauber dynamics, estimated spin by spin."""

    study: str = "spin_model"
    network: Network = Network()
    beta: Annotated[list[Beta], Field(min_length=1)]
    """Inverse temperatures."""
    estimators: Annotated[list[Estimator], Field(min_length=1)] = ["maxent", "mtur", "newton"]  # noqa: RUF012
    """What is estimated from the same samples."""
    repetitions: Count = 1
    """Independent samples of the same network."""
    sampling: Sampling = Sampling()
    store: list[Literal["theta"]] = Field(default_factory=list)
    """Big outputs to keep: theta, the parameters of all spins."""
    figures: FigureConfig = FigureConfig()
    sweep: SweepConfig = SweepConfig(block={"estimator": 3, "repetition": 1})
    """The estimators of one beta stay in one task, which samples once for all of them."""

    @field_validator("beta", "estimators")
    @classmethod
    def _unique(cls, labels: list) -> list:
        if len(set(labels)) < len(labels):
            raise ValueError(f"a label stands twice in {labels}; name each once")
        return labels
