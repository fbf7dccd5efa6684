"""The lowest and the highest clock of one of the kernel's clock domains, for cpufreq and devfreq alike.

What a limit shows is what all who ask for one agree to, of whom the file's writer is only one. A cap by heat hides the
writer's own request, and whoever writes the cap that he sees makes it last for ever. So a limit that was found under a
cap is given back as the board's power mode has it, or else as no limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from actors.agent.devices.caps import cap, passing_cap
from actors.agent.devices.journal import Found, Journal
from actors.agent.devices.nvpmodel import STATUS, power_mode
from actors.agent.devices.sysfs import DeviceError, Knob, Tree
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
        self._found: dict[str, Found] = {}
        self._cap: tuple[int, str] | None = None
        self._mode_cap: tuple[str, tuple[int, str] | None] | None = None  # by the text that says which mode it is

    @property
    def locked(self) -> bool:
        """True if both limits are the highest clock that there is, or that the power mode has, and not by the mode."""
        tree, lowest = self._journal.tree, self.lowest.number()
        mode = power_mode(tree)
        top = (mode and mode.cap_of(tree, self._domain)) or self._top
        floor = mode and mode.floor_of(tree, self._domain)
        return lowest == self.highest.number() == top != floor

    def pin(self, clock: int) -> None:
        """Set both limits to one clock, in an order in which the lowest never exceeds the highest.

        Raises:
            KnobError: if the kernel does not take one.
        """
        up = clock >= self.highest.number()
        first, second = (self.highest, self.lowest) if up else (self.lowest, self.highest)
        self._turn(first, clock)
        self._turn(second, clock)

    def hold_down(self, clock: int | None) -> None:
        """Set the highest clock, unless somebody else has set it since; None gives it back as it was found.

        Raises:
            KnobError: if the kernel does not take it.
        """
        found = self._found.get(self.highest.path)
        if clock is None:
            if found is None or self._journal.values(found.path)[:1] == (found.give_back,):
                return
            clock = int(found.give_back)
        if self.taken(self.highest.number()) is None:
            self._turn(self.highest, clock)

    def open_below(self, clock: int) -> None:
        """Lower the lowest clock to at most this one, if it shows and nobody else has set it since.

        Raises:
            KnobError: if the kernel does not take it.
        """
        shown = self.lowest.number()
        if shown <= clock or not self._are_ours(self.lowest, shown):
            return
        # A cap below the lowest clock hides it: the cap shows in its place, and would be given back as if it were it.
        if self.lowest.path in self._found or shown != self.highest.number() or not self._is_capped():
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
        tree = self._journal.tree
        status = tree.text_or_none(STATUS) or ""
        # The modes are read anew only when another one is in force.
        if self._mode_cap is None or self._mode_cap[0] != status:
            mode = power_mode(tree)
            allowed = None if mode is None else mode.cap_of(tree, self._domain)
            capped = None if allowed is None or allowed >= self._top else (allowed, cap(tree, self._domain, allowed))
            self._mode_cap = status, capped
        return self._mode_cap[1]

    def taken(self, shown: int) -> str | None:
        """Return who has set the highest clock since it was set here, in words; None if nobody has.

        Args:
            shown: the highest clock as it shows now.
        """
        if self._are_ours(self.highest, shown) or self._is_capped():
            return None
        return cap(self._journal.tree, self._domain, shown)

    def _are_ours(self, knob: Knob, shown: int) -> bool:
        values = self._journal.values(knob.path)
        return not values or str(shown) in values

    def _turn(self, knob: Knob, clock: int) -> None:
        if knob.path not in self._found:
            self._found[knob.path] = self._as_found(knob)
        self._journal.turn(knob, clock, "limit", self._found[knob.path])
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
                mode = power_mode(tree)
                give_back = (mode and mode.cap_of(tree, self._domain)) or self._top
                note = f"found at {shown}, held down by {reason}, which is not a setting to give back"
        return Found(
            path=knob.path,
            kind="limit",
            shown=str(shown),
            give_back=str(give_back),
            note=note,
            mode=tree.text_or_none(STATUS) or "",
        )


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
