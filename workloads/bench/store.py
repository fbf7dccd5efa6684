"""The directory of a bench: what was asked, and a line for each run that ended, written as soon as it did.

So a bench that was stopped goes on where it was: the same command with the same directory. Another command there is
refused. A line that was cut short is a run that has to be done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from scheduler.errors import InputError
from workloads.bench.results import RunResult
from workloads.bench.tasks import Task

COMMAND_FILE, RUNS_FILE = "bench.json", "runs.jsonl"
_MADE_BY = ("schema", "gearshift")
"""Keys of what was asked that no command line can mend."""

_RESULT = TypeAdapter(RunResult)
_OBJECT = TypeAdapter(dict[str, Any])


class Store:
    """One bench's directory, made if missing.

    Args:
        directory: empty, not there, or of the same command.
        asked: what makes a bench this one, as JSON values; its first key that differs is named.

    Raises:
        InputError: the directory is another bench's, something else's, or can't be used.
    """

    def __init__(self, directory: Path, asked: Mapping[str, Any]) -> None:
        self._directory = directory
        self.results: dict[Task, RunResult] = {}
        """By task, what is done."""
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
        """Keeps a result."""
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
    """Return what is done of a bench, in the order in which the runs ended; a run that was repeated counts once.

    Raises:
        InputError: if the directory holds no bench, or a damaged one.
    """
    if not (directory / COMMAND_FILE).exists() or not (directory / RUNS_FILE).exists():
        raise InputError(f"{str(directory)!r} holds no runs of a bench; give the --out of one.")
    content = (directory / RUNS_FILE).read_bytes()
    return list(_results(content[: content.rfind(b"\n") + 1], repr(str(directory))).values())


def _results(lines: bytes, where: str) -> dict[Task, RunResult]:
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
                f"{where} was written by another version of gearshift ({key} {there.get(key)!r} there, "
                f"{asked.get(key)!r} now); give another directory."
            )
    for key in dict.fromkeys((*asked, *there)):
        if there.get(key) != asked.get(key):
            raise InputError(
                f"{where} holds another bench: {key} is {there.get(key)!r} there, and {asked.get(key)!r} now. "
                "Give the same command to go on with it, or another directory."
            )
