"""What the guests' tests came to: reads the lines that they wrote, and prints them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A test.

    Attributes:
        test: pytest's name of it.
        outcome: `passed`, `failed` or `skipped`.
        seconds: how long it took inside the guest, whose clock is the host's.
        text: the traceback of a failure, the reason of a skip.
    """

    test: str
    outcome: str
    seconds: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a guest has written.

    Attributes:
        results: its tests' results, in their order.
        running: the test that was started last; None if there was none.
        ended: pytest's exit status; None if it did not come to its end.
    """

    results: tuple[Result, ...]
    running: str | None
    ended: int | None


def read(file: Path) -> Report:
    """Read what a guest has written; a guest that ended before its tests may have written nothing."""
    text = file.read_text() if file.exists() else ""
    # A guest that was killed may have left half a line.
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    started = [line["started"] for line in lines if "started" in line]
    return Report(
        results=tuple(Result(**line) for line in lines if "test" in line),
        running=started[-1] if started else None,
        ended=next((line["ended"] for line in lines if "ended" in line), None),
    )


def counts(results: Sequence[Result]) -> str:
    """Return how many tests ended how: `18 passed, 0 failed, 6 skipped`."""
    outcomes = [result.outcome for result in results]
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))


def table(guest: str, results: Sequence[Result]) -> str:
    """Return a line for each test, and what the failed ones said."""
    lines = [f"{guest}  {result.outcome:7}  {result.seconds:6.2f} s  {result.test}" for result in results]
    for result in results:
        if result.outcome == "failed":
            lines += ["", f"{guest}  {result.test}", result.text]
    return "\n".join(lines)
