"""Numba kernels: arrays in, arrays out, no checks. One file per family."""
