"""The CPUs that the kernel lets this process use, by the kernel's own numbers. Knows no boards and no engines.

How many CPUs there are says nothing of their numbers: a container may own CPU 24 alone, and CPUs may be offline.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

ALL = range(8192)
"""More CPUs than a kernel of Linux can be built for (MAXSMP of x86-64). The kernel cuts a mask of all these down
to the CPUs that are online and allowed to the process."""


def usable() -> frozenset[int]:
    """Return the CPUs online that this process may use, whatever the mask of the thread that asks."""
    with ThreadPoolExecutor(1) as pool:  # a thread that ends, since its mask is changed for this
        return pool.submit(_widened).result()


def _widened() -> frozenset[int]:
    os.sched_setaffinity(0, ALL)
    return frozenset(os.sched_getaffinity(0))
