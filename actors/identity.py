"""Identity of a process: the boot, the process namespace, its number and its start in the kernel's ticks.

A process number is used again, and containers have numbers of their own. The time of day is no help: a board without a
clock of its own starts in 1970 and is set by the network while programs run, and then all that is reckoned from it has
moved. What doesn't move is field 22 of `/proc/PID/stat`, the ticks from the boot to the start of the process
(proc_pid_stat(5)). Two processes of one number and one tick can't be: numbers come round after at least 32,768 others.
"""

from __future__ import annotations

import hashlib
import os
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_PROC = Path("/proc")
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

    def seen(self, proc: Path = _PROC) -> Seen:
        """Say whether the process lives; a zombie does not.

        Args:
            proc: the kernel's files on processes.
        """
        if self.place != _place(proc):
            return "unseen"
        stat = _stat(self.pid, proc)
        return "alive" if stat is not None and stat == (self.ticks, True) else "dead"


def this_process(proc: Path = _PROC) -> Identity:
    """Return the identity of this process.

    Args:
        proc: the kernel's files on processes.

    Raises:
        OSError: if there is no `/proc`.
    """
    pid = os.getpid()
    stat = _stat(pid, proc)
    if stat is None:
        raise FileNotFoundError(2, "No such file or directory", str(proc / str(pid) / "stat"))
    return Identity(pid=pid, ticks=stat[0], place=_place(proc))


def age_s(pid: int, proc: Path = _PROC) -> float | None:
    """Return how long ago a process started, in seconds on the kernel's clock since boot; None if there is none.

    Args:
        pid: its number.
        proc: the kernel's files on processes.
    """
    stat = _stat(pid, proc)
    try:
        up_s = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return None if stat is None else max(0.0, up_s - stat[0] / os.sysconf("SC_CLK_TCK"))


def _stat(pid: int, proc: Path) -> tuple[int, bool] | None:
    """Return a process's start in ticks, and False if it is a zombie; None if there is none of that number."""
    try:
        text = (proc / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
        # The second field is the name in parentheses, which may hold anything, parentheses and spaces too.
        state, *fields = text[text.rindex(")") + 1 :].split()
        return int(fields[18]), state not in "ZXx"
    except (OSError, ValueError, IndexError):
        return None


def _place(proc: Path) -> str:
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # some sandboxes hide it
        boot = ""
    try:
        namespace = os.readlink(proc / "self/ns/pid")
    except OSError:
        namespace = ""
    number = int.from_bytes(hashlib.sha256(f"{boot} {namespace}".encode()).digest()[:8])
    return _in_digits(number % 36**_PLACE_DIGITS, _PLACE_DIGITS)


def _in_digits(number: int, digits: int) -> str:
    found = ""
    for _ in range(digits):
        number, digit = divmod(number, 36)
        found = _DIGITS[digit] + found
    return found
