"""The rig that tests of a worker share."""

from __future__ import annotations

import pytest

from helpers.worker_rig import Rig


@pytest.fixture
def rig(tmp_path):
    made = []

    def make(**facts):
        made.append(Rig(tmp_path, **facts))
        return made[-1]

    yield make
    for one in made:
        one.worker.stop()
        one.ledger.close()
