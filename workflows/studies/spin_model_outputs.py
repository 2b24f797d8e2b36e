"""The variables that the spin model study stores for every cell."""

from __future__ import annotations

from .base import Output

NATS = "nats"

OUTPUTS = (
    Output(
        "entropy_production",
        units=NATS,
        long_name="entropy production per attempted update",
        comment="estimate of a lower bound: mean over spins of the frequency of flips times nats per flip; held out "
        "for maxent and newton",
    ),
    Output("standard_error", units=NATS, long_name="standard error of the estimate over runs"),
    Output("interval_low", units=NATS, long_name="lower end of the 95% interval"),
    Output("interval_high", units=NATS, long_name="upper end of the 95% interval"),
    Output(
        "exact_entropy_production",
        units=NATS,
        long_name="entropy production per attempted update of the model",
        comment="unbiased mean over the same samples",
    ),
    Output("exact_standard_error", units=NATS, long_name="standard error of the model's value over runs"),
    Output("flip_frequency", units="1", long_name="share of attempted updates that flip their spin"),
    Output("least_flip_frequency", units="1", long_name="the same of the spin that flips least"),
    Output(
        "effective_sample_size", units="1", long_name="effective held-out flips of a spin", comment="median over spins"
    ),
    Output("n_fitted", "i8", units="1", long_name="spins with evidence"),
    Output(
        "n_unfitted",
        "i8",
        units="1",
        long_name="spins that flip too rarely to be fitted and scored",
        comment="they count as 0",
    ),
    Output("n_evaluation", "i8", units="1", long_name="passes over the samples"),
    Output("coupling_correlation", units="1", long_name="correlation of theta_ij - theta_ji with beta (J_ij - J_ji)"),
    Output("coupling_slope", units="1", long_name="slope of theta_ij - theta_ji against beta (J_ij - J_ji)"),
    Output("reason", "str", long_name="why a value is NaN"),
)

THETA = Output(
    "theta",
    "f8",
    ("unit", "source"),
    units=NATS,
    long_name="parameters of each spin",
    comment="row i belongs to the flips of spin i, g_ij = -2 x_i x_j",
    own_chunk=True,
)

READING = (
    "Values are in nats per attempted update of the network. Entropy production is the mean log ratio between the "
    "probability of a flip and that of the flip back; the line of the model is its mean over the sampled states, "
    "without bias, and its standard error is over the independent runs.",
    "The others are estimates of lower bounds from the states in which each spin flips, weighted by how often they "
    "flip. Those of maxent and newton are held out by whole runs, their intervals resample these runs; with few "
    "flips they may lie above the bound, or below zero. That of mtur is taken on all runs, and is biased up.",
    "Spins that flip too rarely to be fitted and scored count as zero; n_unfitted tells how many there are.",
    "Flags, set where the spins concerned carry a tenth of the value: capped, above the logarithm of the number of "
    "held-out flips and set to it; tail limited, fewer than 100 effective held-out flips; no evidence, no coupling "
    "improved on zero.",
)
"""What the report says of the values."""
