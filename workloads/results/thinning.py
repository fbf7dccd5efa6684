"""Thins the old part of a long run's log, so that the log stays within its bound.

Of the epochs within a second (later two, four, ... seconds) one is left: the last, with the means of all their busy
shares and powers. So the means of the run stay what they are, while a queue, a temperature or a clock is that of a
moment. Of each unit's clocks within that time the last is left, with the number of changes, and of the plans, and of
what they rested on, the last. All other entries are kept as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

Entry: TypeAlias = dict[str, Any]

THINNED = "thinned"
"""Kind of the entry that ends the part of a log whose epochs are merged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thinned:
    """The end of the part of a log that is thinned, in which one epoch in `every_s` seconds is left."""

    now_s: float
    every_s: float

    def __str__(self) -> str:
        return f"up to {self.now_s:.0f} s one epoch in {self.every_s:g} s is left, as in the log of any long run"


_MEANS = frozenset({"busy", "cores_busy", "power_w", "rails", "cores", "others"})
"""Fields whose value, and all values within, are those of the time since the epoch before."""


class Thinner:
    """Thins entries that are handed to it one by one, in the order of the log. The first epoch is kept as it is.

    Args:
        every_s: board time for which one epoch is left, in seconds.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._is_first = True
        self._before = 0  # number of the last epoch that was given out
        # What is not given out yet: an epoch and clocks, into which others may be merged, and what came after it.
        self._epoch: Entry | None = None
        self._latest: dict[str, Entry] = {}
        self._after: list[Entry] = []

    def take(self, entry: Entry) -> list[Entry]:
        """Take in the next entry of a log, and return those that are ready, in their order."""
        if entry["kind"] != "epoch":
            if entry["kind"] != THINNED:  # `end` writes another
                self._after.append(entry)
            return []
        if self._epoch is None:
            ready, self._after = self._after, []
            self._epoch = entry
        elif self._is_first or self._epoch["now_s"] // self._every_s != entry["now_s"] // self._every_s:
            ready = self._given_out() + self._settled()
            self._epoch, self._is_first = entry, False
        else:
            ready = self._settled()
            earlier, all_of_them = number_of(self._epoch) - self._before, number_of(entry) - self._before
            share = earlier / all_of_them if 0 < earlier < all_of_them else 0.0
            self._epoch = _merged(self._epoch, entry, share)
        return ready

    def end(self) -> list[Entry]:
        """Return what is left, and an entry that says what was done."""
        if self._epoch is None:
            return self._after
        note = {"kind": THINNED, "now_s": self._epoch["now_s"], "every_s": self._every_s}
        return [*self._given_out(), *self._after, note]

    def _given_out(self) -> list[Entry]:
        """Give out the epoch that others were merged into, and the clocks and plans before it."""
        assert self._epoch is not None
        latest, self._latest = self._latest, {}
        self._before = number_of(self._epoch)
        return [*sorted(latest.values(), key=lambda entry: float(entry["now_s"])), self._epoch]

    def _settled(self) -> list[Entry]:
        """Merge the clocks and plans that came since the last epoch, and return what else came and is kept."""
        kept = []
        for entry in self._after:
            if entry["kind"] == "clock":
                key = f"clock {entry['unit']}"
                last = self._latest.get(key)
                changes = changes_of(entry) + (changes_of(last) if last else 0)
                begun = last["from"] if last else entry["from"]
                self._latest[key] = {**entry, "from": begun, "changes": changes}
            elif entry["kind"] in ("plan", "decision"):
                # Taken out first, so that what came later stays later: a plan comes right after what it rests on.
                self._latest.pop(entry["kind"], None)
                self._latest[entry["kind"]] = entry
            else:
                kept.append(entry)
        self._after = []
        return kept


def changes_of(clock: Entry) -> int:
    """Return how many changes of its unit's clock an entry stands for."""
    changes = clock.get("changes", 1)
    return changes if isinstance(changes, int) else 1


def number_of(epoch: Entry) -> int:
    """Return the number of an epoch; 0 where it has none."""
    number = epoch.get("epoch", 0)
    return number if isinstance(number, int) else 0


def stood_for(epochs: Sequence[Entry]) -> list[int]:
    """Return how many epochs of the run each of these stands for: 1 each where none were merged."""
    numbers = [number_of(epoch) for epoch in epochs]
    return [1, *(max(1, after - before) for before, after in pairwise(numbers))][: len(numbers)]


def _merged(before: Entry, after: Entry, share: float) -> Entry:
    """Return the later entry, with means in the place of the values that are means themselves."""
    return {
        name: _mean(before.get(name), value, share)
        if name in _MEANS
        else _merged(before[name], value, share)
        if isinstance(value, dict) and isinstance(before.get(name), dict)
        else value
        for name, value in after.items()
    }


def _mean(before: Any, after: Any, share: float) -> Any:
    """Return the mean of two values, number by number; `share` is the weight of the earlier."""
    if isinstance(after, dict) and isinstance(before, dict):
        return {name: _mean(before.get(name), value, share) for name, value in after.items()}
    if isinstance(after, list) and isinstance(before, list) and len(before) == len(after):
        return [_mean(one, other, share) for one, other in zip(before, after, strict=True)]
    if isinstance(after, float | int) and isinstance(before, float | int):
        return share * before + (1 - share) * after
    return after
