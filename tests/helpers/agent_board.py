"""A small emulated board for tests of the board agent."""

from __future__ import annotations

from dataclasses import replace

from scheduler.board import Board, BoardUnit

BIG = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(0, 1),
    dvfs="emulated",
    mhz=(500.0, 1000.0),
    static_w=(0.1, 0.4),
    dynamic_w=(0.5, 2.0),
)
LITTLE = replace(BIG, name="little", cpus=(2,), mhz=(100.0,), static_w=(0.01,), dynamic_w=(0.02,))
BOARD = Board(name="test", units=(BIG, LITTLE), base_w=1.5, sensor="none", power_source="made up")
