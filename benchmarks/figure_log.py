"""Figures by case in a file, so that a benchmark that was stopped goes on where it was.

A case is a mapping of plain values that names what is measured, such as `{"board": "odroid-xu3", "seed": 3}`. Each line
of the file is a case with its figures as JSON. Nothing here knows what code was measured: after a change of that code,
begin with a new file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Case = Mapping[str, Any]


class FigureLog:
    """The figures of the cases measured so far.

    A line that was cut off, since the benchmark was killed while it wrote, is dropped, and its case is measured again.

    Args:
        path: the file, which is made if missing; None keeps figures in memory alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._figures: dict[str, dict[str, Any]] = {}
        if path is None or not path.exists():
            return
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            entry = json.loads(line)
            self._figures[_key(entry["case"])] = entry["figures"]

    def get(self, case: Case) -> dict[str, Any] | None:
        """Return the figures of a case; None where it is not measured yet."""
        return self._figures.get(_key(case))

    def keep(self, case: Case, figures: Mapping[str, Any]) -> None:
        """Keep the figures of a case, which are plain values."""
        line = json.dumps({"case": case, "figures": figures})
        # As they will be read again, so that a run in pieces gives what one in one piece gives.
        self._figures[_key(case)] = json.loads(line)["figures"]
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as stream:
                stream.write(line + "\n")


def _key(case: Case) -> str:
    return json.dumps(case, sort_keys=True)


def measure_beside(
    cases: Sequence[Case], measure: Callable[..., Mapping[str, Any]], log: FigureLog, jobs: int
) -> list[dict[str, Any]]:
    """Measure the cases that are not in a log yet, several at once in processes of their own.

    Args:
        cases: the cases.
        measure: a function of a module, called with what a case has by name.
        log: keeps the figures of each case as soon as it is measured.
        jobs: number of processes.

    Returns:
        The figures of all cases, in their order.
    """
    left = [case for case in cases if log.get(case) is None]
    if left:
        with ProcessPoolExecutor(min(jobs, len(left)), mp_context=get_context("spawn")) as pool:
            begun = {pool.submit(measure, **case): case for case in left}
            for ended in as_completed(begun):
                log.keep(begun[ended], ended.result())
    return [found for case in cases if (found := log.get(case)) is not None]
