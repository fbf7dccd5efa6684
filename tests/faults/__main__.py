"""`make faults`: injects as many faults as it is told, and prints each that did not hold, and a table by kind."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

from faults import knobs, ledger, managing, on_ray, reports, results, simulated
from faults.campaign import Result, campaign, inject

SHARES = {
    ledger.SUBJECT: 0.33,
    managing.SUBJECT: 0.14,
    results.SUBJECT: 0.30,
    knobs.SUBJECT: 0.20,
    simulated.SUBJECT: 0.02,
    reports.SUBJECT: 0.01,
}
"""The subjects, and the share of all faults that each gets; those that take long get fewer."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        words: command line without the program's name; None takes the process's own.

    Returns:
        0 if all held, else 1.
    """
    subjects = {subject.name: subject for subject in SHARES}
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=10_000, help="how many are to strike; the default is 10,000")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scenario; the default is 0")
    parser.add_argument("--subject", choices=sorted(subjects), action="append", help="a subject; the default is all")
    parser.add_argument("--kind", help="with --nth: the kind of one fault to inject again")
    parser.add_argument("--nth", type=int, help="the operation that it strikes")
    parser.add_argument("--on-ray", action="store_true", help="whole runs on Ray, many faults in each")
    parser.add_argument("--duration-s", type=float, default=20.0, help="length of a run on Ray; the default is 20")
    chosen = parser.parse_args(words)
    warnings.simplefilter("ignore")  # libraries warn of files that are damaged
    named = [subjects[name] for name in chosen.subject or subjects]
    if chosen.nth is not None:
        (kind,) = [kind for kind in named[0].kinds if kind.name == chosen.kind]
        result, passed = inject(named[0], kind, chosen.nth, chosen.seed)
        print(f"{result.case}: {result.broken or 'held'}, of {passed} points")
        return 1 if result.broken else 0
    table = _Table()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # one that is stopped prints what it has
        if chosen.on_ray:
            table.add("on Ray", on_ray.runs_under_faults(chosen.faults, chosen.seed, chosen.duration_s, _say))
            named = []
        shares = sum(SHARES[subject] for subject in named)
        for subject in named:
            begun_s, faults = time.monotonic(), round(chosen.faults * SHARES[subject] / shares)
            table.add(subject.name, _told(campaign(subject, max(1, faults), chosen.seed)))
            _say(f"{subject.name}: {table.injected(subject.name):,} in {time.monotonic() - begun_s:.0f} s")
    print(table, flush=True)
    return 1 if table.broken else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _told(results: Iterable[Result]) -> Iterable[tuple[str, str | None]]:
    for result in results:
        if result.broken is not None:
            _say(f"{result.case}: {result.broken}")
        yield result.case.kind, result.broken


class _Table:
    """How many faults of each kind were injected, and how many held."""

    def __init__(self) -> None:
        self._injected: Counter[tuple[str, str]] = Counter()
        self._held: Counter[tuple[str, str]] = Counter()

    def add(self, where: str, faults: Iterable[tuple[str, str | None]]) -> None:
        """Count faults: their kind, and what did not hold."""
        for kind, broken in faults:
            self._injected[where, kind] += 1
            self._held[where, kind] += broken is None

    def injected(self, where: str) -> int:
        """Return how many faults there were in a subject."""
        return sum(count for (subject, _), count in self._injected.items() if subject == where)

    @property
    def broken(self) -> int:
        """The number of faults that did not hold."""
        return self._injected.total() - self._held.total()

    def __str__(self) -> str:
        columns = list(dict.fromkeys(subject for subject, _ in self._injected))
        kinds = list(dict.fromkeys(kind for _, kind in self._injected))
        lines = [f"| kind | {' | '.join(columns)} | injected | held |", f"|---|{'---:|' * (len(columns) + 2)}"]
        for kind in kinds:
            injected = sum(self._injected[where, kind] for where in columns)
            held = sum(self._held[where, kind] for where in columns)
            each = " | ".join(f"{self._injected[where, kind] or ''}" for where in columns)
            lines.append(f"| {kind} | {each} | {injected:,} | {held:,} |")
        totals = " | ".join(f"{self.injected(where):,}" for where in columns)
        lines.append(f"| all | {totals} | {self._injected.total():,} | {self._held.total():,} |")
        return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
