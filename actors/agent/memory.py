"""The memory of a board agent: what another one must know that goes on in its place, kept beside the ledger.

What the ledger, the kernel and the board's journal say is found there. What is left are the orders in force, the window
of the totals, and what the rails' readings have added up to. Each order is noted before it is carried out, so whoever
comes next carries it out again: doing so twice changes nothing.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from actors.ledger.meters import UnitReading
from actors.whole_file import whole
from scheduler.messages import Hints


class MemoryLostError(RuntimeError):
    """There is no memory of an agent to go on from."""


class Limit(NamedTuple):
    """Limits of a unit, as `BoardAgent.limit` takes them."""

    max_mhz: float | None
    cpus_online: Collection[int] | None
    other_load: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinning:
    """A process that was pinned.

    Attributes:
        pid: its number.
        start_ticks: the kernel's time of its start; None where it could not be seen.
        cpus: the kernel's numbers of the CPUs.
    """

    pid: int
    start_ticks: int | None
    cpus: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """What an agent remembers.

    Attributes:
        clocks: by unit, the clock in MHz or the governor asked for last, and what goes with it.
        limits: by unit, its limits.
        off: the units that are switched off, or were about to be.
        pins: by application, its process and its CPUs.
        marked: by unit, its reading when the window of the totals began; None before that.
        fenced: by slot, how many processes that were fenced off have been reported.
        rails: by rail, what its meter knew when it was noted last; see `Meter.state`.
    """

    clocks: Mapping[str, tuple[float | str, Hints]] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    pins: Mapping[str, Pinning] = field(default_factory=dict)
    marked: Mapping[str, UnitReading] | None = None
    fenced: tuple[float, ...] = ()
    rails: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Memory:
    """The memory of one agent, in a file that outlives it. Its methods may be called from several threads.

    Args:
        path: the file, best in `/dev/shm`.
        content: what is remembered from an agent before.
    """

    def __init__(self, path: Path, content: Remembered | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._content = content or Remembered()
        self.note()

    @classmethod
    def of(cls, path: Path) -> Memory:
        """Return the memory that an agent before has left.

        Raises:
            MemoryLostError: if there is none.
        """
        try:
            content = pickle.loads(path.read_bytes())
        except OSError as error:
            raise MemoryLostError(f"what the board agent knew is lost ({path}: {error.strerror})") from None
        assert isinstance(content, Remembered)
        return cls(path, content)

    @property
    def content(self) -> Remembered:
        """What is remembered now."""
        return self._content

    def note(self, **changes: Any) -> None:
        """Replace fields of what is remembered."""
        with self._lock:
            self._content = replace(self._content, **changes)
            self._write()

    @contextmanager
    def ordering(self, kind: str, key: str, order: Any) -> Iterator[None]:
        """Note an order that is carried out in the block; where that fails, the one before is in force again.

        Args:
            kind: field of `Remembered`, which maps names to orders.
            key: name of the unit or the application.
            order: the order.
        """
        before = getattr(self._content, kind).get(key)
        self._put(kind, key, order)
        try:
            yield
        except Exception:
            self._put(kind, key, before)
            raise

    def forget(self, kind: str, key: str) -> None:
        """Remember no order of that kind any more; see `ordering`."""
        self._put(kind, key, None)

    def _put(self, kind: str, key: str, order: Any) -> None:
        with self._lock:
            orders = {**getattr(self._content, kind), key: order}
            if order is None:
                del orders[key]
            changes: dict[str, Any] = {kind: orders}
            self._content = replace(self._content, **changes)
            self._write()

    def _write(self) -> None:
        try:
            with whole(self._path) as fresh:  # whoever is killed here leaves the one before
                file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with open(file, "wb") as out:
                    out.write(pickle.dumps(self._content))
        except OSError:
            # No room, or the directory is gone. What is out of date must not be gone on from.
            with suppress(OSError):
                os.unlink(self._path)
