"""The directory of a bench: its options, and one line for each run, written as soon as the run ends.

So the same command with the same directory continues a bench that was stopped. Another command there is refused. A
line that was cut short is dropped, and its run is done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from scheduler.errors import InputError, shown
from workloads.bench.results import RunResult
from workloads.bench.tasks import BenchTask

COMMAND_FILE, RUNS_FILE = "bench.json", "runs.jsonl"
_MADE_BY = ("schema", "gearshift")
"""Keys whose difference no other command line can fix."""

_RESULT = TypeAdapter(RunResult)
_OBJECT = TypeAdapter(dict[str, Any])


class Store:
    """The directory of one bench, made if missing.

    Args:
        directory: an empty or missing directory, or one of the same command.
        asked: all that decides the results, as JSON values; the error names the first key that differs.

    Raises:
        InputError: if the directory is of another bench or of something else, or cannot be used.
    """

    def __init__(self, directory: Path, asked: Mapping[str, Any]) -> None:
        self._directory = directory
        self.results: dict[BenchTask, RunResult] = {}
        """The results so far, by task."""
        where = f"--out {str(directory)!r}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if (directory / COMMAND_FILE).exists():
                _check_same(where, _OBJECT.validate_json((directory / COMMAND_FILE).read_bytes()), asked)
                self._read(where)
            elif any(directory.iterdir()):
                raise InputError(f"{where} is not empty and holds no bench; give a new directory.")
            else:
                (directory / COMMAND_FILE).write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
        except FileExistsError:
            raise InputError(f"{where} is a file; give a directory.") from None
        except OSError as error:
            raise InputError(f"{where} can't be used ({error.strerror}); give another directory.") from None
        except ValidationError:
            raise InputError(f"{where}: {COMMAND_FILE} is damaged; give a new directory.") from None

    def add(self, result: RunResult) -> None:
        """Keep a result, also in the file."""
        self.results[result.task] = result
        with open(self._directory / RUNS_FILE, "a", encoding="utf-8") as stream:
            stream.write(_RESULT.dump_json(result).decode() + "\n")

    def _read(self, where: str) -> None:
        path = self._directory / RUNS_FILE
        if not path.exists():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            path.write_bytes(whole)
        self.results = _results(whole, where)


def read_results(directory: Path) -> list[RunResult]:
    """Return the results in a bench's directory; of a run that was repeated the last one.

    Raises:
        InputError: if the directory holds no bench, or a damaged one.
    """
    if not (directory / COMMAND_FILE).exists() or not (directory / RUNS_FILE).exists():
        raise InputError(f"{str(directory)!r} holds no runs of a bench; give the --out of one.")
    content = (directory / RUNS_FILE).read_bytes()
    return list(_results(content[: content.rfind(b"\n") + 1], repr(str(directory))).values())


def _results(lines: bytes, where: str) -> dict[BenchTask, RunResult]:
    """Return the results of whole lines by task."""
    results = {}
    for number, line in enumerate(lines.splitlines(), start=1):
        try:
            result = _RESULT.validate_json(line)
        except ValidationError:
            raise InputError(
                f"{where}: line {number} of {RUNS_FILE} is damaged; remove it to have it run again."
            ) from None
        results[result.task] = result
    return results


def _check_same(where: str, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for key in _MADE_BY:
        if there.get(key) != asked.get(key):
            raise InputError(
                f"{where} was written by another version of gearshift ({key} {shown(there.get(key))} there, "
                f"{shown(asked.get(key))} now); give another directory."
            )
    for key in dict.fromkeys((*asked, *there)):
        if there.get(key) != asked.get(key):
            raise InputError(
                f"{where} holds another bench: {key:.60} is {shown(there.get(key))} there, and "
                f"{shown(asked.get(key))} now. Give the same command to go on with it, or another directory."
            )
