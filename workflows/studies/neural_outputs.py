"""The variables that the study of neural recordings stores for every cell."""

from __future__ import annotations

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
    Output("entropy_production_train", units=NATS, long_name="training objective (biased up)"),
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
    Output("bias", units=NATS, long_name="upward bias of the tilted average"),
    Output("ridge", units="1", long_name="chosen ridge"),
    Output("n_iteration", "i8", units="1", long_name="iterations of the optimiser"),
    Output("converged", "bool", units="1", long_name="validation had turned along the ridge path"),
    Output("reason", "str", long_name="why a value is NaN"),
    Output("exact_entropy_production", units=NATS, long_name="exact entropy production of the whole network"),
    Output("exact_entropy_production_per_spike", units="nats/spike", long_name="exact entropy production per spike"),
    Output("drawn_unit", "i8", ("drawn",), long_name="ids of the drawn units", fill=-1),
)

COUPLING_OUTPUTS = (
    Output("drawn_area", "str", ("drawn",), long_name="areas of the drawn units"),
    Output(
        "theta",
        "f8",
        ("pair",),
        units=NATS,
        long_name="couplings",
        comment="in the observable's order over the drawn units",
        own_chunk=True,
    ),
)
