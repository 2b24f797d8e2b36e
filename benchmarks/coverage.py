"""Do intervals cover, and are p-values uniform? Repeated fits of small networks whose objective is known exactly.

Run as ``python -m benchmarks.coverage``, with the number of runs of each network as an optional argument (100). A run
simulates a recording, fits it, and compares the interval with J of the same theta over the enumerated pairs of states
of the network, which is the limit of infinitely many fresh transitions. The width of the interval is held
against the spread of J over fresh recordings that are scored under the same theta on the same held-out bins, and
against that of the runs' own values around theirs. The two agree for a single split. Values of folds vary more than
those of fresh recordings do, because the theta of each fold is made of the others: there the second is to be met.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from neq import MaxEnt, MaxEntResult, Transitions, objective
from neq.models import KineticIsing
from neq.observables import observable_named

GAUSS = 2 * 1.96
"""Width of a 95% interval in standard deviations."""


@dataclass(frozen=True, eq=False)
class Law:
    """A network small enough to enumerate, and the length of its recordings in bins."""

    network: KineticIsing
    n_bin: int

    def record(self, seed: int) -> Transitions:
        """Simulate one recording."""
        return Transitions.from_spikes(self.network.simulate(self.n_bin, seed=np.random.default_rng([7, seed])))

    def objective(self, theta: np.ndarray, observable: str) -> float:
        """Return J of theta (observable,) over all pairs of states, each as likely as the network makes it."""
        joint = self.network.stationary()[:, None] * np.exp(self.network.log_transition())
        n_unit = self.network.n_unit
        state = 2.0 * ((np.arange(2**n_unit)[:, None] >> np.arange(n_unit)) & 1) - 1
        family = observable_named(observable)
        matrix = family.matrix(theta, n_unit)
        score = state @ matrix.T @ state.T
        if not family.odd:
            score -= np.diag(score)[:, None]
        return float((joint * score).sum() - np.log((joint * np.exp(score.T)).sum()))


@dataclass(frozen=True)
class Run:
    """One fit: its interval, p-value and value, J of the same theta, how far off a fresh recording is, and the flag."""

    low: float
    high: float
    p_value: float
    value: float
    truth: float
    fresh: float
    tail_limited: bool


@dataclass(frozen=True)
class Coverage:
    """What the runs of one network say.

    Parameters
    ----------
    n_run, n_interval, tail_limited
        Runs, those that gave an interval, and those with the flag.
    covered
        Runs whose interval holds J of the same theta.
    above_zero
        Runs whose interval lies above 0.
    width, spread
        Mean width of the intervals; 3.92 standard deviations of J over fresh recordings; nats.
    own_spread
        The same of the held-out J of the runs themselves.
    own_scaled
        ``own_spread`` in units of each run's own width, a root mean square: about 1 where an interval is as wide as it
        should be, also where the lengths of theta, and so the widths, differ by orders of magnitude.
    uniform
        p-value of the Kolmogorov-Smirnov test of the p-values against the uniform law.
    small
        Share of p-values of at most 0.05.
    """

    n_run: int
    n_interval: int
    tail_limited: int
    covered: int
    above_zero: int
    width: float
    spread: float
    own_spread: float
    own_scaled: float
    uniform: float
    small: float

    @classmethod
    def of(cls, runs: list[Run]) -> Coverage:
        """Count."""
        low, high, p_value, value, truth, fresh, tail = np.array([list(vars(run).values()) for run in runs]).T
        return cls(
            n_run=len(runs),
            n_interval=int(np.isfinite(low).sum()),
            tail_limited=int(tail.sum()),
            covered=int(((low <= truth) & (truth <= high)).sum()),
            above_zero=int((low > 0).sum()),
            width=float(np.nanmean(high - low)),
            spread=float(GAUSS * np.sqrt(np.mean(fresh**2))),
            own_spread=float(GAUSS * np.sqrt(np.mean((value - truth) ** 2))),
            own_scaled=float(GAUSS * np.sqrt(np.nanmean(((value - truth) / (high - low)) ** 2))),
            uniform=float(stats.kstest(p_value, "uniform").pvalue),
            small=float(np.mean(p_value <= 0.05)),
        )


def driven(n_unit: int = 8, strength: float = 1.0, n_bin: int = 20_000) -> Law:
    """Return a network with independent couplings in both directions."""
    rng = np.random.default_rng(1)
    couplings = rng.normal(0, strength, (n_unit, n_unit))
    return Law(KineticIsing(couplings=couplings, bias=rng.normal(-1.5, 0.3, n_unit)), n_bin)


def slow(n_unit: int = 8, strength: float = 1.5, hold: float = 5.0, n_bin: int = 30_000) -> Law:
    """Return a driven network whose units hold their state for tens of bins."""
    rng = np.random.default_rng(2)
    couplings = rng.normal(0, strength, (n_unit, n_unit))
    np.fill_diagonal(couplings, hold)
    return Law(KineticIsing(couplings=couplings, bias=np.full(n_unit, -hold / 2 - 1.0)), n_bin)


def reversible(law: Law) -> Law:
    """Return the network with the symmetric part of the couplings: it is at equilibrium."""
    network = law.network
    couplings = (network.couplings + network.couplings.T) / 2
    return Law(KineticIsing(couplings=couplings, bias=network.bias), law.n_bin)


LAWS = {
    "driven": driven(),
    "weakly driven": driven(strength=0.3),
    "slow": slow(),
    "equilibrium": reversible(driven()),
    "slow equilibrium": reversible(slow()),
}
ESTIMATORS = {
    "one blocked split": MaxEnt(half=False),
    "one shuffled split": MaxEnt(half=False, split="shuffled"),
    "flow": MaxEnt(half=False, observable="flow"),
    "5 folds": MaxEnt(half=False, cross_fit=5),
}


def run_once(law: Law, estimator: MaxEnt, seed: int) -> Run:
    """Fit one recording, look up the truth, and score a fresh recording on the same held-out bins."""
    transitions, fresh = law.record(2 * seed), law.record(2 * seed + 1)
    result = replace(estimator, scores=True).fit(transitions, seed=seed)
    folds = _held_out(result)
    size = [len(fold) for fold in folds]
    truth = np.average([law.objective(theta, result.observable) for theta in result.fold_theta], weights=size)
    again = np.average(
        [
            objective(fresh.take(fold), theta, result.observable)[0]
            for fold, theta in zip(folds, result.fold_theta, strict=True)
        ],
        weights=size,
    )
    value = result.entropy_production_uncapped
    tail = "tail_limited" in result.quality
    return Run(*result.interval, result.p_value, value, float(truth), float(again - truth), tail)


def measure(law: Law, estimator: MaxEnt, n_run: int) -> Coverage:
    """Repeat a fit on independent recordings."""
    return Coverage.of([run_once(law, estimator, seed) for seed in range(n_run)])


def main(n_run: int = 100) -> None:
    """Print one line per network and estimator."""
    print(f"{'network':17} {'estimator':19} cover  tail  above 0  width / spread  / own  KS p  p <= .05  CPU s")
    for network, law in LAWS.items():
        for name, estimator in ESTIMATORS.items():
            start = time.process_time()
            found = measure(law, estimator, n_run)
            print(
                f"{network:17} {name:19} {found.covered:5} {found.tail_limited:5} {found.above_zero:8}",
                f"{found.width:6.4f} {found.width / found.spread:8.2f} {found.width / found.own_spread:6.2f}",
                f"{found.uniform:5.3f} {found.small:9.2f} {time.process_time() - start:6.0f}",
                flush=True,
            )


def _held_out(result: MaxEntResult) -> list[np.ndarray]:
    """Return the positions of the held-out transitions of each fold."""
    assert result.score is not None
    position = np.flatnonzero(np.isfinite(result.score))
    n_fold = result.cross_fit or 1
    fold = position * n_fold // result.n_transition
    return [position[fold == number] for number in range(n_fold)]


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
