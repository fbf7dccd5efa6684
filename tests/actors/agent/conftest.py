"""The beds on which the device layer is tested: every fake kernel, or in a guest the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers.board_bed import BoardBed, fake_bed, real_bed
from helpers.fake_kernel import boards

WITH_USERSPACE = ("bed-amd64", "bed-arm64", "xavier-nx-l4t32", "xavier-nx-l4t35", "odroid-xu3")
"""Fake boards whose kernel has the governor `userspace`; the first two are copies of the real beds."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bed" in metafunc.fixturenames:
        real = metafunc.config.getoption("--bed", "fake") == "real"
        metafunc.parametrize("bed", ["real"] if real else WITH_USERSPACE, indirect=True)


@pytest.fixture
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BoardBed]:
    """A board whose clocks are set by speed."""
    if request.param == "real":
        with real_bed(tmp_path / "state") as real:
            yield real
    else:
        yield fake_bed(boards.ALL[request.param](), tmp_path / "state")


@pytest.fixture
def real_board(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], BoardBed]]:
    """A call that returns the bed of this machine's kernel, for a directory; skipped where that is not to be turned."""
    if request.config.getoption("--bed", "fake") != "real":
        pytest.skip("turns this machine's own knobs: make kernel-test runs it in a guest")
    with ExitStack() as beds:
        yield lambda state: beds.enter_context(real_bed(state))


@pytest.fixture
def fake_boards(request: pytest.FixtureRequest) -> None:
    """Skips a test of fake boards in a guest, where only the real one is looked at."""
    if request.config.getoption("--bed", "fake") == "real":
        pytest.skip("is about fake kernels")
