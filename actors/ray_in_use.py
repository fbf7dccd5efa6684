"""A Ray that this process uses already: a run needs one of its own, and leaves the user's alone.

A run's Ray listens on loopback with a token of its own, knows the board's GPUs and ends with the run. A process can be
connected to one Ray only.
"""

from __future__ import annotations

import sys

from scheduler.errors import InputError


def ray_in_use() -> bool:
    """Return True if this process is connected to a Ray; importing Ray alone connects to none."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def refuse_ray_in_use() -> None:
    """Check that this process can start a Ray for a run.

    Raises:
        InputError: if it is connected to one; that one is left as it is.
    """
    if ray_in_use():
        raise InputError(
            "this process is connected to a Ray already, by ray.init(), and a run starts one of its own; call "
            "ray.shutdown() before, or start the run in another process"
        )
