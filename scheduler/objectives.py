"""The objectives by name: what a plan lessens or raises, in which order.

An objective is a value: the quantities that it weighs, most important first. The solver, the policies that solve and
hindsight read it; none of them asks for its name. So a new objective is one line in `ObjectiveName` and one row in
`OBJECTIVES`. This module does not know how a quantity is computed (`scheduler.solver.evaluation` does).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

ObjectiveName = Literal["energy", "accuracy", "fair"]
"""The names that `Mix`, `Problem` and `Snapshot` take."""


class Quantity(Enum):
    """One thing that an objective weighs."""

    LARGEST_TERM = auto()
    """The largest single term of the violation; less is better."""
    VIOLATION = auto()
    """The sum of all terms of the violation; less is better."""
    ACCURACY = auto()
    """The sum of weight * accuracy over the demands; more is better."""
    POWER = auto()
    """The power of all units in watts; less is better."""

    @property
    def raised(self) -> bool:
        """True if more is better."""
        return self is Quantity.ACCURACY


@dataclass(frozen=True, slots=True)
class Objective:
    """Quantities that are compared lexicographically: a later one decides only where all before it are equal.

    With `energy`, a plan of violation 0 at 3 W beats one of violation 0 at 4 W, and both beat one of violation 0.1 at
    1 W. The searches rely on this order: `LARGEST_TERM` (may be left out), `VIOLATION`, `ACCURACY` (may be left out),
    `POWER`.

    Attributes:
        levels: the quantities, most important first.
    """

    levels: tuple[Quantity, ...]

    @property
    def goals(self) -> tuple[Quantity, ...]:
        """The quantities sought once the violation is as small as it can be: power, perhaps after accuracy."""
        return self.levels[self.levels.index(Quantity.VIOLATION) + 1 :]

    @property
    def largest_term_first(self) -> bool:
        """True if the largest term of the violation counts before their sum."""
        return Quantity.LARGEST_TERM in self.levels

    @property
    def seeks_accuracy(self) -> bool:
        """True if accuracy above the floors counts."""
        return Quantity.ACCURACY in self.levels


OBJECTIVES: Mapping[ObjectiveName, Objective] = {
    "energy": Objective((Quantity.VIOLATION, Quantity.POWER)),
    "accuracy": Objective((Quantity.VIOLATION, Quantity.ACCURACY, Quantity.POWER)),
    "fair": Objective((Quantity.LARGEST_TERM, Quantity.VIOLATION, Quantity.POWER)),
}
"""By name, each objective."""
