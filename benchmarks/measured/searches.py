"""Online searches that know nothing of a table beforehand but the accuracy of its networks: they measure, and choose.

A search may measure a few points of a ladder, and takes the cheapest of them that meets the request.

`covariance` goes by the distance covariance of each setting with what is to be lowered, after CORAL (arXiv 2603.14577,
2026: it published 96 to 100 % of the optimum on two Jetsons after few measurements). Its text was not at hand in full,
so the steps are our own. `model` fits Gaussian processes to what it measured and goes where less energy is most to be
expected, at the chance that target and cap are met: constrained Bayesian optimisation (Gardner et al., ICML 2014).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.measured.points import Point, Table
from benchmarks.measured.requests import Request

FloatArray = NDArray[np.float64]

MEASUREMENTS = 10
"""Points that a search may measure for a request (a second-hand account of CORAL says that it needs so many)."""

_FIRST = 3
"""Points that are measured before there is anything to go by, drawn at random."""

_STEP = 0.5
"""How far the covariance search goes from its best point, as a share of the range of the settings."""

_LENGTH, _NOISE = 0.5, 1e-3
"""Length over which a Gaussian process is alike, in settings of range 1, and the variance of its noise."""


def covariance(table: Table, request: Request, seed: int = 0) -> tuple[Point, ...]:
    """Return what a search guided by distance covariance measures, and last what it takes.

    From its best point it goes in each setting against the sign of the covariance with the request's worst shortfall,
    or with energy where nothing falls short, in proportion to the distance correlation; it then measures the point
    nearest to where that leads. A step that leads nowhere new is drawn at random.
    """
    points, rng = _start(table, request, seed)
    settings = np.array([point.settings for point in points])
    seen = _first(points, rng)
    while len(seen) < min(MEASUREMENTS, len(points)):
        best = min(seen, key=lambda place: _badness(request, points[place]))
        goal = _goal(request, [points[place] for place in seen], points[best])
        pull = np.array([_pull(settings[seen, column], goal) for column in range(settings.shape[1])])
        strongest = np.abs(pull).max()
        left = [place for place in range(len(points)) if place not in seen]
        if strongest == 0:
            seen.append(int(rng.choice(left)))
            continue
        wanted = settings[best] + _STEP * pull / strongest * np.ptp(settings, axis=0)
        seen.append(min(left, key=lambda place: float(np.linalg.norm(settings[place] - wanted))))
    return _with_best(request, [points[place] for place in seen])


def model(table: Table, request: Request, seed: int = 0) -> tuple[Point, ...]:
    """Return what a search by Gaussian processes of time and energy measures, and last what it takes."""
    points, rng = _start(table, request, seed)
    settings = np.array([point.settings for point in points])
    seen = _first(points, rng)
    while len(seen) < min(MEASUREMENTS, len(points)):
        left = [place for place in range(len(points)) if place not in seen]
        measured = [points[place] for place in seen]
        run = np.log([point.run_ms for point in measured])
        energy = np.log([point.energy_mj(request.period_ms) for point in measured])
        met = [value for value, point in zip(energy, measured, strict=True) if request.is_met(point)]
        run_mean, run_sd = predict(settings[seen], run, settings[left])
        energy_mean, energy_sd = predict(settings[seen], energy, settings[left])
        chance = _below(math.log(request.target_ms), run_mean, run_sd)
        if request.cap_w is not None:
            chance *= _below(math.log(request.cap_w * request.period_ms), energy_mean, energy_sd)
        worth = chance * (_improvement(min(met), energy_mean, energy_sd) if met else 1.0)
        seen.append(left[int(np.argmax(worth))])
    return _with_best(request, [points[place] for place in seen])


def _start(table: Table, request: Request, seed: int) -> tuple[list[Point], np.random.Generator]:
    """Return the points that are accurate enough, which is known of all, and the search's own generator."""
    accurate = [p for p in table.ladders[request.ladder] if not request.shortfalls(p)[1]]
    return accurate, np.random.default_rng([seed, zlib.crc32(repr(request).encode())])


def _first(points: Sequence[Point], rng: np.random.Generator) -> list[int]:
    count = min(_FIRST, len(points))
    return [int(place) for place in rng.choice(len(points), size=count, replace=False)]


def _badness(request: Request, point: Point) -> tuple[float, float]:
    """Return what is less for a better point: its shortfalls, then its energy."""
    return sum(request.shortfalls(point)), point.energy_mj(request.period_ms)


def _with_best(request: Request, measured: Sequence[Point]) -> tuple[Point, ...]:
    return (*measured, min(measured, key=lambda point: _badness(request, point)))


def _goal(request: Request, measured: Sequence[Point], best: Point) -> FloatArray:
    """Return of each measured point what is to be lowered: time or power where the best falls short, else energy."""
    if request.shortfalls(best)[0]:
        return np.log([point.run_ms for point in measured])
    return np.log([point.energy_mj(request.period_ms) for point in measured])


def _pull(values: FloatArray, goal: FloatArray) -> float:
    """Return the distance correlation of a setting with what is to be lowered, with the sign that lowers it."""
    sign = float(np.sign(np.mean((values - values.mean()) * (goal - goal.mean()))))
    return -sign * distance_correlation(values, goal)


def distance_correlation(x: FloatArray, y: FloatArray) -> float:
    """Return the distance correlation of two samples (Székely, Rizzo and Bakirov, Annals of Statistics 35, 2007).

    It is 0 if one of them does not vary and 1 if one goes with the other in a straight line. Unlike the common
    correlation it is above 0 for any dependence, such as that of (-1, 0, 1) and (1, 0, 1).
    """
    a, b = _centred(x), _centred(y)
    norm = math.sqrt(float(np.mean(a * a)) * float(np.mean(b * b)))
    return math.sqrt(max(0.0, float(np.mean(a * b))) / norm) if norm > 0 else 0.0


def _centred(values: FloatArray) -> FloatArray:
    distances = np.abs(values[:, np.newaxis] - values)
    means = distances.mean(axis=0)
    centred: FloatArray = distances - means - means[:, np.newaxis] + distances.mean()
    return centred


def predict(at: FloatArray, values: FloatArray, wanted: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of a Gaussian process at other settings.

    Args:
        at: settings measured, shape (n, k).
        values: what was measured there, shape (n,).
        wanted: settings asked for, shape (m, k).
    """
    middle, scale = float(values.mean()), float(values.std()) or 1.0
    own = _kernel(at, at) + _NOISE * np.eye(len(at))
    between = _kernel(wanted, at)
    mean: FloatArray = middle + scale * between @ np.linalg.solve(own, (values - middle) / scale)
    explained = np.einsum("ij,ji->i", between, np.linalg.solve(own, between.T))
    deviation: FloatArray = scale * np.sqrt(np.maximum(1 + _NOISE - explained, 1e-12))
    return mean, deviation


def _kernel(a: FloatArray, b: FloatArray) -> FloatArray:
    squares = ((a[:, np.newaxis, :] - b[np.newaxis, :, :]) ** 2).sum(axis=2)
    alike: FloatArray = np.exp(-squares / (2 * _LENGTH**2))
    return alike


def _below(bound: float, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """Return the chance that a normal variable is at most a bound."""
    return _normal((bound - mean) / deviation)


def _improvement(best: float, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """Return by how much a normal variable is expected to fall below the best so far, counting only where it does."""
    z = (best - mean) / deviation
    expected: FloatArray = (best - mean) * _normal(z) + deviation * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return expected


def _normal(z: FloatArray) -> FloatArray:
    return np.array([0.5 * (1 + math.erf(one / math.sqrt(2))) for one in z])
