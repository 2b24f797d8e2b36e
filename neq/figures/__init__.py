"""Figures: Datasets and arrays in, matplotlib Figures out; nothing is read or written.

The label of every Figure is its caption.
"""

from .against import against
from .contributions import contributions, contributions_dataset
from .coupling import coupling, coupling_matrix, coupling_order
from .events import events
from .orders import orders, orders_dataset
from .scaling import scaling
from .spin_model import spin_couplings, spin_model
from .style import message

__all__ = [
    "against",
    "contributions",
    "contributions_dataset",
    "coupling",
    "coupling_matrix",
    "coupling_order",
    "events",
    "message",
    "orders",
    "orders_dataset",
    "scaling",
    "spin_couplings",
    "spin_model",
]
