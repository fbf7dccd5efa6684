"""A run's directory under faults: log, records and results are written as a run does, and read back afterwards.

Whatever fails, and wherever the process is killed: the directory is read with counts that add up and no request that is
better off than its record, or refused because there is too little in it. No damaged file is left.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.cluster import find_board
from actors.requests.records import RecordWriter, Status
from faults.points import Killed, Points, Subject
from faults.system import FILE_KINDS, left_open, under_faults
from helpers.synthetic_run import LADDER, MIX, make_run
from workloads.mix.mix import Target
from workloads.results.requests import is_on_time
from workloads.results.run_dir import EPOCHS_FILE, REQUESTS_FILE, SUMMARY_FILE, RunDirError, StoredRun, read_run
from workloads.results.salvage import NO_ENERGY
from workloads.results.summarize import AppRecords, summarize_app
from workloads.results.summary import HostSummary, Summary
from workloads.results.trace import record_run
from workloads.runs.failure import RunError
from workloads.runs.result_files import ResultFiles

_DURATION_S = 3.0
_DRAIN_S = 2.0
_BOARD = find_board("two-core-host")
_HOST = HostSummary(steal_s=0.0, stall_ms_max=0.0, stalled_share=0.0, void=False)
_TOO_LITTLE = ("holds neither", "ended before its first epoch")
"""Reasons for which a directory may be refused; that a file is damaged is none."""


@dataclass
class _Truth:
    """All that happened in a run, whatever its files say.

    Attributes:
        records: records by app, as they were handed to the writer.
        error: what the run's end raised; None where it said nothing.
        cut_short: True if it ended before its time.
        dead: True if its process was killed.
    """

    records: dict[str, list[Any]] = field(default_factory=dict)
    error: BaseException | None = None
    cut_short: bool = False
    dead: bool = False


def _shortened() -> Any:
    made = make_run()
    made.entries = [entry for entry in made.entries if entry[1] <= _DURATION_S]
    made.arrivals_s = {app: times_s[times_s <= _DURATION_S] for app, times_s in made.arrivals_s.items()}
    made.records = {
        app: records[records["arrival_s"] <= _DURATION_S] for app, records in made.records.items() if app != "yard"
    }
    apps = list(made.records)
    made.arrivals_s = {app: made.arrivals_s[app] for app in apps}
    made.header = replace(
        made.header,
        duration_s=_DURATION_S,
        ladders={app: made.header.ladders[app] for app in apps},
        targets={app: _targets(app) for app in apps},
        accuracies={app: made.header.accuracies[app] for app in apps},
    )
    return made


def _targets(app: str) -> tuple[Target, ...]:
    return tuple(MIX.targets_of(app)[:1])


MADE = _shortened()
"""A run of 3 s of two applications, and all that it wrote."""


def _summary(records: Mapping[str, Any]) -> Summary:
    apps = {
        app: summarize_app(
            AppRecords(
                arrivals_s=MADE.arrivals_s[app],
                records=records[app],
                targets=_targets(app),
                ladder=LADDER,
                gears=[],
                end_s=_DURATION_S + _DRAIN_S,
            )
        )
        for app in MADE.records
    }
    return replace(MADE.summary, apps=apps, duration_s=_DURATION_S)


def _happenings() -> list[tuple[float, str, Any]]:
    """Return the log's entries and the ends of requests in order of time: (time, app or nothing, entry or record)."""
    found = [(now_s, "", {"kind": kind, "now_s": now_s, **fields}) for kind, now_s, fields in MADE.entries]
    found += [(float(one["end_s"]), app, one) for app, records in MADE.records.items() for one in records]
    return sorted(found, key=lambda happening: happening[:2])


_HAPPENINGS = _happenings()


def _live(out: Path, shared: Path, rng: random.Random, truth: _Truth) -> Iterator[None]:
    """Write a run's files as a run does; yields where its end may come too early."""
    files = ResultFiles(out, MADE.header, MADE.arrivals_s)
    writers: dict[str, RecordWriter] = {}
    try:
        files.begin(shared)
        try:
            writers |= {app: RecordWriter(files.link(app)) for app in MADE.records}
            restart, removal = rng.randrange(len(_HAPPENINGS)), rng.randrange(4 * len(_HAPPENINGS))
            for number, (_, app, what) in enumerate(_HAPPENINGS):
                if number == removal:
                    shutil.rmtree(out)
                if number == restart:  # a worker is lost, and the next one goes on with its file
                    writers["garage"].close()
                    writers["garage"] = RecordWriter(files.link("garage"))
                if app:
                    truth.records[app].append(what)
                    writers[app].write(tuple(what))
                else:
                    files.log.append(what)
                yield
            records = {app: files.records(app) for app in MADE.records}
            files.write(_summary(records), records, MADE.arrivals_s, lambda: record_run(out, _BOARD, ()))
        except (OSError, KeyboardInterrupt) as error:
            truth.cut_short = True
            gears: Mapping[str, Any] = {app: [] for app in MADE.records}
            failure = files.cut_short(f"{type(error).__name__}: {error}", error, _DURATION_S, gears, NO_ENERGY, _HOST)
            raise RunError(failure) from error
    finally:
        for writer in writers.values():
            writer.close()
        files.close()


def _run(points: Points, directory: Path, rng: random.Random) -> None:
    out, shared = directory / "out", directory / "shared"
    out.mkdir()
    shared.mkdir()
    truth = _Truth(records={app: [] for app in MADE.records})
    interrupted = rng.randrange(2 * len(_HAPPENINGS))
    with under_faults(points, directory):
        try:
            run = _live(out, shared, rng, truth)
            for number, _ in enumerate(run):
                if number == interrupted:
                    run.throw(KeyboardInterrupt)
        except Killed:
            truth.dead = True
        except (RunError, OSError) as error:
            truth.error = error.with_traceback(None)
            truth.error.__cause__ = truth.error.__context__ = None
    if not truth.dead:
        assert left_open(directory) == []
    _check(out, truth, points)


SUBJECT = Subject(name="results", kinds=FILE_KINDS, run=_run)


# ---------------------------------------------------------------- what must hold


def _check(out: Path, truth: _Truth, points: Points) -> None:
    if truth.error is not None:
        _check_words(truth.error)
    if not out.is_dir():
        # Somebody has removed it, and it could not be made again.
        assert truth.dead or truth.error is not None
        return
    _check_whole(out, truth, points)
    run = read_if_enough(out)
    if run is None:
        assert truth.dead or truth.error is not None, "nothing was said, but it can't be read"
        return
    check_claims(run, truth.records)
    if truth.dead or truth.error is not None:
        return
    assert run.missing == (), "the run said nothing of it"
    assert {app: len(records) for app, records in truth.records.items()} == {
        app: app_summary.submitted - app_summary.in_flight for app, app_summary in run.summary.apps.items()
    }


def _check_words(error: BaseException) -> None:
    words = str(error)
    assert words.strip(), f"{error!r} says nothing"
    assert "\n" not in words
    if isinstance(error, OSError):
        assert error.strerror


def _check_whole(out: Path, truth: _Truth, points: Points) -> None:
    """Check that no file is half written under its own name, and that nothing is left beside them without need."""
    if (out / SUMMARY_FILE).exists():
        json.loads((out / SUMMARY_FILE).read_text(encoding="utf-8"))
    if (out / REQUESTS_FILE).exists():
        with np.load(out / REQUESTS_FILE) as arrays:
            assert {name.partition(":")[0] for name in arrays} == {"records", "arrivals"}
    known = {SUMMARY_FILE, EPOCHS_FILE, REQUESTS_FILE, "trace.msgpack"} | {f"records-{app}.bin" for app in MADE.records}
    others = {path.name for path in out.iterdir()} - known
    removal_failed = truth.dead or points.kind.lasts
    assert removal_failed or not others, f"left over: {others}"


def read_if_enough(out: Path) -> StoredRun | None:
    """Return a run as its directory has it; None where it is refused for a good reason: there is too little."""
    try:
        return read_run(out)
    except RunDirError as error:
        words = str(error)
    assert words.startswith(str(out)), words
    assert any(reason in words for reason in _TOO_LITTLE), words
    return None


def check_claims(run: StoredRun, truth: Mapping[str, list[Any]]) -> None:
    """Check that a run's counts add up, and that nothing is claimed that did not happen.

    Args:
        run: the run as its directory has it.
        truth: the records that its workers made, by app.
    """
    for name, app in run.summary.apps.items():
        assert app.submitted == app.completed + app.dropped + app.failed + app.in_flight
        assert sum(app.subnets.values()) == app.completed
        assert app.submitted - app.in_flight <= app.counted <= app.submitted
        happened = np.array(truth[name], dtype=MADE.records[name].dtype)
        ends = run.records[name][run.records[name]["status"] != Status.ARRIVED]
        assert len(set(ends["end_s"].tolist())) == ends.size, f"{name}: a request ended twice"
        assert set(ends["end_s"].tolist()) <= set(happened["end_s"].tolist()), f"{name}: a record of nothing"
        for status, count in (
            (Status.COMPLETED, app.completed),
            (Status.DROPPED, app.dropped),
            (Status.FAILED, app.failed),
        ):
            assert count <= np.count_nonzero(happened["status"] == status), f"{name}: {count} {status.name}"
        claimed = round((app.on_time or 0.0) * app.counted)
        assert claimed <= np.count_nonzero(is_on_time(happened)), f"{name}: {claimed} on time"
