"""The entry that a family of supernets gives to the catalog for each of its built-in supernets. Knows no family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from supernets.supernet import Supernet


class OpenSupernet(Protocol):
    """A function that opens one built-in supernet."""

    def __call__(
        self, weights: Path | None, source: str, ladder_file: Path | None, named_ladder: str | None, /
    ) -> Supernet:
        """Open the supernet.

        Args:
            weights: file of the state dict; None for random weights.
            source: where that file comes from, `shipped` or `given`.
            ladder_file: file of sub-networks made with those weights; None for the ladder that the weights bring.
            named_ladder: one of `BuiltIn.named_ladders`; None if none is asked for.

        Raises:
            SupernetError: if a file can't be read or doesn't fit.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltIn:
    """A supernet that users open by name.

    Attributes:
        name: its name, unique in the catalog.
        task: what its sub-networks do, one of `supernets.inputs.INPUTS`.
        open: opens it.
        named_ladders: returns the names of its ladders; called only when a user asks for a ladder.
    """

    name: str
    task: str
    open: OpenSupernet
    named_ladders: Callable[[], tuple[str, ...]] = tuple
