"""The threads that turn clocks between two plans: one for governors that run here, one for clocks of single requests.

Neither makes a call to anybody. A governor is stepped when it is due in board time. A request that wants another clock
than its real unit has wakes the second thread through the ledger; where no real unit is paced, that one sleeps.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection

from actors.agent.devices import Device
from actors.clock import Clock
from actors.ledger.ledger import BoardLedger

_STOP_S = 1.0
"""Longest wait for a thread to stop."""

_LOOK_MS = 1000
"""Wall time after which paced units are looked at although no request has asked: it may have died over it."""


class ClockThreads:
    """Both threads of one board.

    Args:
        devices: its devices.
        ledger: its ledger.
        clock: board time.
    """

    def __init__(self, devices: Collection[Device], ledger: BoardLedger, clock: Clock) -> None:
        self._devices = devices
        self._ledger = ledger
        self._clock = clock
        self._stopping = threading.Event()
        self._governed = threading.Event()
        self._paced = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start them."""
        for name, run in (("governors", self._run_governors), ("request clocks", self._run_request_clocks)):
            self._threads.append(threading.Thread(target=run, name=name, daemon=True))
            self._threads[-1].start()

    def look_again(self) -> None:
        """Have them look again what there is to do: a unit has got a governor, or is paced now."""
        self._governed.set()
        self._paced.set()

    def stop(self) -> None:
        """Stop them. One that hangs in the kernel is left behind: it must not keep the board from being given back."""
        threads, self._threads = self._threads, []
        if threads:
            self._stopping.set()
            self.look_again()
            self._ledger.wake_agent()
        for thread in threads:
            thread.join(_STOP_S)

    def tick(self) -> float:
        """Let every governor decide that is due.

        Returns:
            The board time of the next tick; infinite while no unit has a governor here.
        """
        return min((device.tick() for device in self._devices), default=math.inf)

    def follow(self) -> bool:
        """Bring each real unit that is paced to the clock that its requests want; return True if there is one."""
        return any([device.follow() for device in self._devices])

    def _run_governors(self) -> None:
        # A governor that comes during a sleep decides at once, in `set_clock`. Its next step may be late, by one period
        # of the others at most, and is then a longer step.
        while not self._stopping.is_set():
            due_s = self.tick()
            if due_s == math.inf:
                self._governed.wait()
                self._governed.clear()
            else:
                self._clock.sleep_until(due_s)

    def _run_request_clocks(self) -> None:
        while not self._stopping.is_set():
            # A request that asks while this looks leaves a byte in the pipe, so it is not waited for in vain.
            if self.follow():
                self._ledger.await_ask(_LOOK_MS)
            else:
                self._paced.wait()
                self._paced.clear()
