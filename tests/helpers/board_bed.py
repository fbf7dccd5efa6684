"""A bed for tests of the device layer: a board whose knobs are turned, and what others do to it meanwhile.

Behind it is a fake kernel, or the real one of the machine on which the test runs (`--bed real`, in a guest that is made
for it). All that a test does, as gearshift or as somebody else, goes through files, so it is the same on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.affinity import Affinity, SystemAffinity
from actors.agent.devices.cpufreq import CPUFREQ
from actors.agent.devices.sysfs import KnobError, Tree, cpu_list
from actors.agent.machine import Machine
from helpers.fake_kernel import FakeAffinity, FakeKernel, FakeTree
from scheduler.board import BoardUnit

CPU = "sys/devices/system/cpu"
_CAP_OF_A_DRIVER = "sys/module/gsboard/parameters/cap_khz"
_SHOWN = ("scaling_governor", "scaling_min_freq", "scaling_max_freq", "scaling_setspeed")
_FIGURES_OF_THE_MOMENT = ("trans_table", "time_in_state", "total_trans", "reset")


class BoardBed:
    """A board under test.

    Attributes:
        tree: its files, as gearshift sees them.
        machine: the machine, with a directory of its own for the journal.
        units: a unit for each clock domain, with all clocks that the board's mode allows.
    """

    def __init__(self, tree: Tree, state: Path, others: Tree | None = None, affinity: Affinity | None = None) -> None:
        self.tree = tree
        self.machine = Machine(tree=tree, state=state, affinity=affinity or SystemAffinity())
        self._others = others or tree
        self.units = [self._unit(directory) for directory in tree.find(f"{CPUFREQ}/policy*")]

    def _unit(self, directory: str) -> BoardUnit:
        return BoardUnit(
            name=directory.rsplit("/", 1)[-1],
            kind="cpu",
            cpus=cpu_list(self.tree.text(f"{directory}/related_cpus")),
            dvfs="cpufreq",
            mhz=tuple(sorted(khz / 1000 for khz in self._clocks(directory))),
            static_w=None,
            dynamic_w=None,
        )

    def _clocks(self, directory: str) -> list[int]:
        table = self.tree.text_or_none(f"{directory}/scaling_available_frequencies")
        ends = [self.tree.text(f"{directory}/cpuinfo_{end}_freq") for end in ("min", "max")]
        allowed_khz = int(self.tree.text(f"{directory}/scaling_max_freq"))
        return [int(khz) for khz in (table.split() if table else ends) if int(khz) <= allowed_khz]

    def policy(self, unit: BoardUnit) -> str:
        """Return the directory of a unit's clock domain."""
        return f"{CPUFREQ}/{unit.name}"

    def read(self, path: str) -> str:
        """Return what a file shows."""
        return self.tree.text(path)

    def write(self, path: str, value: str | int) -> None:
        """Write to a file as somebody else does."""
        knob = self._others.knob(path)
        knob.write(value)
        knob.close()

    def switch(self, cpu: int, on: bool) -> None:
        """Take a CPU offline or put it online, as somebody else does."""
        self.write(f"{CPU}/cpu{cpu}/online", int(on))

    def khz(self, unit: BoardUnit) -> int:
        """Return the clock that the kernel believes a unit to have."""
        return int(self.read(f"{self.policy(unit)}/scaling_cur_freq"))

    @contextmanager
    def capped(self, unit: BoardUnit, mhz: float) -> Iterator[None]:
        """Hold the clock of a unit down for a while, as the kernel itself does and not a writer of its files."""
        lever, value = self._lever(unit, mhz)
        self.write(lever, value)
        try:
            yield
        finally:
            self.write(lever, 0)

    def _lever(self, unit: BoardUnit, mhz: float) -> tuple[str, int]:
        if self.tree.exists(_CAP_OF_A_DRIVER):
            assert unit.cpus[0] == 0, "the driver caps the first clock domain only"
            return _CAP_OF_A_DRIVER, round(mhz * 1000)
        for device in self.tree.find("sys/class/thermal/cooling_device*"):
            kind = self.tree.text(f"{device}/type")
            if kind in (f"cpufreq-cpu{unit.cpus[0]}", f"thermal-cpufreq-{device[-1]}"):
                # Each state takes one clock off the table, from the top.
                table = self.tree.text(f"{self.policy(unit)}/scaling_available_frequencies").split()
                return f"{device}/cur_state", sorted(map(int, table), reverse=True).index(round(mhz * 1000))
        raise AssertionError(f"nothing caps {unit.name}")

    @property
    def tells_who_caps(self) -> bool:
        """True if the kernel says who holds a clock down: a cooling device does, a driver's request does not."""
        return not self.tree.exists(_CAP_OF_A_DRIVER)

    def knobs(self) -> dict[str, str]:
        """Return what every file that can be turned shows, or its error."""
        paths = [*self.tree.find(f"{CPU}/cpu*/online")]
        for directory in self.tree.find(f"{CPUFREQ}/policy*"):
            paths += [f"{directory}/{name}" for name in _SHOWN]
        for directory in (CPUFREQ, *self.tree.find(f"{CPUFREQ}/policy*")):
            paths += [
                path
                for path in self.tree.find(f"{directory}/*/*")
                if "/policy" not in path.removeprefix(directory) and not path.endswith(_FIGURES_OF_THE_MOMENT)
            ]
        found = {}
        for path in paths:
            try:
                found[path] = self.tree.text(path)
            except KnobError as error:
                found[path] = type(error).__name__
        return found


@contextmanager
def real_bed(state: Path) -> Iterator[BoardBed]:
    """Yield the bed of this machine's kernel; afterwards its knobs are as before."""
    bed = BoardBed(Tree(), state)
    before = bed.knobs()
    yield bed
    for cpu in cpu_list(bed.read(f"{CPU}/present")):
        if bed.tree.exists(f"{CPU}/cpu{cpu}/online"):
            bed.switch(cpu, True)
    for unit in bed.units:
        limits = [f"{bed.policy(unit)}/scaling_{end}_freq" for end in ("max", "min")]
        for path in (*limits, f"{bed.policy(unit)}/scaling_governor"):
            bed.write(path, before[path])


def fake_bed(kernel: FakeKernel, state: Path) -> BoardBed:
    """Return the bed of a fake kernel; others act on it beside the tree that gearshift has."""
    return BoardBed(FakeTree(kernel), state, _Others(kernel), FakeAffinity(kernel, real=True))


class _Others(Tree):
    """The files of a fake kernel as everybody but gearshift uses them: root, and unseen by the test's counters."""

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__()
        self._kernel = kernel

    def open(self, path: str, *, writing: bool = False) -> _OthersFile:
        return _OthersFile(self._kernel, path)


class _OthersFile:
    def __init__(self, kernel: FakeKernel, path: str) -> None:
        self._kernel, self._path = kernel, path

    def read(self) -> bytes:
        return self._kernel.read(self._path)

    def write(self, content: bytes) -> None:
        self._kernel.write(self._path, content)

    def close(self) -> None:
        pass
