"""The lock of a discrete GPU's clocks, as a knob that the journal can note and the hand-back can turn.

NVML locks the clocks of a GPU between two, and takes a lock off, but does not tell which one is in force. So a lock
that somebody else had set can't be given back: what a GPU is given back to is no lock.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.agent.devices.journal_files import Found
from actors.agent.devices.nvml_library import Nvml, NvmlError
from actors.agent.devices.sysfs import AwayError

UNLOCKED = "unlocked"
"""What is written to take a lock off."""

_FOLDER = "nvml/"
"""It stands before the GPU in the journal, among the paths of files."""


class GpuLock:
    """The lock of one GPU.

    Args:
        nvml: the library.
        uuid: UUID of the GPU, which outlives a reload of the driver; its number does not.

    Attributes:
        path: what it is called in the journal.
    """

    def __init__(self, nvml: Nvml, uuid: str) -> None:
        self.path = f"{_FOLDER}{uuid}"
        self._nvml = nvml
        self._uuid = uuid

    def found(self) -> Found:
        """Return how it was found, as far as that can be known."""
        return Found(path=self.path, kind="gpu-lock", shown="", give_back=UNLOCKED)

    def text(self) -> str:
        """Say that a lock can't be read.

        Raises:
            AwayError: always.
        """
        raise AwayError(self.path, "NVML does not tell which lock is in force")

    def write(self, value: str | int) -> None:
        """Lock the clocks: `1200 1200` is one clock, `210 1200` leaves those between; or take the lock off.

        Raises:
            NvmlError: if NVML does not do so; the lock is as it was.
        """
        try:
            if value == UNLOCKED:
                self._nvml.unlock_clocks(self._uuid)
            else:
                lowest, highest = map(int, str(value).split())
                self._nvml.lock_clocks(self._uuid, lowest, highest)
        except NvmlError as error:
            raise NvmlError(f"lock of {self._uuid}: {error}", error.code) from None


def lock_of(found: Found, opened: Callable[[], Nvml | None]) -> GpuLock:
    """Return the lock that a line of the journal is about.

    Args:
        found: the line.
        opened: gives this machine's NVML, or None.

    Raises:
        NvmlError: if there is no NVML to reach it by.
    """
    nvml = opened()
    if nvml is None:
        raise NvmlError(f"lock of {gpu_of(found)}: this process can't reach NVIDIA's driver through libnvidia-ml.so.1")
    return GpuLock(nvml, gpu_of(found))


def gpu_of(found: Found) -> str:
    """Return the UUID of the GPU that a line of the journal is about."""
    return found.path.removeprefix(_FOLDER)
