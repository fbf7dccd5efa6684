"""The least time in which a request of a size can be served, by which drop rule `late` knows that it can't be in time.

A worker and the simulator both ask here, so that they drop the same requests. It knows no requests and no time.
"""

from __future__ import annotations

from scheduler.board import BoardUnit
from scheduler.profile import ServiceTime


def least_service_s(time: ServiceTime, unit: BoardUnit, size: float) -> float:
    """Return the fastest service that a profile knows for a request of a size, in seconds at the unit's top clock.

    For example, 10 ms and 2 ms for each unit of size, with residuals from 0.9 on, make 45 ms for a size of 20 on a core
    of speed 1, and 90 ms on one of speed 0.5. That nobody else uses the core is taken for granted.

    Args:
        time: the profiled times of the network on its cores.
        unit: the unit.
        size: the request's size.

    Returns:
        Seconds; 0 where the time does not depend on the size, of which no request's time is foretold.
    """
    if time.base_ms is None:
        return 0.0
    return time.expected_ms(size) * time.residuals[0] / unit.pace(unit.mhz[-1], time.memory_share) / 1000
