"""A ledger's file is shared by all who attach, fits one board only, and can be removed."""

import pytest

from actors.ledger.ledger import BoardLedger, LedgerError
from helpers.small_ledger import BIG, BOARD, GPU
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board


def test_attaching_sees_the_same_board_and_refuses_others(ledger, place):
    lease = ledger.take(2, "big", [4], 1.0)
    twin = BoardLedger.attach(ledger.path, BOARD, ledger._clock)
    assert (twin.slots, twin.read("big")) == (3, ledger.read("big"))
    twin.release(lease)
    assert ledger.take(0, "big", [4], 1.0)
    twin.close()
    other = Board(name="other", units=(GPU, BIG), base_w=None, sensor="none", power_source="")
    with pytest.raises(LedgerError, match="was not made for board 'other'"):
        BoardLedger.attach(ledger.path, other, ledger._clock)
    with pytest.raises(LedgerError, match="holds no ledger"):
        BoardLedger.attach(place(), BOARD, ledger._clock)
    with pytest.raises(LedgerError, match="holds a ledger already"):
        BoardLedger.create(ledger.path, BOARD, slots=3, clock=ledger._clock)


def test_removing_leaves_nothing(place):
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=VirtualClock())
    ledger.take(0, "big", [4], 1.0)
    ledger.wake(0)
    ledger.remove()
    assert not ledger.path.exists()
