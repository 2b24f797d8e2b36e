"""Spikes of repeated trials as a state-space model takes them: checked, in windows, averaged over trials."""

from __future__ import annotations

import numpy as np

from neq.errors import IsingError


def checked_spikes(spikes: np.ndarray, window: int = 1) -> np.ndarray:
    """Return spikes (time, trial, unit) as bool, in windows of so many bins.

    A unit is active in a window where it is in one of its bins; bins that fill no window are left out at the end.

    Raises
    ------
    IsingError
        They are no 0 and 1 of three dimensions, or a unit is never or always active.

    Examples
    --------
    >>> checked_spikes(np.array([[[0, 1]], [[0, 0]], [[0, 0]], [[1, 0]], [[1, 1]]]), window=2).astype(int).tolist()
    [[[0, 1]], [[1, 0]]]
    """
    array = np.asarray(spikes)
    if array.ndim != 3 or 0 in array.shape:
        raise IsingError(f"Expected spikes of three dimensions (time, trial, unit), found shape {array.shape}.")
    if not np.isin(array, (0, 1)).all():
        bad = array[~np.isin(array, (0, 1))].flat[0]
        raise IsingError(f"Expected spikes of 0 and 1, found {bad}; make counts boolean and leave out what is missing.")
    if window < 1 or window > len(array):
        raise IsingError(f"Expected a window of 1 to {len(array)} bins, found {window}.")
    n_window = len(array) // window
    found = np.any(array[: n_window * window].astype(bool).reshape(n_window, window, *array.shape[1:]), axis=1)
    share = found.mean(axis=(0, 1))
    constant = np.flatnonzero((share == 0) | (share == 1))
    if len(constant):
        raise IsingError(
            f"Expected units that are active now and then, found unit {constant[0]} active in a share of "
            f"{share[constant[0]]:g} of all bins ({len(constant)} such units); leave them out."
        )
    return found
