"""The unit on which networks are made ready stands at a high clock while an application waits for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.fake_world import BOARD, gear, make_world, retarget
from helpers.scripted import Scripted
from helpers.snapshots import BIG
from scheduler.messages import Activate, ClockSet, Prepare, Prepared, SetClock
from scheduler.request_clock import Pace
from scheduler.transition import Transition
from scheduler.views import Plan


def run_change(policy: Scripted, to: str, **how) -> list[str]:
    """Have one application change its sub-network on `big`; return in short what `little` and it were asked to do."""
    world = make_world(policy, ("a",), **how)
    world.run(1.0)
    world.effects.clear()
    policy.gears = {"a": gear(to, "big")}
    world.send(retarget())
    world.run(1.0)
    world.assert_arrived()
    words = []
    for effect in world.effects:
        if isinstance(effect, Prepare | Activate):
            words.append(f"{type(effect).__name__} {effect.gear.subnet}")
        elif isinstance(effect, SetClock) and effect.unit == "little":
            words.append(f"little {effect.clock:g}" if isinstance(effect.clock, float) else effect.clock)
    return words


def test_it_goes_up_with_the_order_to_prepare_and_down_once_that_is_answered():
    policy = Scripted({"a": gear("s", "big")})
    # No power figures: the highest of its clocks.
    asked = run_change(policy, "m", prepares_on="little", delay_s=0.05)
    assert asked == ["Prepare m", "little 2000", "little 500", "Activate m"]


@pytest.mark.parametrize(
    ("clocks", "how"),
    [
        pytest.param({}, {}, id="no unit is named"),
        pytest.param({}, {"prepares_on": "little", "power_cap_w": 3.0}, id="power is capped"),
        pytest.param({"little": "schedutil"}, {"prepares_on": "little"}, id="a governor has the unit"),
        pytest.param({"little": 2000.0}, {"prepares_on": "little"}, id="the plan's clock is as high"),
    ],
)
def test_it_stays_where(clocks, how):
    policy = Scripted({"a": gear("s", "big")}, clocks)
    assert run_change(policy, "m", **how) == ["Prepare m", "Activate m"]


def test_requests_get_no_clocks_of_their_own_meanwhile():
    transition = Transition(BOARD, prepares_on="little")
    transition.join("a", running=True)
    pace = Pace(rest_mhz=500.0, least_mhz=500.0, share=0.9, period_ms=100.0)
    clocks = dict.fromkeys([unit.name for unit in BOARD.units], 1000.0)
    plan = Plan(gears={"a": gear("s", "little")}, clocks=clocks, paces={"a": pace})
    transition.aim(plan, {"a": (2,)}, 1, "start", prepare_mhz=2000.0)

    def asked(effects) -> list[tuple[object, bool]]:
        return [
            (effect.clock, bool(effect.hints.paces))
            for effect in effects
            if isinstance(effect, SetClock) and effect.unit == "little"
        ]

    assert asked(transition.advance(0.0)) == [(2000.0, False)]
    # The answers to two clocks of one plan could not be told apart, so the second waits for the first.
    transition.acknowledge(Prepared(app="a", gear=gear("s", "little"), plan=1))
    assert asked(transition.advance(0.1)) == []
    transition.acknowledge(ClockSet(unit="little", clock=2000.0, plan=1))
    assert asked(transition.advance(0.2)) == [(1000.0, True)]


def test_the_clock_of_least_energy_times_time():
    unit = replace(BIG, mhz_allowed=(500.0, 1000.0, 2000.0), static_w=(0.1, 0.2, 0.5), dynamic_w=(0.2, 0.5, 3.5))
    # 0.3 / 0.25, 0.7 / 1 and 4 / 4.
    assert unit.least_edp_mhz == 1000.0
    assert replace(unit, static_w=None, dynamic_w=None).least_edp_mhz == 2000.0
