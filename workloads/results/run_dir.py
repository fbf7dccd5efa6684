"""A run directory, read back whole: `summary.json`, `epochs.msgpack` and `requests.npz`.

What a run that was killed left is read as far as it goes, with a line on each thing that is missing. A file that is
damaged or of another version becomes one `RunDirError` that names it. This module knows how a run is stored; it draws
no conclusions from it.
"""

from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from scheduler.admission import Admission
from scheduler.views import Gear
from workloads.mix.arrivals import FloatArray
from workloads.results.concessions import Concession, OutlookNote, concessions
from workloads.results.epoch_log import Entry, EpochLogError, LogHeader, begun_log, read_epoch_log
from workloads.results.salvage import CUT_SHORT, Remains, SalvageError, salvage
from workloads.results.stored_requests import (
    EPOCHS_FILE,
    FIX,
    REQUESTS_FILE,
    SUMMARY_FILE,
    Records,
    RunDirError,
    read_requests,
    write_requests,
    write_run,
)
from workloads.results.summary import Summary, SummaryError, read_summary
from workloads.results.thinning import THINNED, Thinned
from workloads.results.troubles import AppTroubles, Trouble, troubles_of

__all__ = [
    "EPOCHS_FILE",
    "REQUESTS_FILE",
    "SUMMARY_FILE",
    "ClockChange",
    "CutShort",
    "EnergyNote",
    "EpochPoint",
    "EventMark",
    "GearChange",
    "Records",
    "RunDirError",
    "Stall",
    "StoredRun",
    "Trouble",
    "UnitEnergy",
    "UnitPoint",
    "WorkerLoss",
    "read_energy_note",
    "read_run",
    "write_requests",
    "write_run",
]

LATE_EPOCHS = 5
"""A log whose last epoch is longer ago than this, in epochs, did not come to its end."""


class _Timed(Protocol):
    """Any entry: it has a time."""

    @property
    def now_s(self) -> float: ...


_Entry = TypeVar("_Entry", bound=_Timed)


def _gear_fields(entry: object) -> object:
    """Return the fields of a gear that the log holds as [subnet, unit, cores], for pydantic to check."""
    return asdict(Gear.of(entry)) if isinstance(entry, list) else entry


LoggedGear = Annotated[Gear, BeforeValidator(_gear_fields)]


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
    before: Annotated[LoggedGear | None, Field(alias="from")]
    after: Annotated[LoggedGear | None, Field(alias="to")]
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
class CutShort:
    """The end of a run that did not come to its own."""

    now_s: float
    reason: str


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
        cut_short: Reason why the run did not come to its end; None if it did, or if nothing was left to say it.
        missing: Lines on what the directory lacks.
        thinned: The part of the log that is thinned; None if it has every epoch.
        admissions: Answers to apps that joined, and news of what gave way.
        given: What each app gave; None where the log does not say.
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
    cut_short: str | None = None
    missing: tuple[str, ...] = ()
    thinned: Thinned | None = None
    admissions: tuple[Admission, ...] = ()
    given: tuple[Concession, ...] | None = None


def read_run(run_dir: str | PathLike[str]) -> StoredRun:
    """Read a run directory. A run that did not come to its end is read as far as it goes.

    Raises:
        RunDirError: The directory is missing, holds too little, or one of its files is damaged or of another schema.
    """
    path = Path(run_dir)
    if not path.is_dir():
        raise RunDirError(f"{path}: there is no such directory; give what `gearshift run --out DIR` wrote.")
    has_summary, has_log = (path / SUMMARY_FILE).is_file(), begun_log(path / EPOCHS_FILE)
    if not has_log and not has_summary:
        raise RunDirError(
            f"{path}: holds neither {SUMMARY_FILE} nor {EPOCHS_FILE}; give what `gearshift run --out DIR` wrote."
        )
    try:
        summary = read_summary(path / SUMMARY_FILE) if has_summary else None
        header, entries = read_epoch_log(path / EPOCHS_FILE) if has_log else (None, [])
    except (SummaryError, EpochLogError) as error:
        raise RunDirError(str(error)) from error
    if summary is not None and header is not None and not _fit(summary, header):
        raise RunDirError(f"{path / EPOCHS_FILE}: has other apps or units than {SUMMARY_FILE}; {FIX}")

    def of_kind(kind: str, into: type[_Entry]) -> list[_Entry]:
        return parse_entries(path / EPOCHS_FILE, entries, kind, into)

    epochs, gears, cuts = of_kind("epoch", EpochPoint), of_kind("gear", GearChange), of_kind(CUT_SHORT, CutShort)
    apps = list(summary.apps if summary is not None else header.ladders if header is not None else ())
    records, arrivals_s, missing = read_requests(path, apps, ended=summary is not None)
    if summary is None:
        assert header is not None  # one of both is there
        try:
            summary, arrivals_s = salvage(
                Remains(header=header, entries=entries, records=records, scheduled_s=arrivals_s)
            )
        except SalvageError as error:
            raise RunDirError(
                f"{path}: there is no {SUMMARY_FILE}, and none can be made: {str(error).rstrip('.')}."
            ) from error
        missing.insert(0, f"{SUMMARY_FILE}: made of the log and the records, up to {summary.duration_s:.2f} s")
    if header is None:
        missing.append(f"{EPOCHS_FILE}: no gears, clocks and events are known")
    elif epochs and epochs[-1].now_s < summary.duration_s - LATE_EPOCHS * header.epoch_ms / 1000:
        missing.append(f"{EPOCHS_FILE}: ends at {epochs[-1].now_s:.2f} s of {summary.duration_s:g} s")
    return StoredRun(
        path=path,
        summary=summary,
        header=header or _header_of(summary),
        epochs=epochs,
        gears=gears,
        clocks=of_kind("clock", ClockChange),
        events=of_kind("event", EventMark),
        losses=of_kind("lost", WorkerLoss),
        troubles=troubles_of(path / EPOCHS_FILE, entries),
        stalls=of_kind("stall", Stall),
        energy=next(iter(of_kind("energy", EnergyNote)), None),
        records=records,
        arrivals_s=arrivals_s,
        cut_short=cuts[-1].reason if cuts else None,
        missing=tuple(missing),
        thinned=next(iter(of_kind(THINNED, Thinned)), None),
        admissions=tuple(of_kind("admission", Admission)),
        given=_given(path, entries, summary),
    )


def _given(path: Path, entries: list[Entry], summary: Summary) -> tuple[Concession, ...] | None:
    noted = [entry for entry in entries if entry["kind"] == "decision" and "outlook" in entry]
    if not noted:
        return None  # a log from before it was noted, or of a run without a decision
    return tuple(concessions(parse_entries(path / EPOCHS_FILE, noted, "decision", OutlookNote), summary))


def _fit(summary: Summary, header: LogHeader) -> bool:
    return list(header.units_mhz) == list(summary.units) and header.ladders.keys() >= summary.apps.keys()


def _header_of(summary: Summary) -> LogHeader:
    """Return what a summary says of the facts in the header of a log that is missing."""
    return LogHeader(
        mix=summary.mix,
        board=summary.board,
        policy=summary.policy,
        seed=summary.seed,
        time_scale=summary.time_scale,
        epoch_ms=1000 * summary.duration_s / max(1, summary.manager.epochs),
        emulated=False,
        power_source="unknown",
        units_mhz={name: (unit.mean_mhz,) for name, unit in summary.units.items()},
        ladders={name: tuple(app.subnets) for name, app in summary.apps.items()},
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


def read_given(run_dir: Path, summary: Summary) -> tuple[Concession, ...]:
    """Read what each app of a run gave; none where the log does not say.

    Raises:
        RunDirError: The log cannot be read, or is damaged.
    """
    try:
        _, entries = read_epoch_log(run_dir / EPOCHS_FILE)
    except EpochLogError as error:
        raise RunDirError(str(error)) from error
    return _given(run_dir, entries, summary) or ()


def _read_kind(run_dir: Path, kind: str, into: type[_Entry]) -> list[_Entry]:
    path = run_dir / EPOCHS_FILE
    try:
        _, entries = read_epoch_log(path)
    except EpochLogError as error:
        raise RunDirError(str(error)) from error
    return parse_entries(path, entries, kind, into)


def parse_entries(path: Path, entries: list[Entry], kind: str, into: type[_Entry]) -> list[_Entry]:
    """Return the entries of a kind, in order of time; fields that `into` lacks are left out.

    Raises:
        RunDirError: One of them is damaged.
    """
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
