"""Changes of what is assumed of a board, to see whether a conclusion is one about policies or about a board's model.

Each change is a pure function from board to board. It keeps what was measured best: the power of a unit with all its
cores busy at its top clock, and the time of an inference there. Unknown power stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from scheduler.board import Board, BoardUnit

_MOST_STATIC = 0.95
"""The largest share of a busy unit's power that may be static: the cores need some of it."""

_MOST_MEMORY = 0.95
"""The largest share of an inference that may wait for memory: the clock has to matter."""


def scaled_static(board: Board, factor: float) -> Board:
    """Multiply static power by a factor and keep the power of a unit with all cores busy at each clock.

    A unit with 1 W static and 4 cores of 0.5 W has, at a factor of 0.5, 0.5 W static and 4 cores of 0.625 W.
    """

    def changed(unit: BoardUnit) -> BoardUnit:
        if unit.static_w is None or unit.dynamic_w is None:
            return unit
        busy_w = [static + unit.cores * core for static, core in zip(unit.static_w, unit.dynamic_w, strict=True)]
        # Power at a clock need not rise with the clock in measured tables, but static power has to.
        most_w = [_MOST_STATIC * min(busy_w[place:]) for place in range(len(busy_w))]
        static_w = [min(factor * was, most) for was, most in zip(unit.static_w, most_w, strict=True)]
        dynamic_w = [(busy - static) / unit.cores for busy, static in zip(busy_w, static_w, strict=True)]
        return replace(unit, static_w=tuple(static_w), dynamic_w=tuple(dynamic_w))

    return replace(board, units=tuple(map(changed, board.units)))


def idle_share(board: Board, share: float) -> Board:
    """Let an idle unit take that share of its static power."""
    return replace(board, units=tuple(replace(unit, idle_share=share) for unit in board.units))


def bent_power(board: Board, exponent: float) -> Board:
    """Multiply a core's dynamic power at clock f by (f / top)^exponent.

    Dynamic power goes with V² · f. Where V goes with f^γ, a change of γ by e is an exponent of 2 · e here.
    """

    def changed(unit: BoardUnit) -> BoardUnit:
        if unit.dynamic_w is None:
            return unit
        top_mhz = unit.mhz[-1]
        bent_w = [watts * (mhz / top_mhz) ** exponent for watts, mhz in zip(unit.dynamic_w, unit.mhz, strict=True)]
        return replace(unit, dynamic_w=tuple(bent_w))

    return replace(board, units=tuple(map(changed, board.units)))


def moved_memory_share(board: Board, by: float) -> Board:
    """Add to the share of an inference that waits for memory, which a lower clock does not make longer."""

    def changed(unit: BoardUnit) -> BoardUnit:
        return replace(unit, memory_share=min(_MOST_MEMORY, max(0.0, unit.memory_share + by)))

    return replace(board, units=tuple(map(changed, board.units)))


CHANGES: Mapping[str, Callable[[Board], Board]] = {
    "static power 50 % less": partial(scaled_static, factor=0.5),
    "static power 50 % more": partial(scaled_static, factor=1.5),
    "idle power 0 % of static": partial(idle_share, share=0.0),
    "idle power 50 % of static": partial(idle_share, share=0.5),
    "idle power 100 % of static": partial(idle_share, share=1.0),
    "V/f exponent 0.25 less": partial(bent_power, exponent=-0.5),
    "V/f exponent 0.25 more": partial(bent_power, exponent=0.5),
    "memory share 0.15 less": partial(moved_memory_share, by=-0.15),
    "memory share 0.15 more": partial(moved_memory_share, by=0.15),
}
"""The changes of the sensitivity section, by name."""
