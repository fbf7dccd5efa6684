"""Compiles the solver's inner loops to machine code, once: the code is kept on disk where a directory can be written.

numba keeps it beside the source, else in the user's cache directory; where neither can be written each process compiles
anew, which takes about a minute of one core. `scheduler.solver.warm` does so ahead of time.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Return the function compiled by numba, with the same arguments and results."""
    try:
        made = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # there is no directory to keep the code in
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(F, made)
