"""What the guests' tests came to: reads the lines that they wrote, and prints them."""

from __future__ import annotations

import json
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


def read(file: Path) -> tuple[list[Result], int | None]:
    """Return the results that a guest wrote, and pytest's exit status; None if it did not come to its end."""
    text = file.read_text() if file.exists() else ""
    # A guest that was killed may have left half a line.
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    results = [Result(**line) for line in lines if "test" in line]
    return results, next((line["ended"] for line in lines if "ended" in line), None)


def counts(results: list[Result]) -> str:
    """Return how many tests ended how: `18 passed, 0 failed, 6 skipped`."""
    outcomes = [result.outcome for result in results]
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))


def table(guest: str, results: list[Result]) -> str:
    """Return a line for each test, and what the failed ones said."""
    lines = [f"{guest}  {result.outcome:7}  {result.seconds:6.2f} s  {result.test}" for result in results]
    for result in results:
        if result.outcome == "failed":
            lines += ["", f"{guest}  {result.test}", result.text]
    return "\n".join(lines)
