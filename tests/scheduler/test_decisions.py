"""A logged decision gives the views again that the policy was shown."""

from __future__ import annotations

from helpers.fake_world import BOARD, gear, make_spec, make_world, retarget
from helpers.scripted import Scripted
from scheduler.decisions import Decision, Grounds, snapshot_of, unlimited
from scheduler.inputs import AppInputs, Inputs
from scheduler.messages import AppJoined, Event
from scheduler.views import Gear


def test_cpus_phases_and_profiles_come_back_from_the_log() -> None:
    policy = Scripted({"a": gear("s", "big", 2), "b": gear("m", "little"), "c": gear("s", "gpu")})
    specs = [make_spec("a"), make_spec("b"), make_spec("c", present=False)]
    world = make_world(policy, ("a", "b", "c"), specs=specs)
    world.run(1.0)
    world.send(Event(change=AppJoined(app="c"), text="c joins"))
    world.run(1.0)
    world.send(retarget("a", target_ms=50.0))
    logged = world.logs("decision")[-1]
    decision = Decision(
        now_s=world.now_s,
        inputs=Inputs(
            apps={app: AppInputs(**one) for app, one in logged["apps"].items()},
            units={unit.name: unlimited(BOARD, unit.name) for unit in BOARD.units},
            power_cap_w=None,
        ),
        gears={app: plain and Gear.of(plain) for app, plain in logged["gears"].items()},
        paces=logged["paces"],
        cpus={app: tuple(numbers) for app, numbers in logged["cpus"].items()},
    )
    again = {view.app: view for view in snapshot_of(Grounds.of(BOARD, specs, "energy"), decision).apps}
    shown = {view.app: view for view in policy.snapshots[-1].apps}
    assert {app: view.cpus for app, view in shown.items()} == {"a": (0, 1), "b": (2,), "c": ()}
    assert shown["c"].phase_ms == 1000.0
    for app, view in shown.items():
        for name in ("cpus", "phase_ms", "arrival_model", "profile", "gear", "points"):
            assert getattr(again[app], name) == getattr(view, name)
