"""The seat of one unit's governor: it says which governor sets the unit's clock, and when a new one comes."""

from __future__ import annotations

from scheduler.board import Board
from scheduler.governors.common import Governor
from scheduler.governors.names import governor_of


class GovernorSeat:
    """The one governor that sets a unit's clock, or none while the clock is set in MHz.

    Args:
        board: the board.
        unit: name of the unit.

    Attributes:
        governor: the governor in the seat; None while it is empty.
    """

    def __init__(self, board: Board, unit: str) -> None:
        self.governor: Governor | None = None
        self._name: str | None = None
        self._board = board
        self._unit = unit

    def give(self, clock: float | str) -> bool:
        """Seat the governor of that name, or empty the seat for a clock in MHz.

        A governor that is named again stays: new hints alone don't make it forget what it has seen.

        Returns:
            True if a new governor has come.

        Raises:
            GovernorError: if no governor has that name on a unit of that kind.
        """
        if not isinstance(clock, str):
            self.governor, self._name = None, None
            return False
        if clock == self._name:
            return False
        self.governor, self._name = governor_of(self._board, self._unit, clock), clock
        return True
