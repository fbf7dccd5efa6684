"""Fixtures of all tests: one cache of exported networks and profiles, and one Ray for the runs in this process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import hypothesis
import pytest

from actors.session import RaySession
from supernets.engines import Trials

# Assertions of the helpers say as much as those of the tests.
pytest.register_assert_rewrite("helpers")

# The same examples every time, so that what passes here passes there; `--hypothesis-profile=random` looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile("repeatable")


# In the background of a shell's script it is ignored, and so would be the interrupts that tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Networks are exported and measured once for all tests, and never into the user's own cache."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GEARSHIFT_CACHE", str(tmp_path_factory.mktemp("cache")))
        # Whatever else runs on this machine, other tests too, is no reason to refuse a test's run.
        environment.setenv("GEARSHIFT_SHARE", "1")
        # Ray, once imported, would turn authentication on by itself, and warn that it did.
        environment.setenv("RAY_AUTH_MODE", os.environ.get("RAY_AUTH_MODE", "token"))
        yield


@pytest.fixture(scope="session", autouse=True)
def trials() -> Iterator[Trials]:
    """Users' own models are tried in one process for all tests, which starts with the first of them."""
    with Trials() as shared, pytest.MonkeyPatch.context() as patch:
        patch.setattr("supernets.engines.Trials", lambda: nullcontext(shared))
        yield shared


@pytest.fixture(autouse=True)
def one_torch_thread() -> None:
    """A test begins with one thread of torch, however many an engine that was tested before has asked for.

    Small networks only lose by more, and three times as much where other tests run beside them.
    """
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def session(cache: None) -> Iterator[RaySession]:
    """A started Ray, whose actors find the helpers; its tests are marked `ray`."""
    tests = Path(__file__).parent
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join([str(tests), str(tests.parent)]))
        with RaySession() as started:
            yield started
