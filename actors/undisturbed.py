"""The undisturbed ones of a network's timed inferences, and the line over work that they follow.

Other load only ever makes an inference longer, by a few per cent or many times. Where all inferences do the same work,
those far above the quicker ones were disturbed. Where work differs, a long one may be long for its work: then each is
compared with the line base + per size · work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FAR = 1.4
"""A time above this multiple of the median of the faster half was disturbed: of all, or over the line."""
_BEND = 0.1
"""By how much the typical time of middling work may be off the line."""
_FITS = 20
"""Most fits, each without those that the one before found disturbed. Two or three are enough as a rule."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timed:
    """A timed inference.

    Attributes:
        ms: how long it took.
        work: the work that it did: 1 where all do the same, or what it made, such as the length of its output.
        size: the work that was expected of it beforehand.
    """

    ms: float
    work: float = 1.0
    size: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Undisturbed:
    """The undisturbed times of a network.

    Attributes:
        samples_ms: the times, rising.
        disturbed: number of the others.
        base_ms: time that does not depend on work; None where all did the same, or more work took no longer.
        per_size_ms: time of each unit of work.
        residuals: time over base + per size · size, rising, of mean 1; none where `base_ms` is None.
        bend: typical time of the middle third by work over that of the line, less 1: 0.2 is 20 % above it.
        surplus: mean time over what the sizes foretell, less 1: 0.2 where 20 % more work was done than foretold.
    """

    samples_ms: tuple[float, ...]
    disturbed: int
    base_ms: float | None = None
    per_size_ms: float = 0.0
    residuals: tuple[float, ...] = ()
    bend: float = 0.0
    surplus: float = 0.0

    def complaints(self) -> list[str]:
        """Return sentences on what makes base and per size doubtful."""
        found = []
        if abs(self.bend) > _BEND:
            found.append(
                f"times are no line over work: those of middling work are {abs(self.bend):.0%} "
                f"{'above' if self.bend > 0 else 'below'} {self.base_ms:.4g} + {self.per_size_ms:.4g} · work ms"
            )
        # Three standard errors of the mean: what chance explains is no fault of the sizes.
        chance = 3 * float(np.std(self.residuals)) / len(self.residuals) ** 0.5 if self.residuals else 0.0
        if abs(self.surplus) > max(chance, _BEND):
            more = "more" if self.surplus > 0 else "less"
            found.append(f"requests take {abs(self.surplus):.0%} {more} than their sizes foretell")
        return found


def undisturbed(calm: Sequence[Timed], taken_away: Sequence[Timed], enough: int) -> Undisturbed:
    """Return the undisturbed times of a network.

    Of calm times of 10, 10, 11, 12 and 20 ms at the same work the first four are kept, and one was disturbed. If the
    last one did twice the work of the others, all are kept.

    Args:
        calm: inferences during which the kernel left the core to the thread.
        taken_away: the other inferences.
        enough: least number of calm ones; with fewer, all are looked at.
    """
    taken = calm if len(calm) >= max(enough, 1) else [*calm, *taken_away]
    count = len(calm) + len(taken_away)
    times_ms = np.array([one.ms for one in taken])
    works, sizes = np.array([one.work for one in taken]), np.array([one.size for one in taken])
    line = _line(times_ms, works)
    if line is None:
        kept_ms = tuple(round(float(ms), 4) for ms in np.sort(times_ms[not_far_above(times_ms)]))
        return Undisturbed(samples_ms=kept_ms, disturbed=count - len(kept_ms))
    base_ms, per_size_ms = line
    over_line = times_ms / (base_ms + per_size_ms * works)
    near, third = not_far_above(over_line), len(works) // 3
    # Of all, since a line that few follow makes most others disturbed.
    middling = over_line[np.argsort(works, kind="stable")][third : len(works) - third]
    times_ms, sizes = times_ms[near], sizes[near]
    foretold = times_ms / (base_ms + per_size_ms * sizes)
    return Undisturbed(
        samples_ms=tuple(round(float(ms), 4) for ms in np.sort(times_ms)),
        disturbed=count - len(times_ms),
        base_ms=base_ms,
        per_size_ms=per_size_ms,
        # What the sizes foretell wrongly on average is said, and is no part of the residuals: their mean is 1, so that
        # a request of any size takes base + per size · size on average.
        residuals=tuple(np.sort(foretold / foretold.mean()).tolist()),
        bend=float(np.median(middling)) - 1,
        surplus=float(foretold.mean()) - 1,
    )


def not_far_above(times: FloatArray) -> NDArray[np.bool_]:
    """Return True for each time, or time over the line, that is not far above the median of the faster half."""
    near: NDArray[np.bool_] = times <= _FAR * np.sort(times)[len(times) // 4]
    return near


def _line(times_ms: FloatArray, works: FloatArray) -> tuple[float, float] | None:
    """Return base and per size of the line over work, in ms; None where more work takes no longer.

    Disturbances are up to ten times the time, all to one side, and a long inference meets more of them. So the first
    line is that of repeated medians (Siegel, Biometrika 69(1), 1982), which holds until half of all were disturbed.
    Then those far above it are left out and least squares are fitted to the others, until the same ones are left out.
    """
    if np.ptp(works) == 0:
        return None
    base_ms, per_size_ms = _repeated_medians(times_ms, works)
    near = np.zeros(len(works), dtype=np.bool_)
    for _ in range(_FITS):
        # A first line may run below 0 where there is little work; nothing can be compared with it there.
        expected_ms = np.maximum(base_ms + per_size_ms * works, 0.1 * times_ms.min())
        before, near = near, not_far_above(times_ms / expected_ms)
        if np.array_equal(before, near):
            break
        base_ms, per_size_ms = _relative_least_squares(times_ms[near], works[near], expected_ms[near])
    return (base_ms, per_size_ms) if per_size_ms > 0 else None


def _repeated_medians(times_ms: FloatArray, works: FloatArray) -> tuple[float, float]:
    """Return base and per size: the median over all inferences of the median slope to the others."""
    # SciPy's `siegelslopes` does the same. To import `scipy.stats` takes a second, and a run would have to.
    apart = works[:, None] - works
    slopes = np.full_like(apart, np.nan)
    np.divide(times_ms[:, None] - times_ms, apart, out=slopes, where=apart != 0)
    slope = np.median(np.nanmedian(slopes, axis=1))
    return float(np.median(times_ms - slope * works)), float(slope)


def _relative_least_squares(times_ms: FloatArray, works: FloatArray, expected_ms: FloatArray) -> tuple[float, float]:
    """Return base, at least 0, and per size of least squared errors, each as a share of what was expected."""
    # Scatter grows with the time, so each error is weighed as a share: short inferences count as much as long ones.
    weighed, target = np.column_stack([np.ones_like(works), works]) / expected_ms[:, None], times_ms / expected_ms
    (base_ms, per_size_ms), *_ = np.linalg.lstsq(weighed, target, rcond=None)
    if base_ms < 0:
        (per_size_ms,), *_ = np.linalg.lstsq(weighed[:, 1:], target, rcond=None)
    return max(0.0, float(base_ms)), float(per_size_ms)
