"""Runs a subject once for each point at which each kind of fault may strike, and collects what did not hold."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from faults.points import Killed, Kind, Points, Subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One fault: with its subject it can be made again.

    Attributes:
        subject: name of the subject.
        kind: name of the kind.
        nth: number of the operation that it strikes.
        seed: seed of the scenario.
    """

    subject: str
    kind: str
    nth: int
    seed: int

    def __str__(self) -> str:
        return f"--subject {self.subject} --kind {self.kind!r} --nth {self.nth} --seed {self.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of one fault.

    Attributes:
        case: the fault.
        fired: True if it struck; one beyond the last operation does not.
        broken: what did not hold, in words; None if all did.
    """

    case: Case
    fired: bool
    broken: str | None


def inject(subject: Subject, kind: Kind, nth: int, seed: int) -> tuple[Result, int]:
    """Run a subject's scenario with one fault in it.

    Args:
        subject: the subject.
        kind: the fault.
        nth: number of the operation that it strikes, from 1; 0 for none.
        seed: seed of the scenario.

    Returns:
        What came of it, and how many operations were passed that it might have struck.
    """
    points, broken = Points(kind, nth), None
    with tempfile.TemporaryDirectory(prefix="gearshift-faults-") as directory:
        try:
            subject.run(points, Path(directory), random.Random(seed))
        except (Exception, Killed) as error:  # any error is one that the scenario does not expect
            last = traceback.extract_tb(error.__traceback__)[-1]
            broken = f"{type(error).__name__}: {error} at {Path(last.filename).name}:{last.lineno}"
    case = Case(subject=subject.name, kind=kind.name, nth=nth, seed=seed)
    return Result(case=case, fired=points.fired, broken=broken), points.passed


def campaign(subject: Subject, faults: int, seed: int) -> Iterator[Result]:
    """Inject that many faults into a subject, at points that are spread over all that there are.

    All points of one seed's scenario are taken before the next seed's; where they are more than are still wanted, a
    sample of them is.

    Args:
        subject: the subject.
        faults: how many faults are to strike.
        seed: seed of the first scenario.

    Yields:
        Each fault that struck, and each scenario that is broken without one.
    """
    left = faults
    for number in count(seed):
        points: list[tuple[Kind, int]] = []
        for kind in subject.kinds:
            calm, passed = inject(subject, kind, 0, number)
            if calm.broken is not None:
                yield calm
                return
            points += [(kind, nth) for nth in range(1, passed + 1)]
        chosen = random.Random(number).sample(points, min(left, len(points)))
        for kind, nth in sorted(chosen, key=lambda point: (subject.kinds.index(point[0]), point[1])):
            result, _ = inject(subject, kind, nth, number)
            if result.fired or result.broken is not None:
                yield result
            left -= result.fired
        if left <= 0:
            return
