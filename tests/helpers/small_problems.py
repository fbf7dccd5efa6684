"""Operating points, demands and units for tests: a test names only the fields that matter to it."""

from scheduler.problem import Demand, OperatingPoint, Unit


def point(**changes: object) -> OperatingPoint:
    plain = {
        "subnet": "s",
        "unit": "cpu",
        "cores": 1,
        "mhz": 1000.0,
        "latency_ms": 10.0,
        "energy_mj": 5.0,
        "accuracy": 0.8,
    }
    return OperatingPoint(**(plain | changes))  # type: ignore[arg-type]


def demand(app: str = "a", *points: OperatingPoint, **changes: object) -> Demand:
    plain = {"app": app, "rate_hz": 10.0, "target_ms": 20.0, "min_accuracy": 0.5, "weight": 1.0}
    return Demand(**(plain | changes), points=points or (point(),))  # type: ignore[arg-type]


def unit(**changes: object) -> Unit:
    plain = {"name": "cpu", "kind": "cpu", "cores": 2, "mhz": (500.0, 1000.0), "static_w": (0.1, 0.2)}
    return Unit(**(plain | changes))  # type: ignore[arg-type]
