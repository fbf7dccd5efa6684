"""Requests drawn from a measured table: a stream of inputs with a target, and perhaps a floor and a cap."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from benchmarks.measured.points import FULL_LOAD, Point, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        ladder: the ladder of the table.
        period_ms: time between two inputs.
        target_ms: the longest time from an input's arrival to its result, at most 0.9 of the period.
        min_accuracy: the accuracy floor as a fraction; 0 for none.
        cap_w: the highest mean power; None for any.
    """

    ladder: str
    period_ms: float
    target_ms: float
    min_accuracy: float
    cap_w: float | None

    def shortfalls(self, point: Point) -> tuple[float, float, float]:
        """Return by how much a point is too slow, too inaccurate and too much power; 0 where it is not.

        Each is relative: 0.1 for 110 ms at a target of 100 ms.
        """
        mean_w = point.energy_mj(self.period_ms) / self.period_ms
        return (
            max(0.0, point.run_ms / self.target_ms - 1 - 1e-9),
            max(0.0, self.min_accuracy - point.accuracy - 1e-9),
            max(0.0, mean_w / self.cap_w - 1 - 1e-9) if self.cap_w is not None else 0.0,
        )

    def is_met(self, point: Point) -> bool:
        """Return True if a point is fast, accurate and frugal enough."""
        return not any(self.shortfalls(point))


def draw(table: Table, count: int, seed: int) -> list[Request]:
    """Draw requests each of which some measured point meets.

    The load is that of a point drawn from the table: it is busy for 0.2 to 0.83 of the period. The target is 1 to 2
    times its latency, and at most `FULL_LOAD` of the period, so targets cover the range of measured latencies. Half of
    the requests have the point's accuracy as their floor, and half a cap of 1.05 to 1.5 times the mean power of the
    cheapest point.

    Args:
        table: the table.
        count: how many.
        seed: seed of all that is drawn.
    """
    rng = np.random.default_rng([seed, zlib.crc32(table.name.encode())])
    names = list(table.ladders)
    requests: list[Request] = []
    for _ in range(count):
        ladder = names[int(rng.integers(len(names)))]
        points = table.ladders[ladder]
        point = points[int(rng.integers(len(points)))]
        period_ms = point.run_ms * float(rng.uniform(1.2, 5.0))
        asked = Request(
            ladder=ladder,
            period_ms=period_ms,
            target_ms=min(point.run_ms * float(rng.uniform(1.0, 2.0)), FULL_LOAD * period_ms),
            min_accuracy=point.accuracy if rng.random() < 0.5 else 0.0,
            cap_w=None,
        )
        most = float(rng.uniform(1.05, 1.5))
        if rng.random() < 0.5:
            least_mj = optimum(table, asked).energy_mj(period_ms)
            asked = Request(
                ladder=ladder,
                period_ms=period_ms,
                target_ms=asked.target_ms,
                min_accuracy=asked.min_accuracy,
                cap_w=most * least_mj / period_ms,
            )
        requests.append(asked)
    return requests


def optimum(table: Table, request: Request) -> Point:
    """Return the measured point that meets a request with the least energy.

    Raises:
        ValueError: if no measured point meets it.
    """
    met = [point for point in table.ladders[request.ladder] if request.is_met(point)]
    if not met:
        raise ValueError(f"no point of {table.name} meets {request}.")
    return min(met, key=lambda point: point.energy_mj(request.period_ms))
