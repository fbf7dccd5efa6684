"""The list of CPUs online is believed only where it has the kernel's own numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.agent.devices.sysfs import Tree
from actors.agent.watch import BoardWatch
from helpers.tiny_networks import board


class Masks:
    """Masks of threads that are what the test says."""

    def __init__(self, cpus: set[int]) -> None:
        self.cpus = cpus

    def get(self, tid: int) -> set[int]:
        return self.cpus

    def set(self, tid: int, cpus: object) -> None:
        raise NotImplementedError

    def online(self) -> frozenset[int]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("allowed", "online", "left", "reason"),
    [
        ({0, 1}, "0-1", (1,), None),
        ({0}, "0", (), "hotplug by somebody"),
        ({1}, "0", None, None),
        ({24}, "0", None, None),
        ({1}, "", None, None),
        ({1}, "0-", None, None),
    ],
)
def test_a_container_with_numbers_of_its_own_loses_no_cpu(
    tmp_path: Path, allowed: set[int], online: str, left: tuple[int, ...] | None, reason: str | None
) -> None:
    file = tmp_path / "sys/devices/system/cpu/online"
    file.parent.mkdir(parents=True)
    file.write_text(online)
    described = board("fixed")
    watch = BoardWatch(described, Tree(tmp_path), Masks(allowed))
    watch.look()
    little = described.unit("little")  # CPU 1
    assert watch.cpus_online(little) == left
    assert watch.reason(little) == reason
    assert not watch.look()
