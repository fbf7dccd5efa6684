"""The clock of a GPU through the kernel's devfreq, in `/sys/class/devfreq/DEVICE`. Its unit is Hz.

The lowest and the highest clock are set to the same, under whatever governor the device has: not every driver offers
`userspace`. The kernel looks at once when a limit changes, and else each time that its governor polls. What it shows of
a limit is not rounded to the device's clocks, so what it granted is read from the clock itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from actors.agent.devices.caps import SOMEBODYS
from actors.agent.devices.journal import Journal, as_shown
from actors.agent.devices.limits import Limits, check_clock, check_not_locked, check_writable
from actors.agent.devices.real import RealClock, Seen
from actors.agent.devices.sysfs import AwayError, DeviceError, Tree
from scheduler.board import BoardUnit

DEVFREQ = "sys/class/devfreq"

_NVIDIA_NODES = frozenset({"gv11b", "gp10b", "gm20b", "ga10b", "gb10b"})
_GPU_NODES = _NVIDIA_NODES | {"gpu", "mali", "adreno"}
"""Names of GPUs in device trees. Those that contain `gpu` are GPUs too."""

_KERNEL_NAMES: Mapping[str, str] = MappingProxyType({"podgov": "nvhost_podgov"})
"""Names of governors that the kernel knows under another name."""

_POLL_S = 0.05
"""Time until a governor's next look where the device does not say (`polling_interval`)."""
_LONGEST_POLL_S = 0.2


def gpus(tree: Tree) -> list[str]:
    """Return the directories of all GPUs that devfreq knows: not of a memory controller or another engine."""
    return [directory for directory in tree.find(f"{DEVFREQ}/*") if _is_gpu(tree, directory)]


def is_nvidia(tree: Tree, gpu: str) -> bool:
    """Return True if a GPU is one of NVIDIA's, by the name that it has in its device tree, or by its board.

    Args:
        tree: the files of the board.
        gpu: directory of the GPU, one of `gpus`.
    """
    if _node(tree, gpu) in _NVIDIA_NODES or tree.exists("etc/nv_tegra_release"):
        return True
    compatible = ("proc/device-tree/compatible", f"{gpu}/device/of_node/compatible")
    return any("nvidia," in (tree.text_or_none(path) or "") for path in compatible)


def _is_gpu(tree: Tree, directory: str) -> bool:
    name = _node(tree, directory)
    return "gpu" in name or name in _GPU_NODES


def _node(tree: Tree, directory: str) -> str:
    """Return the name of a device in its device tree; where it is not known, the end of its own name."""
    name = tree.text_or_none(f"{directory}/device/of_node/name")
    return (name or directory.rsplit("/", 1)[-1].rsplit(".", 1)[-1]).lower()


class DevfreqClock(RealClock):
    """The clock of a GPU unit.

    Args:
        unit: the unit, as the board's file describes it.
        journal: the board's journal.

    Raises:
        DeviceError: if the unit's clock can't be set as described: no GPU there or several, clocks that the kernel does
            not have, no permission, or clocks that are locked.
    """

    def __init__(self, unit: BoardUnit, journal: Journal) -> None:
        self._unit = unit
        self._journal = journal
        self._tree = tree = journal.tree
        found = gpus(tree)
        if len(found) != 1:
            there = ", ".join(one.rsplit("/", 1)[-1] for one in found or tree.find(f"{DEVFREQ}/*")) or "nothing"
            what = "several GPUs" if found else "no GPU"
            raise DeviceError(
                f"unit {unit.name!r}: there is {what} in /{DEVFREQ} ({there}). Use dvfs: fixed, or nvml for an NVIDIA "
                f"card."
            )
        (self._directory,) = found
        self._table_hz = tuple(sorted(tree.knob(f"{self._directory}/available_frequencies").numbers()))
        self._limits = Limits(journal, self._directory, "min_freq", "max_freq", self._table_hz[-1])
        self._governor = tree.knob(f"{self._directory}/governor")
        self._now = tree.knob(f"{self._directory}/cur_freq")
        # The governor that it was given, perhaps by a process whose journal is gone on with; None while it has the one
        # that was found.
        self._given: str | None = next(iter(journal.values(self._governor.path)), None)
        self._set_hz: int | None = None
        self._limit_hz: int | None = None  # the highest clock that a governor may take, where the run holds it down
        for mhz in unit.mhz:
            check_clock(unit, mhz, "this GPU", [clock_hz / 1e6 for clock_hz in self._table_hz])
        check_writable(unit, tree, (self._limits.lowest, self._limits.highest))
        check_not_locked(unit, tree, [self._limits])

    def set_clock(self, mhz: float) -> float:
        """Set the clock; see `RealClock`."""
        clock_hz = self._hz(mhz)
        if self._lost(self._limits.highest.number()) is None:
            with self._journal.together():
                self._ask_limits(clock_hz, None)
            self._set_hz, self._limit_hz = clock_hz, None
            self._settle(clock_hz)
        return self._now.number() / 1e6

    def governors(self) -> tuple[str, ...]:
        """Return the governors that the device can have; see `RealClock`."""
        ours = {kernels: name for name, kernels in _KERNEL_NAMES.items()}
        there = self._tree.knob(f"{self._directory}/available_governors").words()
        return tuple(ours.get(name, name) for name in there)

    def govern(self, governor: str, max_mhz: float | None = None) -> None:
        """Hand the clock to a governor; see `RealClock`."""
        name = _KERNEL_NAMES.get(governor, governor)
        if governor not in self.governors():
            raise DeviceError(f"unit {self._unit.name!r}: no governor {governor!r} here; {', '.join(self.governors())}")
        shown, given = self._governor.text(), self._given
        limit_hz = None if max_mhz is None else self._hz(max_mhz)
        with self._journal.together():
            if given is None:
                self._keep(shown)
            if given in (None, shown):
                if shown != name:
                    self._journal.turn(self._governor, name, "governor")
                given = name
            self._ask_limits(None, limit_hz)
        self._given, self._set_hz, self._limit_hz = given, None, limit_hz

    def _ask_limits(self, clock_hz: int | None, limit_hz: int | None) -> None:
        """Set the limits between which a governor has the clock; a clock of one's own is both of them."""
        if clock_hz is not None:
            self._limits.pin(clock_hz)
            return
        # The lowest first, which must never be above the highest. A power mode's limit is in the same file as ours, so
        # a governor gets the one that was found.
        self._limits.open_below(self._hz(self._unit.mhz[0]))
        self._limits.hold_down(limit_hz)

    def keep(self) -> None:
        """Do nothing: no CPUs, which could be switched off, belong to a GPU."""

    def look(self) -> Seen:
        """Return the present state; see `RealClock`."""
        try:
            shown_hz = self._limits.highest.number()
            lost = self._lost(shown_hz)
            if lost is None and self._limits.overwritten(shown_hz):
                self._ask_limits(self._set_hz, self._limit_hz)
                if self._set_hz is not None:
                    self._settle(self._set_hz)
                shown_hz = self._limits.highest.number()
            now_hz = self._now.number()
        except AwayError:  # the driver was removed, or its power is off
            return Seen(mhz=None)
        if lost is not None:
            return Seen(mhz=now_hz / 1e6, max_mhz=now_hz / 1e6, held_by=lost)
        held = self._limits.held(shown_hz, pressed=(self._set_hz or self._limit_hz) is not None)
        if held is None or held[0] >= self._hz(self._unit.mhz[-1]):
            return Seen(mhz=now_hz / 1e6)
        return Seen(mhz=now_hz / 1e6, max_mhz=held[0] / 1e6, held_by=held[1])

    def _keep(self, governor: str) -> None:
        """Note a governor's own figures, such as the clock under `userspace`: they are lost when it is left."""
        for path in self._tree.find(f"{self._directory}/{governor}/*"):
            if self._tree.may(path) and self._tree.may(path, write=True):
                self._journal.keep(as_shown(self._tree.knob(path), "tunable"))

    def _settle(self, clock_hz: int) -> None:
        """Wait for the governor's next look, if the kernel has not followed at once."""
        if self._now.number() == clock_hz:
            return
        interval_ms = self._tree.number_or_none(f"{self._directory}/polling_interval") or 1e3 * _POLL_S
        self._tree.pause(min(interval_ms / 1e3, _LONGEST_POLL_S))

    def _lost(self, shown_hz: int) -> str | None:
        """Return who has the clock where somebody else has taken it, in words; None while it is ours."""
        if self._given is not None and (now := self._governor.text()) != self._given:
            return f"governor {now}, which somebody set"
        return SOMEBODYS if self._limits.taken(shown_hz) else None

    def _hz(self, mhz: float) -> int:
        """Return the device's clock that is meant: `114.75` and `114.8` both mean 114750000 Hz."""
        return min(self._table_hz, key=lambda clock_hz: abs(clock_hz - mhz * 1e6))
