"""The GPU of a bed: its clock under devfreq, and what others do to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from actors.agent.devices.devfreq import DEVFREQ, gpus
from actors.agent.devices.sysfs import KnobError
from helpers.board_bed import BoardBed
from scheduler.board import BoardUnit

_KNOBS = ("governor", "min_freq", "max_freq", "polling_interval", "timer", "userspace/set_freq")


class GpuBed:
    """A GPU under test.

    Attributes:
        bed: the board that it is on.
        directory: its devfreq directory.
        table_mhz: all its clocks.
        unit: it as a unit, with all clocks that the board's mode allows.
    """

    def __init__(self, bed: BoardBed) -> None:
        self.bed = bed
        (self.directory,) = gpus(bed.tree)
        self.table_mhz = tuple(sorted(int(hz) / 1e6 for hz in self.read("available_frequencies").split()))
        allowed_mhz = int(self.read("max_freq")) / 1e6
        self.unit = self.unit_of(tuple(mhz for mhz in self.table_mhz if mhz <= allowed_mhz))

    @staticmethod
    def unit_of(mhz: tuple[float, ...]) -> BoardUnit:
        """Return a unit with a GPU that has these clocks."""
        return BoardUnit(name="gpu", kind="gpu", cpus=(), dvfs="devfreq", mhz=mhz, static_w=None, dynamic_w=None)

    def read(self, name: str) -> str:
        """Return what one of its files shows."""
        return self.bed.read(f"{self.directory}/{name}")

    def write(self, name: str, value: str | int) -> None:
        """Write to one of its files as somebody else does."""
        self.bed.write(f"{self.directory}/{name}", value)

    @property
    def mhz(self) -> float:
        """Its clock."""
        return int(self.read("cur_freq")) / 1e6

    @property
    def governors(self) -> list[str]:
        """The governors that it can have, by the kernel's names."""
        return self.read("available_governors").split()

    def knobs(self) -> dict[str, str]:
        """Return what every file of every devfreq device shows that can be turned, or its error."""
        found = {}
        for directory in self.bed.tree.find(f"{DEVFREQ}/*"):
            for name in _KNOBS:
                try:
                    found[f"{directory}/{name}"] = self.bed.read(f"{directory}/{name}")
                except KnobError as error:
                    found[f"{directory}/{name}"] = type(error).__name__
        return found

    @property
    def cooler(self) -> str | None:
        """The cooling device that lowers its clock; None where there is none."""
        kind = f"devfreq-{self.directory.rsplit('/', 1)[-1]}"
        devices = self.bed.tree.find("sys/class/thermal/cooling_device*")
        return next((device for device in devices if self.bed.read(f"{device}/type") == kind), None)

    @contextmanager
    def capped(self, mhz: float) -> Iterator[None]:
        """Hold its clock down by heat for a while."""
        # Each state takes one clock off the table, from the top.
        self.bed.write(f"{self.cooler}/cur_state", self.table_mhz[::-1].index(mhz))
        try:
            yield
        finally:
            self.bed.write(f"{self.cooler}/cur_state", 0)


@contextmanager
def as_before(gpu: GpuBed) -> Iterator[GpuBed]:
    """Yield a GPU; afterwards its governor and limits are as before."""
    governor = gpu.read("governor")
    yield gpu
    gpu.write("governor", governor)
    for name in ("min_freq", "max_freq"):
        gpu.write(name, 0)
