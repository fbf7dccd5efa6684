"""What went wrong in a run, read back from its log in the words in which the run told it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import BROKEN
from scheduler.messages import RequestFault
from workloads.results.entry_words import told
from workloads.results.stored_requests import FIX, RunDirError
from workloads.results.thinning import Entry

_KINDS = frozenset({"error", "unhealthy", "denied", "policy_failed", "stuck", "fenced", "out", "fault", "part_lost"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Something that should not have happened: an error, a missing answer, a denied clock, a failed policy."""

    now_s: float
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AppTroubles:
    """What went wrong with an app over the whole run.

    Attributes:
        now_s: Time of the note.
        app: Name of the app.
        losses: Workers that were lost.
        out: Reason for which its workers were no longer started; None where they were.
        never_ran: Reason for which it never ran; None where it did.
        faults: Errors of its requests, the most frequent first.
    """

    now_s: float
    app: str
    losses: int
    out: str | None
    never_ran: str | None
    faults: tuple[RequestFault, ...]

    def lines(self) -> list[str]:
        """Return it in words, such as `a: source: RuntimeError: camera gone (60 times, first at request 0)`."""
        said = [
            f"{self.app}: {fault.where}: {fault.text} ({fault.times} times, first at request {fault.first})"
            if fault.times > 1
            else f"{self.app}: {fault.where}: {fault.text} (request {fault.first})"
            for fault in self.faults
        ]
        if self.losses:
            said.append(f"{self.app}: its worker was lost {self.losses} time{'s' * (self.losses > 1)}")
        if self.out:
            said.append(f"{self.app}: given up: {self.out}")
        if self.never_ran:
            said.append(f"{self.app}: never ran: {self.never_ran}")
        return said


def troubles_of(path: Path, entries: Iterable[Entry]) -> list[Trouble]:
    """Return the troubles among the entries of a log, in their order.

    Raises:
        RunDirError: One of them lacks a field, or has one that is none; `path` is the log to name.
    """
    return [_trouble(path, entry) for entry in entries if entry["kind"] in _KINDS]


def _trouble(path: Path, entry: Entry) -> Trouble:
    try:
        words = told(entry)
    except BROKEN as error:
        raise RunDirError(f"{path}: an entry of kind {entry['kind']!r} is damaged ({error!r:.60}); {FIX}") from error
    assert words is not None  # all these kinds are told
    return Trouble(now_s=entry["now_s"], kind=words[0], text=words[1])
