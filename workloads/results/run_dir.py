"""A run directory, read back whole: `summary.json`, `epochs.msgpack` and `requests.npz`.

The summary and the requests are also written here.

A file that is missing, cut short or of another version becomes one `RunDirError` that names it. This module knows how a
run is stored; it draws no conclusions from it.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from actors.requests.records import RECORD
from scheduler.errors import InputError
from scheduler.messages import RequestFault
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.results.epoch_log import Entry, EpochLogError, LogHeader, read_epoch_log
from workloads.results.summary import Summary, SummaryError, read_summary

SUMMARY_FILE = "summary.json"
EPOCHS_FILE = "epochs.msgpack"
REQUESTS_FILE = "requests.npz"

_RECORDS = "records:"
_ARRIVALS = "arrivals:"
_TROUBLES = {"error", "unhealthy", "denied", "policy_failed", "stuck", "fenced", "out", "fault", "part_lost"}

Records: TypeAlias = NDArray[np.void]


class _Timed(Protocol):
    """Any entry: it has a time."""

    @property
    def now_s(self) -> float: ...


_Entry = TypeVar("_Entry", bound=_Timed)


class RunDirError(InputError):
    """A directory holds no run that can be read; the message names the file and the fix."""


def _gear_fields(entry: object) -> object:
    """Return the fields of a gear that the log holds as [subnet, unit, cores], for pydantic to check."""
    return asdict(Gear.of(entry)) if isinstance(entry, list) else entry


_LoggedGear = Annotated[Gear, BeforeValidator(_gear_fields)]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitPoint:
    """A unit at an epoch: its clock, share of core time taken, and power where known."""

    mhz: float
    busy: float
    power_w: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochPoint:
    """The units and the present apps at one epoch."""

    now_s: float
    units: dict[str, UnitPoint]
    apps: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class GearChange:
    """An app's new gear, acknowledged; None is no gear."""

    now_s: float
    app: str
    before: Annotated[_LoggedGear | None, Field(alias="from")]
    after: Annotated[_LoggedGear | None, Field(alias="to")]
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockChange:
    """A unit's new clock, in MHz or as the governor that sets it."""

    now_s: float
    unit: str
    before: Annotated[float | str | None, Field(alias="from")]
    after: Annotated[float | str, Field(alias="to")]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventMark:
    """An event of the mix, or a limit that the board set or lifted, in words."""

    now_s: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLoss:
    """A worker that died."""

    now_s: float
    app: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitEnergy:
    """One unit's energy and where it comes from; `attributed` is a share of what a rail of several units measured."""

    joules: float | None
    source: Literal["measured", "attributed", "modelled", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyNote:
    """Energies of a run with sensors that the summary has no place for.

    Attributes:
        now_s: Time of the note.
        modelled_units_j: Energy of all units as the board's power table says; None where there is none.
        modelled_board_j: Energy of the board as it says.
        units: Energy of each unit.
    """

    now_s: float
    modelled_units_j: float | None
    modelled_board_j: float | None
    units: dict[str, UnitEnergy]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stall:
    """A gap of the host sentinel, from `now_s` on."""

    now_s: float
    cpu: int
    lost_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Something that should not have happened: an error, a missing answer, a denied clock, a failed policy."""

    now_s: float
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AppTroubles:
    """What went wrong with an app over the whole run.

    Attributes:
        now_s: Time of the note.
        app: Name of the app.
        losses: Workers that were lost.
        out: Reason for which its workers were no longer started; None where they were.
        never_ran: Reason for which it never ran; None where it did.
        faults: Errors of its requests, the most frequent first.
    """

    now_s: float
    app: str
    losses: int
    out: str | None
    never_ran: str | None
    faults: tuple[RequestFault, ...]

    def lines(self) -> list[str]:
        """Return it in words, such as `a: source: RuntimeError: camera gone (60 times, first at request 0)`."""
        said = [
            f"{self.app}: {fault.where}: {fault.text} ({fault.times} times, first at request {fault.first})"
            if fault.times > 1
            else f"{self.app}: {fault.where}: {fault.text} (request {fault.first})"
            for fault in self.faults
        ]
        if self.losses:
            said.append(f"{self.app}: its worker was lost {self.losses} time{'s' * (self.losses > 1)}")
        if self.out:
            said.append(f"{self.app}: given up: {self.out}")
        if self.never_ran:
            said.append(f"{self.app}: never ran: {self.never_ran}")
        return said


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRun:
    """A whole run, read back from its directory; each list is in order of time.

    Attributes:
        path: The directory.
        summary: The run summary.
        header: Header of the epoch log.
        epochs: Every epoch.
        gears: Changes of gear that a worker acknowledged.
        clocks: Clocks that the manager set; those that a governor set in between are in the epochs.
        events: Events of the mix, and limits that the board set or lifted.
        losses: Workers that died.
        troubles: Errors, missing answers, denied clocks and failed policies.
        stalls: Gaps of the host sentinel.
        energy: Energies of a run with sensors; None for a run without.
        records: Records of each app's requests, shape (n,), of dtype `actors.requests.records.RECORD`.
        arrivals_s: Arrivals of all requests of each app, shape (m,).
    """

    path: Path
    summary: Summary
    header: LogHeader
    epochs: list[EpochPoint]
    gears: list[GearChange]
    clocks: list[ClockChange]
    events: list[EventMark]
    losses: list[WorkerLoss]
    troubles: list[Trouble]
    stalls: list[Stall]
    energy: EnergyNote | None = None
    records: dict[str, Records]
    arrivals_s: dict[str, FloatArray]


def write_run(
    run_dir: Path, summary: Summary, records: Mapping[str, Records], arrivals_s: Mapping[str, FloatArray]
) -> None:
    """Write the results of a run that has ended: `summary.json` and `requests.npz`.

    Args:
        run_dir: An existing directory.
        summary: The run summary.
        records: Records of each app's requests, of dtype `actors.requests.records.RECORD`.
        arrivals_s: Arrivals of all requests of each app.
    """
    write_requests(run_dir, records, arrivals_s)
    (run_dir / SUMMARY_FILE).write_text(summary.to_json() + "\n", encoding="utf-8")


def write_requests(run_dir: Path, records: Mapping[str, Records], arrivals_s: Mapping[str, FloatArray]) -> Path:
    """Write `requests.npz`: the arrays `records:APP` and `arrivals:APP` for each app.

    Args:
        run_dir: An existing directory.
        records: Records of each app's requests, of dtype `actors.requests.records.RECORD`.
        arrivals_s: Arrivals of all requests of each app.

    Returns:
        The file.
    """
    path = run_dir / REQUESTS_FILE
    arrays: dict[str, NDArray[Any]] = {_RECORDS + app: array for app, array in records.items()}
    arrays.update({_ARRIVALS + app: times_s for app, times_s in arrivals_s.items()})
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path


def read_run(run_dir: str | PathLike[str]) -> StoredRun:
    """Read a run directory.

    Raises:
        RunDirError: The directory or one of its files is missing, cut short, damaged or of another schema.
    """
    path = Path(run_dir)
    if not path.is_dir():
        raise RunDirError(f"{path}: there is no such directory; give what `gearshift run --out DIR` wrote.")
    for name in (SUMMARY_FILE, EPOCHS_FILE, REQUESTS_FILE):
        if not (path / name).is_file():
            raise RunDirError(
                f"{path / name}: there is no such file; give what `gearshift run --out DIR` wrote, "
                "after the run has ended."
            )
    try:
        summary = read_summary(path / SUMMARY_FILE)
        header, entries = read_epoch_log(path / EPOCHS_FILE)
    except (SummaryError, EpochLogError) as error:
        raise RunDirError(str(error)) from error
    records, arrivals_s = _read_requests(path / REQUESTS_FILE, summary)
    if list(header.units_mhz) != list(summary.units) or not header.ladders.keys() >= summary.apps.keys():
        raise RunDirError(f"{path / EPOCHS_FILE}: has other apps or units than {SUMMARY_FILE}; {_FIX}")

    def of_kind(kind: str, into: type[_Entry]) -> list[_Entry]:
        return _parse(path / EPOCHS_FILE, entries, kind, into)

    return StoredRun(
        path=path,
        summary=summary,
        header=header,
        epochs=of_kind("epoch", EpochPoint),
        gears=of_kind("gear", GearChange),
        clocks=of_kind("clock", ClockChange),
        events=of_kind("event", EventMark),
        losses=of_kind("lost", WorkerLoss),
        troubles=[_trouble(entry) for entry in entries if entry["kind"] in _TROUBLES],
        stalls=of_kind("stall", Stall),
        energy=next(iter(of_kind("energy", EnergyNote)), None),
        records=records,
        arrivals_s=arrivals_s,
    )


def read_energy_note(run_dir: Path) -> EnergyNote | None:
    """Read what a run with sensors noted of its energies; None for a run without.

    Raises:
        RunDirError: The log cannot be read, or is damaged.
    """
    return next(iter(_read_kind(run_dir, "energy", EnergyNote)), None)


def read_troubles(run_dir: Path) -> list[AppTroubles]:
    """Read what went wrong with the apps of a run; apps without any trouble are left out.

    Raises:
        RunDirError: The log cannot be read, or is damaged.
    """
    return _read_kind(run_dir, "troubles", AppTroubles)


def _read_kind(run_dir: Path, kind: str, into: type[_Entry]) -> list[_Entry]:
    path = run_dir / EPOCHS_FILE
    try:
        _, entries = read_epoch_log(path)
    except EpochLogError as error:
        raise RunDirError(str(error)) from error
    return _parse(path, entries, kind, into)


_FIX = "the files are not of one run; run the mix again."


def _parse(path: Path, entries: list[Entry], kind: str, into: type[_Entry]) -> list[_Entry]:
    """Return the entries of a kind, in order of time; fields that `into` lacks are left out."""
    try:
        parsed = TypeAdapter(list[into]).validate_python(  # type: ignore[valid-type]
            [entry for entry in entries if entry["kind"] == kind]
        )
    except ValidationError as error:
        fault = error.errors()[0]
        number, *field = fault["loc"]
        raise RunDirError(
            f"{path}: entry {number} of kind {kind!r}: {'.'.join(map(str, field))}: {fault['msg']}; "
            "the file is damaged, run the mix again."
        ) from error
    return sorted(parsed, key=lambda entry: entry.now_s)


def _trouble(entry: Entry) -> Trouble:
    kind, now_s = entry["kind"], entry["now_s"]
    words = [f"{name} {value}" for name, value in entry.items() if name not in ("kind", "now_s")]
    return Trouble(now_s=now_s, kind=kind.replace("_", " "), text=", ".join(words))


def _read_requests(path: Path, summary: Summary) -> tuple[dict[str, Records], dict[str, FloatArray]]:
    records, arrivals_s = {}, {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for app in summary.apps:
                records[app] = arrays[_RECORDS + app]
                arrivals_s[app] = arrays[_ARRIVALS + app]
    except KeyError as error:
        raise RunDirError(f"{path}: {error.args[0]}; {_FIX}") from error
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise RunDirError(f"{path}: is cut short or damaged: {error}. Run the mix again.") from error
    for app, array in records.items():
        if array.dtype != RECORD:
            raise RunDirError(f"{path}: {app}: not the records of this version; run the mix again.")
    return records, arrivals_s
