"""The board agent tells once of each worker that the ledger has fenced off."""

from __future__ import annotations

from actors.agent.fences import FenceReports
from actors.ledger.layout import FenceEntry, FenceReason
from actors.ledger.ledger import BoardLedger
from helpers.small_ledger import BOARD
from helpers.virtual_clock import VirtualClock
from scheduler.messages import Fenced


def test_each_fence_is_told_once_in_words(tmp_path):
    ledger = BoardLedger.create(tmp_path / "ledger", BOARD, slots=2, clock=VirtualClock())
    reports = FenceReports(ledger, {"a": 0, "b": 1})
    assert reports.new() == ()
    for times, reason in enumerate(FenceReason, start=1):
        fence = FenceEntry(times=float(times), why=float(reason), unit=1.0, held_ms=1200.0, bound_ms=1000.0)
        ledger._file.put_fence(1, fence)
        (told,) = reports.new()
        assert told == Fenced(app="b", unit="gpu", why=told.why, held_ms=1200.0, bound_ms=1000.0)
        assert told.why
        assert reports.new() == ()
    ledger.remove()
