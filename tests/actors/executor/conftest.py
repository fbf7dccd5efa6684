"""The device and the served executor that tests of the executor share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.fake_device import Device, Served


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def served(device: Device, tmp_path: Path) -> Iterator[Served]:
    one = Served(device, tmp_path / "socket")
    yield one
    one.server.close()
