"""The ledger in virtual time that tests of the ledger share, and places for others."""

import os

import pytest

from actors.ledger.ledger import BoardLedger
from helpers.small_ledger import BOARD
from helpers.virtual_clock import VirtualClock


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A function that returns the directory of a new ledger at each call."""
    base = tmp_path_factory.mktemp("ledgers")
    return lambda: base / str(len(os.listdir(base)))


@pytest.fixture
def ledger(place, monkeypatch):
    monkeypatch.setattr("actors.ledger.leases._POLL_MS", 30_000)  # a waiter that nobody wakes is to be noticed
    ledger = BoardLedger.create(place(), BOARD, slots=3, clock=VirtualClock())
    yield ledger
    ledger.remove()
