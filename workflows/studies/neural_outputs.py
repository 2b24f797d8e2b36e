"""The variables that the study of neural recordings stores for every cell."""

from __future__ import annotations

from collections.abc import Collection

from .base import Output

NATS = "nats"

OUTPUTS = (
    Output(
        "entropy_production",
        units=NATS,
        long_name="entropy production per transition",
        comment="held-out estimate of a lower bound; at most ln(held-out transitions)",
    ),
    Output("entropy_production_uncapped", units=NATS, long_name="held-out objective without the cap"),
    Output("entropy_production_rate", units="nats/s", long_name="entropy production rate"),
    Output(
        "entropy_production_per_spike",
        units="nats/spike",
        long_name="entropy production per spike",
        comment="per transition, divided by lag times the spikes per bin of the same held-out transitions",
    ),
    Output(
        "entropy_production_train",
        units=NATS,
        long_name="training objective (biased up)",
        comment="mtur: the relation on all transitions, which it was optimised on",
    ),
    Output(
        "entropy_production_half",
        units=NATS,
        long_name="entropy production from half of the training data",
        comment="first repetition of each size only",
    ),
    Output("interval_low", units=NATS, long_name="lower end of the 95% block-bootstrap interval"),
    Output("interval_high", units=NATS, long_name="upper end of the 95% block-bootstrap interval"),
    Output("n_interval_block", "i8", units="1", long_name="blocks of the bootstrap"),
    Output("p_value", units="1", long_name="p-value of time reversal of held-out blocks"),
    Output("spikes_per_bin", units="1", long_name="spikes per bin of the drawn units"),
    Output("n_unit", "i8", units="1", long_name="number of drawn units"),
    Output("n_transition", "i8", units="1", long_name="transitions, all parts"),
    Output("n_test", "i8", units="1", long_name="held-out transitions"),
    Output("n_parameter", "i8", units="1", long_name="parameters"),
    Output("effective_sample_size", units="1", long_name="effective number of held-out transitions"),
    Output("bias", units=NATS, long_name="upward bias of the tilted average", comment="NaN for mtur"),
    Output("n_fold", "i8", units="1", long_name="held-out parts", comment="1: a single split; more: cross-fitted"),
    Output(
        "ridge",
        units="1",
        long_name="chosen ridge",
        comment="maxent: in the coordinates of the shrinkage, median over folds; newton_step: in variances of g",
    ),
    Output("shrinkage", units="1", long_name="chosen shrinkage of the covariance", comment="maxent, newton_step"),
    Output("length", units="1", long_name="chosen length of theta", comment="maxent, newton_step"),
    Output("n_iteration", "i8", units="1", long_name="iterations of the optimiser"),
    Output("converged", "bool", units="1", long_name="validation had turned along the ridge path"),
    Output("reason", "str", long_name="why a value is NaN"),
    Output("exact_entropy_production", units=NATS, long_name="exact entropy production of the whole network"),
    Output("exact_entropy_production_per_spike", units="nats/spike", long_name="exact entropy production per spike"),
    Output("drawn_unit", "i8", ("drawn",), long_name="ids of the drawn units", fill=-1),
)

FOLD_OUTPUT = Output(
    "fold_entropy_production",
    dims=("fold",),
    units=NATS,
    long_name="entropy production of each fold",
    comment="folds in the order of time; their mean, weighted by transitions, is entropy_production",
)

AREA_OUTPUT = Output("drawn_area", "str", ("drawn",), long_name="areas of the drawn units")

STORED = {
    "theta": (
        Output(
            "theta",
            dims=("pair",),
            units=NATS,
            long_name="couplings",
            comment="in the observable's order over the drawn units",
            own_chunk=True,
        ),
    ),
    "contributions": (
        Output(
            "contribution",
            dims=("pair",),
            units=NATS,
            long_name="held-out contributions of pairs",
            comment="theta times the mean of g, in the order of theta; minus log_normaliser they add up to J",
            own_chunk=True,
        ),
        Output(
            "contribution_unit",
            dims=("drawn",),
            units=NATS,
            long_name="held-out contributions of units",
            comment="every pair split evenly between its two units",
        ),
        Output("log_normaliser", units=NATS, long_name="ln Z, the remainder that belongs to no pair"),
    ),
    "scores": (
        Output(
            "score",
            "f4",
            ("transition",),
            units=NATS,
            long_name="trajectory score of a transition",
            comment="theta.g - ln Z of the fold it was held out in; NaN where it never was",
            own_chunk=True,
        ),
        Output(
            "score_time",
            dims=("transition",),
            units="s",
            long_name="left edge of the later bin of a transition",
            own_chunk=True,
        ),
        Output(
            "score_segment",
            "i8",
            ("transition",),
            long_name="segment of a transition",
            comment="as in the binned spikes; no transition crosses a change of it",
            fill=-1,
            own_chunk=True,
        ),
        Output("event_time", dims=("event",), units="s", long_name="left edge of the bin of an event", own_chunk=True),
        Output(
            "event_name",
            "str",
            ("event",),
            long_name="what begins at an event",
            comment="trial, or the condition whose epoch begins",
            own_chunk=True,
        ),
    ),
    "orders": (
        Output(
            "order_entropy_production",
            dims=("order",),
            units=NATS,
            long_name="entropy production up to an interaction order",
            comment="single split, fitted on its training part alone; order 1, the first, telescopes and shows drift",
        ),
        Output("order_entropy_production_train", dims=("order",), units=NATS, long_name="training objective by order"),
        Output("order_interval_low", dims=("order",), units=NATS, long_name="lower end of its 95% interval"),
        Output("order_interval_high", dims=("order",), units=NATS, long_name="upper end of its 95% interval"),
        Output("order_increment", dims=("order",), units=NATS, long_name="what an order adds to the one below"),
        Output("order_increment_low", dims=("order",), units=NATS, long_name="lower end of its paired 95% interval"),
        Output("order_increment_high", dims=("order",), units=NATS, long_name="upper end of its paired 95% interval"),
        Output("order_quality", "u1", ("order",), long_name="reasons to doubt an order's value"),
    ),
}
"""What ``store`` adds, by its names."""


def outputs(store: Collection[str], cross_fitted: bool) -> tuple[Output, ...]:
    """Return the variables of a study that stores these and is cross-fitted or not.

    Examples
    --------
    >>> [output.name for output in outputs(["theta"], cross_fitted=False)][-2:]
    ['drawn_area', 'theta']
    """
    found = [*OUTPUTS, *([FOLD_OUTPUT] if cross_fitted else [])]
    if "theta" in store or "contributions" in store:
        found.append(AREA_OUTPUT)
    return (*found, *(output for name in STORED if name in store for output in STORED[name]))
