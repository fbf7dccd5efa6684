"""A board of two units for tests of the ledger, and requests that wait for its cores on threads."""

import threading
import time

from scheduler.board import Board, BoardUnit

BIG = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(4, 5),
    dvfs="emulated",
    mhz=(500.0, 1000.0, 2000.0),
    static_w=(0.1, 0.3, 0.9),
    dynamic_w=(0.2, 0.7, 2.0),
    speed=0.05,
    memory_share=0.2,
)
GPU = BoardUnit(name="gpu", kind="gpu", cpus=(), dvfs="emulated", mhz=(100.0, 400.0), static_w=None, dynamic_w=None)
BOARD = Board(name="test", units=(BIG, GPU), base_w=None, sensor="none", power_source="made up")


class Request(threading.Thread):
    """A request that waits on a thread of its own; `lease` is None while it waits."""

    def __init__(self, ledger, slot, cpus, deadline_s):
        super().__init__(daemon=True)
        self.ledger, self.slot, self.lease, self.given_up = ledger, slot, None, False
        self.args = (slot, "big", cpus, deadline_s)
        self.start()
        until(lambda: waits(ledger, slot) or self.lease)

    def run(self):
        self.lease = self.ledger.take(*self.args, give_up=lambda: self.given_up)

    def got(self):
        self.join(10)
        return self.lease


def waits(ledger, slot):
    """Return True if the request of that slot waits for cores."""
    return ledger._file.entry(slot).queue > 0


def until(condition, timeout_s=20):
    """Wait for another thread or process; the limit only keeps a failure from hanging."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.001)
