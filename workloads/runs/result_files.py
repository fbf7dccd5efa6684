"""The files of a run in its directory, while it goes on and when it ends, however it ends.

Nothing that happens to the directory ends a run. The log ends where its disk is full; records go to the run's directory
in shared memory then; the driver holds the files open, so that it can read them also where they were removed. What
could not be written is said, and the summary is there to be printed.
"""

from __future__ import annotations

import contextlib
import math
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import RECORD, read_records, spare_records, whole_records
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.results.epoch_log import Entry, EpochLogError, EpochLogWriter, LogHeader, log_header, read_epoch_log
from workloads.results.log_header import with_changes
from workloads.results.salvage import CUT_SHORT, Remains, SalvageError, salvage
from workloads.results.stored_requests import EPOCHS_FILE, records_file, write_requests, write_run
from workloads.results.summary import EnergySummary, HostSummary, Summary
from workloads.runs.failure import Failure, RunError
from workloads.runs.plan import RunPlan


class ResultFiles:
    """The log, the records and the results of one run.

    Args:
        out: run directory, which exists.
        header: header of the log.
        scheduled_s: arrivals of each app as they are scheduled.

    Attributes:
        log: the log.
    """

    def __init__(self, out: Path, header: LogHeader, scheduled_s: Mapping[str, FloatArray]) -> None:
        self._out = out
        self._header = header
        self._scheduled_s = dict(scheduled_s)
        self._links: dict[str, Path] = {}
        self._held: dict[str, int] = {}
        self.log = EpochLogWriter(out / EPOCHS_FILE, header)

    def begin(self, directory: Path) -> None:
        """Make the files for the workers' records.

        Args:
            directory: the run's directory in shared memory.
        """
        for app in self._scheduled_s:
            self._link(directory, app)
        with contextlib.suppress(OSError):  # if this is all that is lost, the end of the run will say so
            none = dict.fromkeys(self._scheduled_s, np.empty(0, dtype=RECORD))
            write_requests(self._out, none, self._scheduled_s)

    def add(self, directory: Path, app: str) -> None:
        """Make the file for the records of an application that comes later; one that comes back has it already."""
        if app not in self._links:
            self._scheduled_s[app] = np.empty(0)
            self._link(directory, app)

    def _link(self, directory: Path, app: str) -> None:
        file = records_file(self._out.absolute(), app)
        # By number, since a file's name has at most 255 bytes, and an app's may be long.
        self._links[app] = directory / f"records-{len(self._links)}"
        self._links[app].symlink_to(file)
        with contextlib.suppress(OSError):
            self._held[app] = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def link(self, app: str) -> Path:
        """Return the path at which an app's worker writes its records."""
        return self._links[app]

    def records(self, app: str) -> NDArray[np.void]:
        """Return the records of an app's requests so far."""
        if app not in self._held:
            return read_records(self._links[app])
        with open(self._held[app], "rb", closefd=False) as file:
            file.seek(0)
            kept = np.frombuffer(whole_records(file.read()), dtype=RECORD)
        return np.concatenate([kept, _if_any(spare_records(self._links[app]))])

    def write(
        self,
        summary: Summary,
        records: Mapping[str, NDArray[np.void]],
        arrivals_s: Mapping[str, FloatArray],
        write_more: Callable[[], object],
    ) -> None:
        """Write the results of a run that has come to its end.

        Args:
            summary: the summary.
            records: records of each app's requests.
            arrivals_s: arrivals of all requests of each app.
            write_more: writes what else there is, after all that.

        Raises:
            RunError: if a part of it can't be written.
        """
        try:
            self._write(summary, records, arrivals_s)
            write_more()
        except (OSError, EpochLogError) as error:
            said = self.log.fault or (error.strerror if isinstance(error, OSError) else None) or str(error)
            reason = f"{self._out}: not all results could be written ({said})"
            raise RunError(Failure(reason=reason, summary=summary, is_whole=True)) from error
        if self.log.fault:
            reason = f"{self._out / EPOCHS_FILE}: the log ends early ({self.log.fault})"
            raise RunError(Failure(reason=reason, summary=summary, is_whole=True))

    def cut_short(
        self,
        reason: str,
        error: BaseException,
        now_s: float,
        gears: Mapping[str, Sequence[Gear]],
        energy: EnergySummary,
        host: HostSummary,
    ) -> Failure:
        """Make and write a summary of a run that did not come to its end.

        Args:
            reason: why it did not.
            error: what ended it.
            now_s: how far it came, board time.
            gears: gears of each app as they were acknowledged.
            energy: energy so far.
            host: stalls of the machine so far.
        """
        details = "".join(traceback.format_exception(error))
        self.log.append({"kind": CUT_SHORT, "now_s": now_s, "reason": reason, "details": details})
        records = {app: self.records(app) for app in self._scheduled_s}
        entries = self._entries()
        header = with_changes(self._header, entries)
        remains = Remains(header=header, entries=entries, records=records, scheduled_s=self._scheduled_s)
        try:
            summary, arrivals_s = salvage(remains, now_s=now_s, gears=gears, energy=energy, host=host)
        except SalvageError:
            return Failure(reason=reason)
        try:
            self._write(summary, records, arrivals_s)
        except OSError as fault:
            reason = f"{reason}; {self._out}: its results could not be written ({fault.strerror})"
        return Failure(reason=reason, summary=summary)

    def close(self) -> None:
        """Close all files."""
        self.log.close()
        for file in self._held.values():
            os.close(file)
        self._held.clear()

    def _entries(self) -> list[Entry]:
        with contextlib.suppress(OSError, EpochLogError):
            self._restore()
            return read_epoch_log(self._out / EPOCHS_FILE)[1]
        return []

    def _write(
        self, summary: Summary, records: Mapping[str, NDArray[np.void]], arrivals_s: Mapping[str, FloatArray]
    ) -> None:
        self._restore()
        write_run(self._out, summary, records, arrivals_s)
        for app in self._scheduled_s:
            with contextlib.suppress(OSError):
                records_file(self._out, app).unlink()

    def _restore(self) -> None:
        """Make the directory and the log again where somebody has removed them."""
        self._out.mkdir(parents=True, exist_ok=True)
        self.log.restore()


def _if_any(path: Path) -> NDArray[np.void]:
    return np.frombuffer(whole_records(path.read_bytes()) if path.exists() else b"", dtype=RECORD)


def header_of(plan: RunPlan, endless: bool) -> LogHeader:
    """Return the header of the log of a run; one that is endless has no duration."""
    header = log_header(
        plan,
        time_scale=plan.time_scale,
        emulated=plan.board.emulated,
        profiles={name: app.profile for name, app in plan.apps.items()},
    )
    return replace(header, duration_s=math.inf) if endless else header
