"""A GPU that a run uses, whose process is killed between any two of its writes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from actors.agent.devices.devfreq import DevfreqClock
from actors.agent.devices.hand_back import HandedBack
from actors.agent.hold import Hold, recover
from actors.agent.machine import Machine
from helpers.gpu_bed import GpuBed
from helpers.kill_points import Killed, KillPoints, MortalTree, mortal_journal


def _use(gpu: GpuBed, machine: Machine, rng: random.Random, set_a_mode: Callable[[], None] | None = None) -> None:
    """Use the GPU as a run does, and give it back; `set_a_mode` lets somebody set a power mode meanwhile."""
    hold = Hold(machine)
    clock = DevfreqClock(gpu.unit, hold.journal)
    for _ in range(rng.randrange(1, 10)):
        match rng.randrange(4):
            case 0 | 1:
                clock.set_clock(rng.choice(gpu.unit.mhz))
            case 2:
                clock.govern(rng.choice(clock.governors()), rng.choice((*gpu.unit.mhz, None)))
            case 3 if set_a_mode is not None:
                set_a_mode()
                if rng.random() < 0.7:
                    clock.look()
    hold.give_back()


def _die() -> None:
    raise Killed


def use_and_kill(
    gpu: GpuBed, rng: random.Random, set_a_mode: Callable[[], None] | None = None
) -> tuple[bool, HandedBack | None]:
    """Use the GPU until somebody kills the process, which may happen to the next one too; then have it recovered.

    Args:
        gpu: the GPU.
        rng: decides what is done and when the end comes.
        set_a_mode: sets a power mode, as somebody else does now and then; None where nobody does.

    Returns:
        True if the first one was killed, and what came of the recovery.
    """
    points = KillPoints(_die)
    tree = MortalTree(gpu.bed.tree, points)
    machine = replace(gpu.bed.machine, tree=tree)
    points.left = rng.randrange(40)
    killed = False
    with mortal_journal(points):
        try:
            _use(gpu, machine, rng, set_a_mode)
        except Killed:
            killed = True
            tree.bury()
            if set_a_mode is not None and rng.random() < 0.2:
                set_a_mode()
            points.left = rng.randrange(10)
            try:
                recover(machine)
            except Killed:
                tree.bury()
    return killed, recover(gpu.bed.machine)
