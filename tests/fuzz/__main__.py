"""`make fuzz`: damages inputs of every parser for as long as it is told, and prints what is not taken well."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fuzz import files, models, values
from fuzz.campaign import Failure, Target, limit_memory, run, watch_writes

_TURN_S = 10.0
"""Time of one turn of a target; targets take turns, so that a run that is stopped has seen all of them."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        words: command line without the program's name; None takes the process's own.

    Returns:
        0 if all inputs were taken well, else 1.
    """
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="time for all targets together; the default is 60")
    parser.add_argument("--inputs", type=int, help="inputs of each target, in place of a time")
    parser.add_argument("--target", action="append", help="a target; the default is all")
    parser.add_argument("--seed", type=int, help="the first seed; the default is another one each time")
    parser.add_argument(
        "--tally", type=Path, help="a file that keeps the counts; where it exists, a campaign goes on from them"
    )
    chosen = parser.parse_args(words)
    known = {target.name: target for target in (*files.targets(), *values.targets(), *models.targets())}
    unknown = set(chosen.target or ()) - set(known)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    warnings.simplefilter("ignore")  # libraries warn of files that are damaged
    limit_memory()
    watch_writes()
    ended = _Ended(chosen.tally, random.randrange(10**12) if chosen.seed is None else chosen.seed)
    with suppress(KeyboardInterrupt):
        _campaign([known[name] for name in chosen.target or known], chosen.inputs, chosen.seconds, ended)
    print(ended, flush=True)
    return 1 if ended.kinds else 0


class _Ended:
    """Inputs and failures so far; of each kind of failure the first is printed.

    Args:
        file: keeps them for the next process, which goes on from there; None keeps nothing.
        first: the first seed, if the file does not know it.
    """

    def __init__(self, file: Path | None, first: int) -> None:
        kept = json.loads(file.read_text()) if file is not None and file.exists() else {}
        self._file = file
        self.first: int = kept.get("first", first)
        self.inputs: Counter[str] = Counter(kept.get("inputs"))
        self.kinds: Counter[str] = Counter(kept.get("kinds"))

    def run(self, target: Target, inputs: int | None, seconds: float | None) -> None:
        """Run a target on inputs that it has not had, for one turn, and keep the counts."""
        begin = self.first + self.inputs[target.name]
        self.inputs[target.name] += run(target, first=begin, inputs=inputs, seconds=seconds, on_failure=self._add)
        if self._file is not None:
            kept = {"first": self.first, "inputs": self.inputs, "kinds": self.kinds}
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(kept, indent=1))
            os.replace(new, self._file)

    def _add(self, failure: Failure) -> None:
        """Count a failure, and print it if it is the first at its place."""
        kind = f"{failure.target} {failure.what.partition(':')[0]} {failure.what.rpartition(' at ')[2]}"
        self.kinds[kind] += 1
        if self.kinds[kind] == 1:
            print(failure, flush=True)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.inputs.items())
        bad = f"{self.kinds.total():,} not taken well, of {len(self.kinds)} kinds" if self.kinds else "all taken well"
        return f"{self.inputs.total():,} inputs, {bad} ({counts})"


def _campaign(targets: Sequence[Target], inputs: int | None, seconds: float, ended: _Ended) -> None:
    """Let targets take turns until each has had so many inputs, or for so long."""
    if inputs is not None:
        while behind := [target for target in targets if ended.inputs[target.name] < inputs]:
            for target in behind:
                ended.run(target, inputs - ended.inputs[target.name], _TURN_S)
        return
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        for target in targets:
            ended.run(target, None, min(_TURN_S, left_s / len(targets)))


if __name__ == "__main__":
    sys.exit(main())
