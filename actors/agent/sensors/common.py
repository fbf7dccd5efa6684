"""The base of every sensor driver: it finds the rails that its chips measure, and opens one for reading.

A rail is read in one of two ways. A *power* rail shows the power of its latest conversion; somebody has to read it
often and to add up. An *energy* rail counts joules by itself; somebody has to read it before it wraps. Nothing is ever
written to a sensor: its registers are the whole board's, and some of them throttle it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from actors.agent.devices.sysfs import Tree
from scheduler.errors import InputError

JOIN_GROUP = "sudo groupadd --force --system gearshift; sudo usermod --append --groups gearshift $USER"
"""Command that makes the group whose users may use a machine's knobs and sensors, and puts its user into it."""


class SensorError(InputError):
    """A sensor of `cluster.yaml` cannot be used on this board; the message names the rail and the fix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Feeds:
    """What a rail feeds, as far as its name says.

    Attributes:
        board: true for the whole board.
        cpus: the kernel's numbers of the CPUs; None for all of them.
        gpu: true for the GPU.
    """

    board: bool = False
    cpus: tuple[int, ...] | None = ()
    gpu: bool = False


NO_UNIT = Feeds()
"""A rail that feeds no unit, such as the memory's, or one of which that is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRail:
    """A rail that a driver found on this board.

    Attributes:
        driver: word of the driver, as in `cluster.yaml`.
        rail: its name: the label of the channel, or the name of the zone.
        address: where it is: bus and address of a chip (`7-0040`), a zone (`intel-rapl:0`), or the number of a GPU.
        path: its folder in the tree, for its driver.
        feeds: what it feeds, guessed from its name.
        why_not: why it cannot be read; None if it can.
        mend: what would let it be read; None where nothing is known.
    """

    driver: str
    rail: str
    address: str
    path: str
    feeds: Feeds = NO_UNIT
    why_not: str | None = None
    mend: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """The time between two conversions of a chip, as far as its driver says.

    Attributes:
        word_s: the time that is believed where nothing can be measured.
        least_s: the least that it can be.
        most_s: the most that it can be.
    """

    word_s: float
    least_s: float
    most_s: float


class Channel(ABC):
    """One rail, open for reading.

    Reading is in two steps, so that the first one, which is done hundreds of times a second, takes little.
    """

    @abstractmethod
    def show(self) -> Any:
        """Return what it shows now, as it comes.

        Raises:
            DeviceError: if it cannot be read.
        """

    @abstractmethod
    def value(self, shown: Any) -> int:
        """Return what `show` gave as a number: µW for power, µJ for energy.

        Raises:
            DeviceError: if it is none.
        """

    def read(self) -> int:
        """Return what it shows now: µW for power, µJ for energy.

        Raises:
            DeviceError: if it cannot be read, or shows no number.
        """
        return self.value(self.show())

    @abstractmethod
    def close(self) -> None:
        """Let go of it; the next reading opens it again."""


class PowerChannel(Channel):
    """A rail that shows power, in µW.

    Attributes:
        period: time between two conversions.
        step_w: the least step in which it changes, in W; 0 where it has none that counts.
    """

    period: Period
    step_w: float = 0.0


class EnergyChannel(Channel):
    """A rail that counts energy, in µJ.

    Attributes:
        range_uj: the highest count; the next one is 0. None for a counter that does not wrap.
        most_w: highest power that the rail can have. From it follows how soon a counter can wrap, and it tells one that
            wrapped from one that was set back.
    """

    range_uj: int | None
    most_w: int


class Driver(ABC):
    """One kind of sensor.

    Attributes:
        word: its word in `cluster.yaml`.
        denied: what lets a user read it who may not, as part of a sentence.
        commands: the same at length, a line each, where that takes more than a part of a sentence.
    """

    word: ClassVar[str]
    denied: ClassVar[str]
    commands: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def find(self, tree: Tree) -> list[FoundRail]:
        """Return the rails that are there, whether or not they can be read."""

    @abstractmethod
    def open(self, tree: Tree, rail: FoundRail) -> Channel:
        """Return a rail that was found, open for reading. It may turn out only then that it can't be read."""
