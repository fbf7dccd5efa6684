"""The epoch log: all that a run saw, decided and changed, as a stream of msgpack maps.

The first map is the header. Each map after it is one entry `{"kind": ..., "now_s": ..., ...}`, written as it happens,
so a killed run loses at most its last entry. The fields of an entry depend on its kind and are plain values:

- `epoch`: {epoch, decided, units {name: {mhz, busy, temp_c, power_w, max_mhz, cpus_online, held_by, offline_by}}, rails
  {name: watts}, apps {name: {gear, queue_len, on_time, p95_ms, rate_hz, service_ratio}}, power_w, violation, optimal,
  solve_ms}
- `decision`: {apps {name: inputs}, units {name: limits}, power_cap_w, slowdowns {unit: ratio}, gears {name: gear},
  paces, optimal, within, outlook}, what a decision rested on where it was on anything new:
  `scheduler.decisions.Decision`; units without limits or slowdowns are left out. `outlook` is what the plan is
  foreseen to miss, `scheduler.admission.Outlook`, and None for nothing
- `admission`: {joined, present, outlook, best, within}, an answer to applications that join, or what gives way after an
  event: `scheduler.admission.Admission`
- `plan`: {plan, why: [text], gears, cpus, clocks, paces, power_w, violation, optimal}, a decision that changes
  something
- `gear`: {app, from, to, why, plan}, a gear acknowledged
- `clock`: {unit, from, to, asked?}, a clock in MHz or a governor's name: `to` as granted, `asked` only where it differs
- `switch`: {unit, on, took_ms or fault}, a unit that went off or came on, or the reason for which it did not
- `denied`: {unit, asked, granted}, a clock that was not granted though no cap is seen; the plan goes on without it
- `pin`: {app, asked, cpus}, a worker that could be pinned to some of the CPUs only, since the others are offline
- `repinned`: {app, before, cpus, fault}, a worker whose threads the kernel had let go to the CPUs `before`
- `app`: {app, ladder, accuracies, metric, grounds}, an application that joins though it was not planned;
  `target`: {app, from_s, latency_ms, min_accuracy, weight, slo}, a target that was not planned. The header that is
  returned has both (`workloads.results.log_header`)
- `event`: {text}, an event of the mix, a limit that the board was seen to set or to lift, or an application that waits
  until a unit is back
- `lost`: {app, reason}; `unhealthy`: {app or unit, waiting_for}; `policy_failed`: {policy, error}; `error`: {app, text}
- `part_lost`: {part, reason}, the board agent or the manager died; `part_back`: {part}, another one took over
- `stuck`: {app, why, for_s, bound_s, ends}, a worker that makes no progress, and whether its process is ended for it;
  `fenced`: {app, unit, why, held_ms, bound_ms}, one that kept others from their cores and was killed;
  `out`: {app, reason, within_s}, an application whose workers were lost too often within that time
- `fault`: {app, worker, where, text, times, first}, an error of requests, once it has happened 1, 10, 100, ... times
- `troubles`: {app, losses, out, never_ran, faults [{where, text, times, first}]}, at the end: all that went wrong with
  an application
- `energy`: {modelled_units_j, modelled_board_j, units {name: {joules, source}}}, at the end of a run with sensors; the
  source is `measured`, `attributed` (a share of a rail of several units), `modelled` or `unknown`
- `cut_short`: {reason, details}, the last entry of a run that did not come to its end
- `stall`: {cpu, lost_ms}, a gap of the host sentinel that begins at `now_s`
- `thinned`: {every_s}, the entries before it are thinned so that one epoch in so many seconds is left

A log has a bound, 32 MB by default, which a run of three applications and ten epochs a second reaches in about an hour.
Then its first three quarters are thinned (`workloads.results.thinning`), to an epoch a second at first and to ever
fewer later, down to one an hour. Gears, events and troubles are all kept: where these alone take more than the bound,
so does the log.

A gear is [subnet, unit, cores], or None for no gear. This module does not know what the entries mean;
`workloads.results.run_dir` parses them.
"""

import contextlib
import errno
import itertools
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import msgpack
from pydantic import TypeAdapter, ValidationError

from scheduler.errors import InputError
from workloads.results.log_header import LogHeader, log_header, with_changes
from workloads.results.thinning import Entry, Thinner

__all__ = ["Entry", "EpochLogError", "EpochLogWriter", "LogHeader", "log_header", "read_epoch_log"]

SCHEMA = 1

BOUND_BYTES = 32 * 2**20
"""Length of a log at which it is thinned. To read one of 23 MB took 135 MB of memory."""

_COARSEST_S = 3600.0
"""Most board time for which one epoch is left."""

_STEP = 20
"""Entries that are gone through for each that is appended, while a log is thinned. On a Xeon under KVM that took 0.4 ms
of CPU in the median and 0.9 ms at the 99th percentile of 3,000 (2 December 2026)."""


class EpochLogError(InputError):
    """An epoch log cannot be read; the message names the file and the fix."""


class EpochLogWriter:
    """A log that is being written, entry by entry; usable as a context manager.

    A log that can't be written to any more ends there: the run that it is about goes on.

    A log that has reached its bound is thinned: what it is to keep is written to a file beside it, a few entries with
    each that is appended, and that file takes the log's place once it has all. So no append takes long, and a run that
    is killed leaves a whole log, thinned or not. Where that can't be done, it is tried again later.

    Attributes:
        fault: The system's words for why the log ended early; None if it did not.
    """

    def __init__(self, path: Path, header: LogHeader, *, bound_bytes: int = BOUND_BYTES) -> None:
        """Begin a new log; a file that is there is overwritten.

        Args:
            path: The file.
            header: What the log begins with.
            bound_bytes: Length at which the log is thinned.
        """
        self.fault: str | None = None
        self._path = path
        self._bound = bound_bytes
        self._next_bound = bound_bytes
        self._every_s = 1.0
        self._thinning: Generator[None, None, None] | None = None
        self._pack = msgpack.Packer().pack
        self._length = 0
        # Unbuffered: each entry is one write, and survives this process.
        self._file: FileIO | None = None
        try:
            self._file = path.open("w+b", buffering=0)
        except OSError as error:
            self.fault = error.strerror
        self._write(self._pack({"schema": SCHEMA, **asdict(header)}))

    def append(self, entry: Mapping[str, object]) -> None:
        """Append one entry, such as `{"kind": "event", "now_s": 10.0, "text": "garage leaves"}`.

        Raises:
            TypeError: A field is not a plain value.
        """
        self._write(self._pack({"kind": entry["kind"], "now_s": entry["now_s"], **entry}))
        if self._thinning is None and self._length >= self._next_bound:
            self._thinning = self._thin()
        for _ in itertools.islice(self._thinning or (), _STEP):
            pass

    def _write(self, packed: bytes) -> None:
        if self._file is None or self.fault is not None:
            return
        try:
            _write_whole(self._file, packed)
            self._length += len(packed)
        except OSError as error:
            self.fault = error.strerror
            with contextlib.suppress(OSError):
                self._file.truncate(self._length)  # no half of an entry at the end

    def _thin(self) -> Generator[None, None, None]:
        """Write what the log keeps to a file beside it, an entry a step, and put that file in the log's place."""
        beside = self._path.with_name(f".{self._path.name}.new")
        fresh: FileIO | None = None
        try:
            with self._path.open("rb") as log:
                fresh = beside.open("w+b", buffering=0)
                for kept in _kept(msgpack.Unpacker(log), self._length * 3 // 4, self._every_s):
                    _write_whole(fresh, b"".join(map(self._pack, kept)))
                    yield
            os.replace(beside, self._path)
            fresh, self._file = self._file, fresh
            assert self._file is not None
            self._length = self._file.tell()
            if self._length > self._bound // 2:
                self._every_s = min(2 * self._every_s, _COARSEST_S)
            self._next_bound = max(self._bound, self._length + self._bound // 4)
        except OSError:
            self._next_bound = self._length + self._bound // 4
        finally:
            self._thinning = None
            if fresh is not None:  # the file that was replaced, or the one that was to replace it
                fresh.close()
            with contextlib.suppress(OSError):
                beside.unlink()

    def restore(self) -> None:
        """Write the log again where its file was removed meanwhile.

        Raises:
            OSError: It can't be written.
        """
        if self._file is not None and not self._path.exists():
            with open(self._file.fileno(), "rb", closefd=False) as written:
                written.seek(0)
                self._path.write_bytes(written.read(self._length))

    def close(self) -> None:
        """Close the file."""
        if self._thinning is not None:
            self._thinning.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_whole(file: FileIO, packed: bytes) -> None:
    if file.write(packed) != len(packed):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _kept(maps: msgpack.Unpacker, old_bytes: int, every_s: float) -> Iterator[list[Entry]]:
    """Yield, for each map of a log, those that are to be kept; epochs within its first `old_bytes` are merged."""
    yield [next(maps)]  # the header
    thinner = Thinner(every_s)
    while maps.tell() < old_bytes:
        yield thinner.take(next(maps))
    yield thinner.end()
    for entry in maps:
        yield [entry]


def begun_log(path: Path) -> bool:
    """Return True if a file may be a log; False where it is missing, or ends within its header.

    A run leaves such a file that was killed, or whose disk was full, before it could write more.
    """
    try:
        with path.open("rb") as file:
            next(msgpack.Unpacker(file))
    except (StopIteration, FileNotFoundError):
        return False
    except (OSError, msgpack.UnpackException, ValueError):
        return True  # `read_epoch_log` says what is wrong with it
    return True


def read_epoch_log(path: Path) -> tuple[LogHeader, list[Entry]]:
    """Read a log; a last entry that is cut short, as a killed run leaves it, is left out.

    Raises:
        EpochLogError: The file cannot be read, is no epoch log, is damaged, or is of another schema.
    """
    entries: list[Entry] = []
    try:
        with path.open("rb") as file:
            maps = msgpack.Unpacker(file)
            header = _header(path, next(maps, None))
            for number, entry in enumerate(maps, start=1):
                if not _is_entry(entry):
                    raise EpochLogError(f"{path}: entry {number} is damaged; {_FIX}")
                entries.append(entry)
    except OSError as error:
        raise EpochLogError(f"{path}: cannot be read: {error.strerror}.") from error
    except EpochLogError:
        raise
    except (msgpack.UnpackException, ValueError) as error:
        raise EpochLogError(f"{path}: is damaged after {len(entries)} entries; {_FIX}") from error
    try:
        return with_changes(header, entries), entries
    except (KeyError, TypeError) as error:
        raise EpochLogError(f"{path}: what it says of an app or a target lacks {error}; {_FIX}") from error


def _is_entry(value: object) -> bool:
    return (
        isinstance(value, dict) and isinstance(value.get("kind"), str) and isinstance(value.get("now_s"), int | float)
    )


_HEADER = TypeAdapter(LogHeader)
_FIX = "give the directory of a run that gearshift wrote, or run the mix again."


def _header(path: Path, first: object) -> LogHeader:
    if not isinstance(first, dict) or "schema" not in first:
        raise EpochLogError(f"{path}: this is no epoch log; {_FIX}")
    if first["schema"] != SCHEMA:
        raise EpochLogError(
            f"{path}: schema must be {SCHEMA}, not {first['schema']!r}; run the mix again with this version of "
            "gearshift."
        )
    try:
        return _HEADER.validate_python(first)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(map(str, fault["loc"]))
        raise EpochLogError(f"{path}: header: {field}: {fault['msg']}; {_FIX}") from error
