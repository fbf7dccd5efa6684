"""Threads that stand for processes, of which one runs at a time: a seed decides which, so a run can be made again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

_PATIENCE_S = 60.0


class Turns:
    """Threads that take turns.

    Args:
        rng: draws whose turn is next.
        after_each: called between two turns.
        most: turns after which they have hung.
    """

    def __init__(self, rng: random.Random, after_each: Callable[[], None], most: int = 3000) -> None:
        self._rng = rng
        self._after_each = after_each
        self._left = most
        self._batons: dict[int, threading.Semaphore] = {}
        self._threads: list[threading.Thread] = []
        self._back = threading.Semaphore(0)
        self._faults: list[BaseException] = []
        self._over = False

    def add(self, work: Callable[[], None]) -> None:
        """Add a thread."""
        number = len(self._threads)
        self._batons[number] = threading.Semaphore(0)
        self._threads.append(threading.Thread(target=self._run, args=(number, work), name=str(number), daemon=True))

    def pause(self) -> None:
        """Let others run, on the thread whose turn it is; returns when its turn comes again."""
        number = int(threading.current_thread().name)
        self._back.release()
        assert self._batons[number].acquire(timeout=_PATIENCE_S)
        if self._over:
            raise SystemExit

    def run(self) -> None:
        """Run all threads to their end.

        Raises:
            AssertionError: if they do not come to it.
            BaseException: what one of them, or the call between turns, raised.
        """
        for thread in self._threads:
            thread.start()
        try:
            while self._batons and not self._faults:
                assert self._left > 0, "they hang: nobody comes to an end"
                self._left -= 1
                self._batons[self._rng.choice(sorted(self._batons))].release()
                assert self._back.acquire(timeout=_PATIENCE_S), "a thread keeps its turn"
                self._after_each()
        finally:
            self._over = True
            for baton in self._batons.values():
                baton.release()
            for thread in self._threads:
                thread.join(_PATIENCE_S)
        if self._faults:
            raise self._faults[0]

    def _run(self, number: int, work: Callable[[], None]) -> None:
        assert self._batons[number].acquire(timeout=_PATIENCE_S)
        try:
            if not self._over:
                work()
        except SystemExit:
            pass
        except BaseException as error:
            self._faults.append(error)
        finally:
            self._batons.pop(number, None)
            self._back.release()
