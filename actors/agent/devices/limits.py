"""The lowest and the highest clock of one of the kernel's clock domains, for cpufreq and devfreq alike.

What a limit shows is what all who ask for one agree to, of whom the file's writer is only one. A cap by heat hides the
writer's own request, and whoever writes the cap that he sees makes it last for ever. So a limit that was found under a
cap is given back as the board's power mode has it, or else as no limit.

The tool that sets a power mode (nvpmodel) writes to these files too, over what stands there. So no clock is asked for
that the mode does not allow; where a mode is set during a run, what was asked for is asked for again within its limits,
and these are due in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from actors.agent.devices.caps import cap, passing_cap
from actors.agent.devices.journal import Journal
from actors.agent.devices.journal_files import Found
from actors.agent.devices.nvpmodel import PowerMode, mode_number, power_mode
from actors.agent.devices.sysfs import DeviceError, Knob, KnobError, Tree
from scheduler.board import BoardUnit

_LOOK_S, _LOOKS = 0.001, 10
"""How often to look for a limit that was set, 10 ms in all. From Linux 5.4 on cpufreq applies it in a worker
(`schedule_work` in drivers/cpufreq/cpufreq.c), which a busy machine keeps waiting. What comes later still is found by
the next epoch's look."""


class Limits:
    """Both limits of one clock domain.

    Args:
        journal: the board's journal.
        domain: directory of the clock domain.
        lowest: name of the file of the lowest clock.
        highest: name of the file of the highest clock.
        top: the highest clock that the hardware has, in the files' own unit.

    Attributes:
        lowest: the lowest clock.
        highest: the highest clock.
    """

    def __init__(self, journal: Journal, domain: str, lowest: str, highest: str, top: int) -> None:
        self.lowest = journal.tree.knob(f"{domain}/{lowest}")
        self.highest = journal.tree.knob(f"{domain}/{highest}")
        self._journal = journal
        self._domain = domain
        self._top = top
        self._cap: tuple[int, str] | None = None
        self._mode: tuple[int, PowerMode | None] | None = None  # the mode that was read last, after its number

    @property
    def locked(self) -> bool:
        """True if both limits are the highest clock that there is, or that the power mode has, and not by the mode."""
        if self._journal.found(self.lowest.path) is not None:  # they are as gearshift itself has set them
            return False
        return self.lowest.number() == self.highest.number() == self._modes_highest() != self._modes_lowest()

    def pin(self, clock: int) -> None:
        """Set both limits to one clock, or to the highest that the power mode allows if that is lower.

        Raises:
            KnobError: if the kernel does not take one.
        """
        clock = min(clock, self._modes_highest())
        # In an order in which the lowest never exceeds the highest.
        up = clock >= self.highest.number()
        first, second = (self.highest, self.lowest) if up else (self.lowest, self.highest)
        self._turn(first, clock)
        self._turn(second, clock)

    def hold_down(self, clock: int | None) -> None:
        """Set the highest clock, or the power mode's if that is lower; None gives it back as it is due.

        One that somebody else has set since is left alone.

        Raises:
            KnobError: if the kernel does not take it.
        """
        found = self._journal.found(self.highest.path)
        if clock is not None:
            clock = min(clock, self._modes_highest())
        elif found is not None:
            clock = int(due(self._journal.tree, found).give_back)
            if self._journal.values(found.path)[:1] == (str(clock),):
                return
        if clock is not None and not self.taken(self.highest.number()):
            self._turn(self.highest, clock)

    def open_below(self, clock: int) -> None:
        """Lower the lowest clock to at most this one, if it shows and nobody else has set it since.

        Raises:
            KnobError: if the kernel does not take it.
        """
        shown = self.lowest.number()
        if shown <= clock or not (self._are_ours(self.lowest, shown) or shown == self._modes_lowest()):
            return
        # A cap below the lowest clock hides it: the cap shows in its place, and would be given back as if it were it.
        first = self._journal.found(self.lowest.path) is None
        if not first or shown != self.highest.number() or not self._is_capped():
            self._turn(self.lowest, clock)

    def _is_capped(self) -> bool:
        return passing_cap(self._journal.tree, self._domain) is not None

    def held(self, shown: int, *, pressed: bool) -> tuple[int, str] | None:
        """Return the highest clock that the kernel grants and the reason in words; None where nothing holds it down.

        Args:
            shown: the highest clock as it shows now.
            pressed: True while gearshift itself holds the clock down by these limits.
        """
        held = not self._are_ours(self.highest, shown) if pressed else shown < self._top
        if not held:
            self._cap = self._hidden_cap() if pressed else None
        elif self._cap is None or self._cap[0] != shown:
            self._cap = shown, cap(self._journal.tree, self._domain, shown)
        return self._cap

    def _hidden_cap(self) -> tuple[int, str] | None:
        """Return the cap that our own limit hides: the one that was seen, until it is over, or the power mode's."""
        if self._cap is not None and self._is_capped():
            return self._cap
        mode, highest = self._power_mode(), self._modes_highest()
        return None if mode is None or highest >= self._top else (highest, f"nvpmodel {mode.name}")

    def taken(self, shown: int) -> bool:
        """Return True if somebody else, and not the power mode, has set the highest clock since it was set here.

        Args:
            shown: the highest clock as it shows now.
        """
        return not (self._are_ours(self.highest, shown) or self._are_the_modes(shown) or self._is_capped())

    def overwritten(self, shown: int) -> bool:
        """Return True if the tool that sets power modes has written over a limit that was set here.

        Args:
            shown: the highest clock as it shows now.
        """
        if not self._are_ours(self.highest, shown):
            return self._are_the_modes(shown)
        lowest = self.lowest.number()
        if self._are_ours(self.lowest, lowest) or lowest == shown or self._power_mode() is None:
            return False
        # A lowest clock of 0 shows as the lowest that the hardware has.
        return lowest == self._modes_lowest() or (self._modes_lowest() == 0 and lowest < shown)

    def _are_ours(self, knob: Knob, shown: int) -> bool:
        values = self._journal.values(knob.path)
        return not values or str(shown) in values

    def _are_the_modes(self, shown: int) -> bool:
        mode = self._power_mode()
        sets_it = mode is not None and mode.value_of(self._journal.tree, self.highest.path) is not None
        return sets_it and shown == self._modes_highest()

    def _modes_highest(self) -> int:
        """Return the highest clock that the power mode allows; that of the hardware where it does not say."""
        mode = self._power_mode()
        return min((mode and mode.cap_of(self._journal.tree, self._domain)) or self._top, self._top)

    def _modes_lowest(self) -> int:
        """Return the lowest clock that the power mode allows; 0 where it does not say."""
        mode = self._power_mode()
        return (mode and mode.floor_of(self._journal.tree, self._domain)) or 0

    def _power_mode(self) -> PowerMode | None:
        """Return the power mode in force; all of them are read anew only when it is another one."""
        number = mode_number(self._journal.tree)
        if number is None:
            return None
        if self._mode is None or self._mode[0] != number:
            self._mode = number, power_mode(self._journal.tree)
        return self._mode[1]

    def _turn(self, knob: Knob, clock: int) -> None:
        self._journal.turn(knob, clock, "limit", self._journal.found(knob.path) or self._as_found(knob))
        # A limit between two clocks is rounded to one of them.
        self._journal.shows(knob, self._settled(knob, clock))

    def _settled(self, knob: Knob, clock: int) -> str:
        """Return what a limit shows when the kernel has applied it, or when it has been waited for long enough."""
        expected = (str(clock), str(min(clock, self._cap[0] if self._cap else clock)))
        shown = knob.text()
        for _ in range(_LOOKS):
            if shown in expected:
                break
            self._journal.tree.pause(_LOOK_S)
            shown = knob.text()
        return shown

    def _as_found(self, knob: Knob) -> Found:
        tree = self._journal.tree
        shown = knob.number()
        give_back, note = shown, ""
        if knob is self.highest and shown < self._top:
            reason = passing_cap(tree, self._domain)
            if reason is not None:
                give_back = self._modes_highest()
                note = f"found at {shown}, held down by {reason}, which is not a setting to give back"
        return Found(
            path=knob.path,
            kind="limit",
            shown=str(shown),
            give_back=str(give_back),
            note=note,
        )


def due(tree: Tree, found: Found) -> Found:
    """Return a knob as it is due now: a power mode that was set since it was found has the last word.

    A GPU was found with 918 MHz for its highest clock, in mode 25W. Where somebody has set mode 15W since, and that
    allows 612 MHz, the highest clock is due at 612 MHz, whatever gearshift has set it to in between.

    Args:
        tree: the files of the board.
        found: the knob as it was found.
    """
    # A mode that could not be read, now or then, says nothing of one that was set meanwhile.
    if found.kind not in ("limit", "online") or None in (found.mode, number := mode_number(tree)):
        return found
    mode = power_mode(tree) if number != found.mode else None
    value = None if mode is None else mode.value_of(tree, found.path)
    if value is not None and value < 0:
        value = _no_limit(tree, found.path)
    if mode is None or value is None:
        return found
    return replace(found, give_back=str(value), note=f"as power mode {mode.name} has it, which was set meanwhile")


def _no_limit(tree: Tree, path: str) -> int | None:
    """Return what stands for no limit in the file of a lowest or highest clock; None where that can't be read."""
    domain, name = path.rsplit("/", 1)
    if "min" in name:
        return 0
    top = tree.number_or_none(f"{domain}/cpuinfo_max_freq")
    if top is not None:
        return top
    try:
        return max(tree.knob(f"{domain}/available_frequencies").numbers(), default=None)
    except KnobError:
        return None


def check_clock(unit: BoardUnit, mhz: float, domain: str, table_mhz: Sequence[float]) -> None:
    """Check that a unit's clock is one of the kernel's.

    Raises:
        DeviceError: if it is not; it names the clocks next to it, since the kernel would take one of them silently.
    """
    if not any(abs(mhz - one) < ROUNDING_MHZ for one in table_mhz):
        below = [f"{one:g}" for one in table_mhz if one < mhz][-1:]
        above = [f"{one:g}" for one in table_mhz if one > mhz][:1]
        are = "are" if below and above else "is"
        raise DeviceError(
            f"unit {unit.name!r}: {mhz:g} MHz is no clock of {domain}; next to it there {are} "
            f"{' and '.join(below + above)} MHz. Correct mhz."
        )


def check_writable(unit: BoardUnit, tree: Tree, knobs: Iterable[Knob]) -> None:
    """Check that this process may turn a unit's knobs.

    Raises:
        DeviceError: if not; it names the first file.
    """
    for knob in knobs:
        if not tree.may(knob.path, write=True):
            raise DeviceError(
                f"unit {unit.name!r}: this process may not write /{knob.path}. Run as root, or let your group write it "
                f"(gearshift doctor says how)."
            )


def check_not_locked(unit: BoardUnit, tree: Tree, limits: Iterable[Limits]) -> None:
    """Refuse clocks that jetson_clocks has locked: its own tool keeps what they were before.

    Raises:
        DeviceError: if they are locked.
    """
    if tree.exists("etc/nv_tegra_release") and all(one.locked for one in limits):
        raise DeviceError(
            f"unit {unit.name!r}: jetson_clocks has locked the clocks at their highest. Unlock them first: "
            f"sudo jetson_clocks --restore"
        )


ROUNDING_MHZ = 0.051
"""Most that a clock in a board's file is off by: clocks in MHz are often written with one digit after the point."""
