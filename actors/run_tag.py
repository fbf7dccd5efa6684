"""The identity of a process as a text for names of files: which process a directory belongs to, dead or alive.

What tells a process from all others is in `actors.process_identity`: its number, its start in the kernel's ticks, the
boot and the process namespace. A run's tag has all four, the latter two as five characters.
"""

from __future__ import annotations

import hashlib
import os
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.process_identity import PROC, boot_id, pid_namespace, read_stat

_DIGITS = string.digits + string.ascii_lowercase
_TICKS_DIGITS = 7
"""36**7 ticks of 10 ms are 24 years."""
_PLACE_DIGITS = 5
"""36**5 places: two containers of one machine look like one with a probability of 1 in 60 million."""

Seen = Literal["alive", "dead", "unseen"]
"""What this process can say of another; `unseen` if that is of another boot or process namespace."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """One process, told from all others that there ever were on this machine.

    Its text, `30781-00xk2f1q0z3v`, goes into names of files: the number, the ticks and the place.

    Attributes:
        pid: its number in its own process namespace.
        ticks: kernel's ticks from the boot to its start.
        place: boot and process namespace, as five characters.
    """

    pid: int
    ticks: int
    place: str

    def __str__(self) -> str:
        return f"{self.pid}-{_in_digits(self.ticks, _TICKS_DIGITS)}{self.place}"

    @classmethod
    def of(cls, text: str) -> Identity | None:
        """Return the process that a text names, or None if it is no such text."""
        pid, dash, rest = text.partition("-")
        plain = pid.isascii() and pid.isdigit() and 0 < len(pid) < 8 and not pid.startswith("0")
        if not plain or not dash or len(rest) != _TICKS_DIGITS + _PLACE_DIGITS or set(rest) - set(_DIGITS):
            return None
        return cls(pid=int(pid), ticks=int(rest[:_TICKS_DIGITS], 36), place=rest[_TICKS_DIGITS:])

    def seen(self, proc: Path = PROC) -> Seen:
        """Say whether the process lives; a zombie does not.

        Args:
            proc: the kernel's files on processes.
        """
        if self.place != _place(proc):
            return "unseen"
        stat = read_stat(self.pid, proc)
        return "alive" if stat is not None and stat.start_ticks == self.ticks and not stat.ended else "dead"


def this_process(proc: Path = PROC) -> Identity:
    """Return the identity of this process.

    Args:
        proc: the kernel's files on processes.

    Raises:
        OSError: if there is no `/proc`.
    """
    pid = os.getpid()
    stat = read_stat(pid, proc)
    if stat is None:
        raise FileNotFoundError(2, "No such file or directory", str(proc / str(pid) / "stat"))
    return Identity(pid=pid, ticks=stat.start_ticks, place=_place(proc))


def age_s(pid: int, proc: Path = PROC) -> float | None:
    """Return how long ago a process started, in seconds on the kernel's clock since boot; None if there is none.

    Args:
        pid: its number.
        proc: the kernel's files on processes.
    """
    stat = read_stat(pid, proc)
    try:
        up_s = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return None if stat is None else max(0.0, up_s - stat.start_ticks / os.sysconf("SC_CLK_TCK"))


def _place(proc: Path) -> str:
    digest = hashlib.sha256(f"{boot_id(proc)} {pid_namespace(proc)}".encode()).digest()
    return _in_digits(int.from_bytes(digest[:8]) % 36**_PLACE_DIGITS, _PLACE_DIGITS)


def _in_digits(number: int, digits: int) -> str:
    found = ""
    for _ in range(digits):
        number, digit = divmod(number, 36)
        found = _DIGITS[digit] + found
    return found
