"""A world that has reached its first plan, and a way to let epochs pass with other telemetry."""

from __future__ import annotations

from helpers.fake_world import EPOCH_S, World, gear, make_spec, make_world
from helpers.scripted import Scripted
from scheduler.messages import Telemetry, Tick


def observed(world: World, seconds: float, **changes: object) -> int:
    """Let epochs pass and return how many decisions were made in them.

    Args:
        world: a world with an application `a`.
        seconds: how long to let epochs pass, in virtual time.
        changes: fields of the reports of `a` in these epochs; `latencies_ms` is empty if not given.
    """
    before = len(world.logs("plan"))
    start_s = world.now_s
    decisions = world.manager.decisions
    for number in range(1, round(seconds / EPOCH_S) + 1):
        now_s = start_s + number * EPOCH_S
        report = world.report("a", **{"latencies_ms": (), **changes})
        world.manager.on(Telemetry(apps=(report,), units=(), power_w=None), now_s)
        world.manager.on(Tick(epoch=number), now_s)
    world.now_s = start_s + seconds
    assert len(world.logs("plan")) == before
    return world.manager.decisions - decisions


def settled_world(**spec: object) -> tuple[World, Scripted]:
    """Return a world in which `a` runs in its first gear, and its policy."""
    policy = Scripted({"a": gear("s")})
    world = make_world(policy, ("a",), specs=[make_spec("a", **spec)])
    world.run(1.0)
    assert world.manager.decisions == 1
    return world, policy
