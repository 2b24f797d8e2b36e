"""The one place where the compiler's flags are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` on its first call, without the GIL and with numpy's rules for division by zero.

    Compiled code is kept in numba's cache: a sweep starts many short-lived workers, and each would otherwise
    pay the compile time again. ``cluster`` points ``NUMBA_CACHE_DIR`` at a folder local to the node, because numba's
    cache is not safe on a network file system. No wrapper for C callers is made: it would cost a tenth of the time.
    """
    options: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "no_cfunc_wrapper": True}
    return numba.njit(cache=True, nogil=True, **options)(function)
