"""What all tests of the server share."""

from __future__ import annotations

import pytest

from actors import profiling


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles of a few samples: how long a network takes is not looked at here."""
    monkeypatch.setattr(profiling, "_SAMPLES", 10)
