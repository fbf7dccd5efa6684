"""The clock of CPUs through the kernel's cpufreq, in `/sys/devices/system/cpu/cpufreq/policyN`. Its unit is kHz.

A unit may own several of the kernel's clock domains ("policies"): an x86 machine has one for each CPU, a Xavier one for
each pair. All of them get the same clock.

There are two ways to set a clock:

- *By speed*, where the governor `userspace` can be had: it is taken once, and each clock is then one write to
  `scaling_setspeed`. The highest clock is not touched, so a cap of the kernel's comes and goes by itself.
- *By limits*, elsewhere (intel_pstate and amd-pstate in active mode): the lowest and the highest clock are set to the
  same. On such a machine a clock is a wish, and the processor still chooses.

A governor or a limit that somebody else sets meanwhile is left alone, and said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from actors.agent.devices import caps
from actors.agent.devices.journal import Journal, as_shown
from actors.agent.devices.limits import Limits, check_clock, check_not_locked, check_writable
from actors.agent.devices.real import RealClock, Seen
from actors.agent.devices.sysfs import AwayError, DeviceError, Tree
from actors.agent.devices.topology import CPU, core_cpus, online_cpus
from scheduler.board import BoardUnit

CPUFREQ = f"{CPU}/cpufreq"
_USERSPACE = "userspace"


class Policy:
    """One clock domain of cpufreq, with its knobs.

    Attributes:
        directory: its directory, from the root of the tree.
        cpus: its CPUs, those offline included.
        governors: the governors that it can have now.
        table_khz: its clocks, rising, boost clocks included while boost is on; none where the driver has no table.
        bottom_khz: the lowest clock of the hardware.
        top_khz: the highest clock of the hardware.
        governor: its governor.
        speed: the clock under `userspace`. It shows the clock in force, not the one asked for.
        now: the clock in force, as the kernel believes or the processor has measured.
    """

    def __init__(self, tree: Tree, directory: str) -> None:
        self.directory = directory
        self.cpus = tuple(caps.domain_cpus(tree, directory))
        self.governors = tree.knob(f"{directory}/scaling_available_governors").words()
        table_khz = _clocks(tree, f"{directory}/scaling_available_frequencies")
        if tree.text_or_none(f"{CPUFREQ}/boost") == "1" or tree.text_or_none(f"{directory}/boost") == "1":
            table_khz += _clocks(tree, f"{directory}/scaling_boost_frequencies")
        self.table_khz = tuple(sorted({*table_khz}))
        self.bottom_khz = tree.knob(f"{directory}/cpuinfo_min_freq").number()
        self.top_khz = tree.knob(f"{directory}/cpuinfo_max_freq").number()
        self.governor = tree.knob(f"{directory}/scaling_governor")
        self.speed = tree.knob(f"{directory}/scaling_setspeed")
        self.now = tree.knob(f"{directory}/scaling_cur_freq")

    @property
    def name(self) -> str:
        """Its name, such as `policy0`."""
        return self.directory.rsplit("/", 1)[-1]

    def khz(self, mhz: float) -> int:
        """Return the clock of its table that is meant: off the table the kernel takes the next one up, silently."""
        wanted_khz = round(mhz * 1000)
        return min(self.table_khz, key=lambda khz: abs(khz - wanted_khz), default=wanted_khz)


def set_by_speed(policies: Iterable[Policy]) -> bool:
    """Return True if the clock of these policies is set by speed, and False if by limits."""
    return all(_USERSPACE in policy.governors for policy in policies)


class CpufreqClock(RealClock):
    """The clock of a CPU unit.

    Args:
        unit: the unit, as the board's file describes it.
        journal: the board's journal.

    Raises:
        DeviceError: if the unit's clock can't be set as described: no cpufreq, CPUs that share a clock with others,
            clocks that the kernel does not have, no permission, or clocks that are locked.
    """

    def __init__(self, unit: BoardUnit, journal: Journal) -> None:
        self._unit = unit
        self._journal = journal
        self._tree = journal.tree
        self._policies = policies_of(unit, self._tree)
        self._limits = {
            policy.name: Limits(journal, policy.directory, "scaling_min_freq", "scaling_max_freq", policy.top_khz)
            for policy in self._policies
        }
        self._by_speed = set_by_speed(self._policies)
        # By name of the policy, the governor that it was given, perhaps by a process whose journal is gone on with.
        self._governors = {
            policy.name: given[0] for policy in self._policies if (given := journal.values(policy.governor.path))
        }
        self._asked: float | str | None = None  # the clock in MHz, or the governor that has it
        self._limit_mhz: float | None = None  # the highest that the governor may choose, where that is held down
        self._away: set[str] = set()
        self._online = self._tree.knob(f"{CPU}/online")
        self._online_before = ""
        self._check()

    # ------------------------------------------------------------ turning

    def set_clock(self, mhz: float) -> float:
        """Set the clock; see `RealClock`. A policy all of whose CPUs are offline gets it when it is back."""
        granted_khz = self._ask(mhz, None)
        return min(granted_khz) / 1000 if granted_khz else mhz

    def governors(self) -> tuple[str, ...]:
        """Return the governors that all policies of the unit can have; see `RealClock`."""
        first, *others = self._policies
        return tuple(name for name in first.governors if all(name in policy.governors for policy in others))

    def govern(self, governor: str, max_mhz: float | None = None) -> None:
        """Hand the clock to a governor; see `RealClock`. A policy that is away gets it when it is back."""
        if governor not in self.governors():
            raise DeviceError(f"unit {self._unit.name!r}: no governor {governor!r} here; {', '.join(self.governors())}")
        self._ask(governor, max_mhz)

    def _ask(self, asked: float | str, limit_mhz: float | None) -> list[int]:
        """Have all policies do what is asked for, or none, and return the clocks in kHz of those that are there."""
        before = self._asked, self._limit_mhz, {**self._governors}
        self._asked, self._limit_mhz = asked, limit_mhz
        clocks_khz: list[int] = []
        try:
            with self._journal.together():
                for policy in self._policies:
                    try:
                        clocks_khz.append(self._apply(policy, asked))
                    except AwayError:
                        self._away.add(policy.name)
        except DeviceError:
            self._asked, self._limit_mhz, self._governors = before
            # A policy that left `userspace` and is back there has forgotten its speed.
            if self._asked is not None:
                for policy in self._policies:
                    with contextlib.suppress(DeviceError):
                        self._apply(policy, self._asked)
            raise
        return clocks_khz

    def _apply(self, policy: Policy, asked: float | str) -> int:
        """Have one policy do what is asked for, and return the clock that it has then."""
        limits = self._limits[policy.name]
        if isinstance(asked, str):
            if self._take(policy, asked):
                limits.open_below(policy.khz(self._unit.mhz[0]))
                limits.hold_down(None if self._limit_mhz is None else policy.khz(self._limit_mhz))
            return policy.now.number()
        khz = policy.khz(asked)
        if self._by_speed:
            if not self._take(policy, _USERSPACE):
                return policy.now.number()
            limits.hold_down(None)
            # A cap may have hidden the lowest clock when the policy was taken.
            limits.open_below(khz)
            self._journal.turn(policy.speed, khz, "speed")
            return policy.speed.number()
        if not self._lost(policy, limits.highest.number()):
            limits.pin(khz)
        return limits.highest.number()

    def _take(self, policy: Policy, governor: str) -> bool:
        """Give a policy a governor; return False if somebody else has given it one since, which is left alone."""
        now = policy.governor.text()
        given = self._governors.get(policy.name)
        if given is not None and now != given:
            return False
        if given is None:
            self._keep(policy, now)
            self._limits[policy.name].open_below(policy.khz(self._unit.mhz[0]))
        if now != governor:
            self._journal.turn(policy.governor, governor, "governor")
        self._governors[policy.name] = governor
        return True

    def keep(self) -> None:
        """Note what the kernel forgets when the unit is switched off; see `RealClock`."""
        for policy in self._policies:
            if policy.name not in self._governors:
                with contextlib.suppress(AwayError):
                    self._keep(policy, policy.governor.text())

    def _keep(self, policy: Policy, governor: str) -> None:
        """Note what is lost when a policy leaves its governor: the set speed, and the governor's own figures."""
        if governor == _USERSPACE:
            self._journal.keep(as_shown(policy.speed, "speed"))
        for base in (policy.directory, CPUFREQ):
            for path in self._tree.find(f"{base}/{governor}/*"):
                if self._tree.may(path) and self._tree.may(path, write=True):
                    self._journal.keep(as_shown(self._tree.knob(path), "tunable"))

    # ------------------------------------------------------------ looking

    def look(self) -> Seen:
        """Return the present state; see `RealClock`. A policy whose CPUs have changed gets its clock again."""
        clocks_khz: list[int] = []
        caps_khz: dict[int, str] = {}
        set_mhz = None if isinstance(self._asked, str) else self._asked
        pressed = self._limit_mhz is not None or (not self._by_speed and set_mhz is not None)
        online = self._online.text()
        for policy in self._policies:
            limits = self._limits[policy.name]
            try:
                shown_khz = limits.highest.number()
                lost = self._lost(policy, shown_khz)
                overwritten = lost is None and limits.overwritten(shown_khz)
                # The kernel may forget the speed when it starts the governor anew.
                again = overwritten or policy.name in self._away or online != self._online_before
                if self._asked is not None and again:
                    self._apply(policy, self._asked)
                    shown_khz = limits.highest.number()
                by_speed = self._by_speed and set_mhz is not None and lost is None
                now_khz = (policy.speed if by_speed else policy.now).number()
                # When a core goes or comes under a cap, the kernel forgets that a higher clock was asked for. One that
                # is higher is that of a domain all of whose cores went and came since the last look.
                if by_speed and set_mhz is not None and now_khz != min(policy.khz(set_mhz), shown_khz):
                    now_khz = self._apply(policy, set_mhz)
            except AwayError:
                self._away.add(policy.name)
                continue
            self._away.discard(policy.name)
            clocks_khz.append(now_khz)
            if lost is not None:
                caps_khz[now_khz] = lost
            elif (held := limits.held(shown_khz, pressed=pressed)) is not None:
                caps_khz[held[0]] = held[1]
        # Noted last, so that a look that failed above is made up for by the next.
        self._online_before = online
        mhz = min(clocks_khz) / 1000 if clocks_khz else None
        max_khz = min(caps_khz, default=None)
        if max_khz is None or max_khz >= round(self._unit.mhz[-1] * 1000):
            return Seen(mhz=mhz)
        return Seen(mhz=mhz, max_mhz=max_khz / 1000, held_by=caps_khz[max_khz])

    def _lost(self, policy: Policy, shown_khz: int) -> str | None:
        """Return who has the clock where somebody else has taken it, in words; None while it is ours."""
        given = self._governors.get(policy.name)
        if given is not None and (now := policy.governor.text()) != given:
            return f"governor {now}, which somebody set"
        taken = not self._by_speed and self._limits[policy.name].taken(shown_khz)
        return caps.SOMEBODYS if taken else None

    def _check(self) -> None:
        for policy in self._policies:
            limits = self._limits[policy.name]
            by_speed = (policy.governor, policy.speed, limits.lowest)
            check_writable(self._unit, self._tree, by_speed if self._by_speed else (limits.lowest, limits.highest))
            for mhz in self._unit.mhz:
                if policy.table_khz:
                    check_clock(self._unit, mhz, policy.name, [khz / 1000 for khz in policy.table_khz])
                elif not policy.bottom_khz <= round(mhz * 1000) <= policy.top_khz:
                    raise DeviceError(
                        f"unit {self._unit.name!r}: {mhz:g} MHz is not within {policy.bottom_khz / 1000:g} to "
                        f"{policy.top_khz / 1000:g} MHz, the clocks of {policy.name}. Correct mhz."
                    )
        check_not_locked(self._unit, self._tree, self._limits.values())


def policies_of(unit: BoardUnit, tree: Tree) -> list[Policy]:
    """Return the policies of a unit's cores. The other threads of its cores have policies of their own on x86.

    Raises:
        DeviceError: if there are none, or one has CPUs of other cores that may work at another clock.
    """
    where = f"unit {unit.name!r}"
    ours = {thread for cpu in unit.cpus for thread in (cpu, *core_cpus(tree, cpu))}
    policies = [
        Policy(tree, directory)
        for directory in tree.find(f"{CPUFREQ}/policy*")
        if {*caps.domain_cpus(tree, directory)} & ours
    ]
    covered = {cpu for policy in policies for cpu in policy.cpus}
    missing = [cpu for cpu in unit.cpus if cpu not in covered]
    if missing:
        raise DeviceError(
            f"{where}: the kernel sets no clock of CPU {missing[0]} (nothing in /{CPUFREQ} has it). If it is offline, "
            f"put it online; on a machine without cpufreq use dvfs: fixed"
        )
    online = online_cpus(tree)
    for policy in policies:
        others = sorted(cpu for cpu in policy.cpus if cpu not in ours and cpu in online)
        if others:
            raise DeviceError(
                f"{where}: CPU {others[0]} has one clock with CPU {min({*policy.cpus} & ours)} "
                f"({policy.name}). Put CPUs {', '.join(map(str, policy.cpus))} into one unit."
            )
    return policies


def _clocks(tree: Tree, path: str) -> tuple[int, ...]:
    """Return the clocks that a file lists; none where there is no such file."""
    try:
        return tree.knob(path).numbers()
    except AwayError:
        return ()
