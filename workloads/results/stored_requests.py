"""The requests of a run as its directory holds them: `requests.npz`, and `records-APP.bin` while it goes on.

The arrivals are in `requests.npz` from the start of a run, and its records once it has ended. Until then each app's
records are in a file of their own, to which its worker appends; a run that was killed leaves that file.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import EARLIER_RECORD, RECORD, Status, read_records, with_credits
from actors.whole_file import whole
from scheduler.errors import InputError
from workloads.mix.arrivals import FloatArray
from workloads.results.requests import first_ends
from workloads.results.summary import Summary

SUMMARY_FILE = "summary.json"
EPOCHS_FILE = "epochs.msgpack"
REQUESTS_FILE = "requests.npz"

_RECORDS = "records:"
_ARRIVALS = "arrivals:"

FIX = "the files are not of one run; run the mix again."

Records: TypeAlias = NDArray[np.void]


class RunDirError(InputError):
    """A directory holds no run that can be read; the message names the file and the fix."""


def records_file(run_dir: Path, app: str) -> Path:
    """Return the file that an app's worker appends its records to."""
    return run_dir / f"records-{app}.bin"


def write_run(
    run_dir: Path, summary: Summary, records: Mapping[str, Records], arrivals_s: Mapping[str, FloatArray]
) -> None:
    """Write the results of a run that has ended: `summary.json` and `requests.npz`.

    Args:
        run_dir: An existing directory.
        summary: The run summary.
        records: Records of each app's requests, of dtype `actors.requests.records.RECORD`.
        arrivals_s: Arrivals of all requests of each app.

    Raises:
        OSError: One of the files can't be written; no half of it is left.
    """
    # The summary first: it is small, and where a disk is full it may still fit.
    with whole(run_dir / SUMMARY_FILE) as fresh:
        fresh.write_text(summary.to_json() + "\n", encoding="utf-8")
    write_requests(run_dir, records, arrivals_s)


def write_requests(run_dir: Path, records: Mapping[str, Records], arrivals_s: Mapping[str, FloatArray]) -> Path:
    """Write `requests.npz`: the arrays `records:APP` and `arrivals:APP` for each app.

    Args:
        run_dir: An existing directory.
        records: Records of each app's requests, of dtype `actors.requests.records.RECORD`.
        arrivals_s: Arrivals of all requests of each app.

    Returns:
        The file.

    Raises:
        OSError: It can't be written; no half of it is left.
    """
    path = run_dir / REQUESTS_FILE
    arrays: dict[str, NDArray[Any]] = {_RECORDS + app: array for app, array in records.items()}
    arrays.update({_ARRIVALS + app: times_s for app, times_s in arrivals_s.items()})
    with whole(path) as fresh, fresh.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path


def read_requests(
    run_dir: Path, apps: Sequence[str], *, ended: bool
) -> tuple[dict[str, Records], dict[str, FloatArray], list[str]]:
    """Read the requests of a run.

    Args:
        run_dir: Directory of the run.
        apps: The apps.
        ended: True if the run came to write its summary, and its records with it.

    Returns:
        The records and the arrivals of each app, and lines on what is missing. Records of a version that knew right
        and wrong results only have credits of 1 and 0.

    Raises:
        RunDirError: The file is damaged, or of another run.
    """
    path = run_dir / REQUESTS_FILE
    none_s, missing = np.empty(0), list[str]()
    if path.is_file():
        records, arrivals_s = _read_file(path, apps)
    else:
        missing.append(f"{REQUESTS_FILE}: no arrivals are known, and no requests that never ended")
        records, arrivals_s = {app: np.empty(0, dtype=RECORD) for app in apps}, dict.fromkeys(apps, none_s)
    # A run's `requests.npz` is written at its start, and so tells what its workers append.
    kinds = {app: kept.dtype for app, kept in records.items()}
    records = {app: with_credits(kept) for app, kept in records.items()}
    if ended and path.is_file():
        return records, arrivals_s, missing
    for app in apps:
        try:
            kept = read_records(records_file(run_dir, app), kinds[app])
        except OSError as error:
            raise RunDirError(f"{records_file(run_dir, app)}: cannot be read: {error.strerror}.") from error
        if kept.size and not path.is_file() and not np.any(kept["status"] == Status.ARRIVED):
            records[app], arrivals_s[app] = _known_ends(kept)
        elif kept.size:
            records[app] = kept
        elif not records[app].size:
            missing.append(f"records-{app}.bin: no request of {app} is known to have ended")
    return records, arrivals_s, missing


def _known_ends(records: Records) -> tuple[Records, FloatArray]:
    """Return the requests that are known to have ended as if no others had arrived, and their arrivals."""
    ended = first_ends(records)
    ended["index"] = np.arange(ended.size)
    arrivals_s: FloatArray = ended["arrival_s"].copy()
    return ended, arrivals_s


def _read_file(path: Path, apps: Sequence[str]) -> tuple[dict[str, Records], dict[str, FloatArray]]:
    records, arrivals_s = {}, {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for app in apps:
                records[app] = arrays[_RECORDS + app]
                arrivals_s[app] = arrays[_ARRIVALS + app]
    except KeyError as error:
        raise RunDirError(f"{path}: {error.args[0]}; {FIX}") from error
    except (OSError, EOFError, ValueError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        said = str(error) or type(error).__name__
        raise RunDirError(f"{path}: is cut short or damaged: {said}. Run the mix again.") from error
    for app in apps:
        if records[app].dtype not in (RECORD, EARLIER_RECORD) or records[app].ndim != 1:
            raise RunDirError(f"{path}: {app}: not the records of this version; run the mix again.")
        if arrivals_s[app].dtype != np.float64 or arrivals_s[app].ndim != 1:
            raise RunDirError(f"{path}: {app}: the arrivals are no list of times; run the mix again.")
    return records, arrivals_s
