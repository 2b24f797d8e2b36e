"""Figures: Datasets and arrays in, matplotlib Figures out; nothing is read or written."""

from .coupling import coupling, coupling_matrix, coupling_order
from .scaling import scaling
from .spin_model import spin_couplings, spin_model
from .style import message

__all__ = ["coupling", "coupling_matrix", "coupling_order", "message", "scaling", "spin_couplings", "spin_model"]
