"""`make fuzz`: damages inputs of every parser for as long as it is told, and prints what is not taken well."""

from __future__ import annotations

import argparse
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from fuzz import files, values
from fuzz.campaign import Failure, Target, run, watch_writes

_TURN_S = 10.0
"""Time of one turn of a target; targets take turns, so that a run that is stopped has seen all of them."""
_MAY_CRASH = {"onnx-models"}
"""Targets that long runs leave out unless they are named: native code reads their inputs, and may crash on one."""


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
    chosen = parser.parse_args(words)
    known = {target.name: target for target in (*files.targets(), *values.targets())}
    unknown = set(chosen.target or ()) - set(known)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    warnings.simplefilter("ignore")  # libraries warn of files that are damaged
    with suppress(ImportError):
        import_module("openvino")  # its import notes something in the home directory, whatever it is given later
    watch_writes()
    first = random.randrange(10**12) if chosen.seed is None else chosen.seed
    ended = _Ended()
    with suppress(KeyboardInterrupt):
        names = chosen.target or [name for name in known if chosen.inputs is not None or name not in _MAY_CRASH]
        _campaign([known[name] for name in names], first, chosen.inputs, chosen.seconds, ended)
    print(ended, flush=True)
    return 1 if ended.kinds else 0


class _Ended:
    """Inputs and failures so far; of each kind of failure the first is printed."""

    def __init__(self) -> None:
        self.inputs: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def add(self, failure: Failure) -> None:
        """Count a failure, and print it if it is the first at its place."""
        kind = f"{failure.target} {failure.what.partition(':')[0]} {failure.what.rpartition(' at ')[2]}"
        self.kinds[kind] += 1
        if self.kinds[kind] == 1:
            print(failure, flush=True)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.inputs.items())
        bad = f"{self.kinds.total():,} not taken well, of {len(self.kinds)} kinds" if self.kinds else "all taken well"
        return f"{self.inputs.total():,} inputs, {bad} ({counts})"


def _campaign(targets: Sequence[Target], first: int, inputs: int | None, seconds: float, ended: _Ended) -> None:
    if inputs is not None:
        for target in targets:
            ended.inputs[target.name] += run(target, first=first, inputs=inputs, seconds=None, on_failure=ended.add)
        return
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        for target in targets:
            begin = first + ended.inputs[target.name]
            turn_s = min(_TURN_S, left_s / len(targets))
            ended.inputs[target.name] += run(target, first=begin, inputs=None, seconds=turn_s, on_failure=ended.add)


if __name__ == "__main__":
    sys.exit(main())
