"""A fake world with a unit that may be switched off; it asserts that nobody is ever on it while it is off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from helpers.fake_world import BOARD, EPOCH_S, World, make_spec
from scheduler.manager import Manager
from scheduler.messages import Effect, Pin, SetClock, SwitchUnit, UnitSwitched
from scheduler.policies import Policy

TOOK_MS = 30.0
SWITCHING_BOARD = replace(
    BOARD, units=tuple(replace(unit, may_switch_off=unit.name == "little") for unit in BOARD.units)
)


class SwitchingWorld(World):
    """A world that carries out `SwitchUnit` as well.

    Attributes:
        switched: each time that a unit was really switched: when, which, and True for on.
        stuck: reason for which no unit comes on now; None where each does.
    """

    def __init__(self, policy: Policy, apps: Sequence[str], **how: float) -> None:
        self.switched: list[tuple[float, str, bool]] = []
        self.stuck: str | None = None
        specs = [make_spec(app) for app in apps]
        manager = Manager(board=SWITCHING_BOARD, apps=specs, policy=policy, epoch_s=EPOCH_S)
        super().__init__(manager, tuple(apps), board=SWITCHING_BOARD, **how)

    def assert_arrived(self) -> None:
        """Check what `World` checks, and that a unit without an application, and no other, is off."""
        super().assert_arrived()
        used = {unit for _, unit, _ in self.plan["gears"].values()}
        assert self.off == {"little"} - used

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Pin):
            assert self._cpus_off().isdisjoint(effect.cpus), f"{effect} although the unit is off"
        super()._carry_out(effect)

    def _perform(self, effect: Effect, life: int) -> None:
        if isinstance(effect, SetClock):
            assert effect.unit not in self.off, f"the clock of {effect.unit} is set while it is off"
        super()._perform(effect, life)

    def _switch(self, effect: SwitchUnit) -> UnitSwitched:
        assert self.board.unit(effect.unit).may_switch_off
        answer = UnitSwitched(unit=effect.unit, on=effect.on, took_ms=TOOK_MS, plan=effect.plan)
        if effect.on and self.stuck is not None:
            self.shown[effect.unit] = {"cpus_online": (), "offline_by": self.stuck}
            return replace(answer, fault=self.stuck)
        self.shown[effect.unit] = {}
        if effect.on == (effect.unit in self.off):
            self.switched.append((self.now_s, effect.unit, effect.on))
            self.off ^= {effect.unit}
            self.clocks[effect.unit] = 2000.0  # the kernel brings it back at its highest
        return answer

    def _check(self) -> None:
        super()._check()
        away = self._cpus_off()
        for app, worker in self.workers.items():
            on_gpu = worker.gear is not None and not worker.cpus  # its threads may be anywhere
            assert on_gpu or away.isdisjoint(worker.pinned), f"{app} is pinned to a unit that is off"
            assert worker.gear is None or worker.gear.unit not in self.off, f"{app} is active on a unit that is off"

    def _cpus_off(self) -> set[int]:
        return {cpu for unit in self.off for cpu in self.board.unit(unit).cpus}
