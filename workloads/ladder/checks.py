"""The checks of an app and its ladder that a run on a board and its simulation share, in the same words."""

from __future__ import annotations

from actors.profiling import Ladder
from scheduler.board import Board
from workloads.mix.app import App
from workloads.mix.arrivals import External
from workloads.mix.errors import MixError
from workloads.mix.mix import Presence


def check_app(presence: Presence, ladder: Ladder, board: Board) -> None:
    """Refuse an app that its ladder or the board can't serve.

    Args:
        presence: the app and its targets.
        ladder: its networks.
        board: the board.

    Raises:
        MixError: if it has a floor and a network of unknown accuracy, a source that its models can't take, or models
            that run on none of the board's units.
    """
    _check_floors(presence, ladder)
    if not isinstance(presence.app.supernet, str):
        _check_source(presence.app, ladder)
    _check_units(presence.app, ladder, board)


def has_gpu(board: Board) -> bool:
    """Return True if a unit of the board is a GPU, whose executor runs torch programs."""
    return any(unit.kind == "gpu" for unit in board.units)


def runs_on_gpu(ladder: Ladder) -> bool:
    """Return True if every network of a ladder has a program that a GPU can run."""
    return all(artifact.program is not None for artifact, _, _ in ladder)


def _check_floors(presence: Presence, ladder: Ladder) -> None:
    """Refuse an app with an accuracy floor and a sub-network of unknown accuracy: a floor needs accuracies."""
    floors = [target.min_accuracy for target in presence.targets if target.min_accuracy > 0]
    unknown = [artifact.subnet for artifact, accuracy, _ in ladder if accuracy is None]
    if floors and unknown:
        raise MixError(
            f"app {presence.app.name!r} has min_accuracy {floors[0]!r}, but the accuracy of its sub-network "
            f"{unknown[0]!r} is unknown; state it in the Family, or drop the floor."
        )


def _check_source(app: App, ladder: Ladder) -> None:
    """Refuse inputs that models of one's own can't all take."""
    shapes = {artifact.input_shape for artifact, _, _ in ladder}
    if len(shapes) > 1 and (callable(app.source) or isinstance(app.arrivals, External)):
        raise MixError(
            f"app {app.name!r}: its models take inputs of different shapes, {', '.join(map(str, sorted(shapes)))}, and "
            "what a source or a client gives fits only one; give models of one shape."
        )


def _check_units(app: App, ladder: Ladder, board: Board) -> None:
    """Refuse an app whose models run on none of the board's units."""
    if not runs_on_gpu(ladder) and all(unit.kind == "gpu" for unit in board.units):
        raise MixError(
            f"app {app.name!r}: models of one's own run on CPU units only, and board {board.name!r} has none; use a "
            "built-in supernet, or another board."
        )
