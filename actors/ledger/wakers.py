"""Named pipes that wake a waiting process: one for each slot of the ledger.

A byte in a slot's pipe means "look again". It says nothing about what changed, so one byte too many does no harm.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Collection
from pathlib import Path


class Wakers:
    """The pipes of one ledger, as one process has opened them.

    Args:
        directory: the ledger's directory, which holds the pipes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pipes: dict[int, int] = {}

    def create(self, slot: int) -> None:
        """Make the pipe of a slot, once for all processes."""
        os.mkfifo(self._path(slot), 0o600)

    def wake(self, slot: int) -> None:
        """Make a process that waits for this slot return from `wait`, now or when it next waits."""
        with contextlib.suppress(BlockingIOError):  # a full pipe holds enough bytes to wake the waiter
            os.write(self._pipe(slot), b"\0")

    def wait(self, slot: int, at_most_ms: int, others: Collection[int] = ()) -> bool:
        """Wait until this slot is woken, another file becomes readable, or that many milliseconds have passed.

        Args:
            slot: number of the slot.
            at_most_ms: longest wait, in milliseconds on the wall.
            others: files that end the wait too, and are not read.

        Returns:
            True if the slot was woken.
        """
        pipe = self._pipe(slot)
        poll = select.poll()
        for file in (pipe, *others):
            poll.register(file, select.POLLIN)
        if not any(file == pipe for file, _ in poll.poll(at_most_ms)):
            return False
        os.read(pipe, 4096)  # many bytes are still one reason to look again
        return True

    def close(self) -> None:
        """Close the pipes. The files stay for other processes."""
        for pipe in self._pipes.values():
            os.close(pipe)
        self._pipes.clear()

    def _pipe(self, slot: int) -> int:
        # Opened for both directions, so that opening does not wait for a process at the other end.
        if slot not in self._pipes:
            self._pipes[slot] = os.open(self._path(slot), os.O_RDWR | os.O_NONBLOCK)
        return self._pipes[slot]

    def _path(self, slot: int) -> Path:
        return self._directory / f"slot-{slot}"
