"""The trace of a run: the state of the board, sample by sample, in one file that outlives the run.

`trace.msgpack` is a stream of msgpack maps, as the epoch log is: compact, read without loading all of it, and from
any language. The header comes first, then one map a sample, rising in time, then an end mark, so that a trace that
was cut short is known as one:

- header: {format: "gearshift trace", schema, board, mix, policy, seed, source, period_ms}; `board` is what
  `cluster.yaml` says of it, field by field as in `scheduler.board.Board`
- sample: {at_s, units {NAME: {mhz, busy, cores_busy, temp_c, max_mhz, cpus_online, other_load, governor}},
  rails {NAME: watts}, apps {NAME: as in the epoch log}}
- end: {samples: how many there were}

A sample's clock, temperature, limits and governor are those at `at_s`; busy shares and rails are means since the
sample before. Rails hold measured power and nothing else: modelled power is not recorded, since it follows from the
rest. `workloads.results.environment` makes events of a trace.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Literal

import msgpack
from pydantic import TypeAdapter, ValidationError

from actors.whole_file import whole
from scheduler.board import Board, BoardUnit
from scheduler.errors import InputError
from scheduler.messages import Happening, UnitLimited
from workloads.results.epoch_log import Entry, read_epoch_log
from workloads.results.run_dir import EPOCHS_FILE

TRACE_FILE = "trace.msgpack"
SCHEMA = 2

Source = Literal["measured", "emulated", "simulated"]

_FORMAT = "gearshift trace"
_FIX = "give the trace.msgpack of a run that has ended, or run the mix again."


class TraceError(InputError):
    """A trace cannot be used; the message names the file, the fault in it, and the fix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitSample:
    """One unit in a sample.

    Attributes:
        mhz: its clock.
        busy: share of the time of its cores online that was taken since the last sample, 0 to 1.
        cores_busy: the same share for each core; None where only the mean is known.
        temp_c: its temperature; None where unknown.
        max_mhz: the highest clock that it may take; None is no limit.
        cpus_online: the CPUs in use, a part of `BoardUnit.all_cpus`; None is all.
        other_load: share of its core time that others take, 0 to 1.
        governor: governor that sets the clock; None where the manager set it.
    """

    mhz: float
    busy: float
    cores_busy: tuple[float, ...] | None = None
    temp_c: float | None = None
    max_mhz: float | None = None
    cpus_online: tuple[int, ...] | None = None
    other_load: float = 0.0
    governor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A board at one moment.

    Attributes:
        at_s: time of the sample, board time.
        units: units by name.
        rails: measured power in watts by the sensor's name for the rail; empty where there is no sensor.
        apps: state of each application, as in the epoch log.
    """

    at_s: float
    units: Mapping[str, UnitSample]
    rails: Mapping[str, float] = field(default_factory=dict)
    apps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardTrace:
    """A whole trace; checked when it is made.

    Attributes:
        board: the board that was sampled.
        mix: name of the mix that ran.
        policy: name of the policy that decided.
        seed: seed of arrivals and service times.
        source: `measured` on real clocks, `emulated` or `simulated`.
        period_ms: median time between two samples.
        samples: rising in time, at least one.
    """

    board: Board
    mix: str
    policy: str
    seed: int
    source: Source
    period_ms: float
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise TraceError(f"there is no sample in it; {_FIX}")
        for number, sample in enumerate(self.samples, start=1):
            _check_sample(number, sample, self.board)
        for number, (before, after) in enumerate(pairwise(self.samples), start=2):
            if after.at_s <= before.at_s:
                raise TraceError(
                    f"sample {number}: at_s {after.at_s!r} does not come after {before.at_s!r} of sample {number - 1}; "
                    "put the samples in order of time."
                )
        rails = self.samples[0].rails.keys()
        for number, sample in enumerate(self.samples, start=1):
            if sample.rails.keys() != rails:
                raise TraceError(
                    f"sample {number}: rails must be those of sample 1 ({', '.join(rails) or 'none'}), not "
                    f"{', '.join(sample.rails) or 'none'}; give each sample every rail."
                )


def _check_sample(number: int, sample: Sample, board: Board) -> None:
    where = f"sample {number}"
    if not math.isfinite(sample.at_s):
        raise TraceError(f"{where}: at_s must be a finite number, not {sample.at_s!r}; {_FIX}")
    units = [unit.name for unit in board.units]
    for name, unit in sample.units.items():
        if name not in units:
            raise TraceError(f"{where}: unit {name!r} is not on board {board.name!r}; it has {', '.join(units)}.")
        cores = board.unit(name).cores
        strange = sorted(set(unit.cpus_online or ()) - set(board.unit(name).all_cpus))
        if strange:
            raise TraceError(
                f"{where}: {name}: cpus_online must be some of {list(board.unit(name).all_cpus)}, not {strange}; "
                "leave it out where all are."
            )
        if unit.cores_busy is not None and len(unit.cores_busy) != cores:
            raise TraceError(
                f"{where}: {name}: cores_busy must have one share for each of its {cores} cores, not "
                f"{len(unit.cores_busy)}; give all, or leave it out."
            )
        for share in (unit.busy, unit.other_load, *(unit.cores_busy or ())):
            if not 0 <= share <= 1:
                raise TraceError(f"{where}: {name}: a share of time must be between 0 and 1, not {share!r}.")
        if not 0 < unit.mhz < math.inf:
            raise TraceError(f"{where}: {name}: mhz must be above 0, not {unit.mhz!r}.")
    for rail, power_w in sample.rails.items():
        if not 0 <= power_w < math.inf:
            raise TraceError(
                f"{where}: rail {rail!r} must be at least 0 W, not {power_w!r}; is the sensor's sign right?"
            )


# ---------------------------------------------------------------- files


def write_trace(path: Path, trace: BoardTrace) -> None:
    """Write a trace; a file that is there is overwritten.

    Raises:
        OSError: it can't be written; no half of it is left.
    """
    pack = msgpack.Packer().pack
    header = {name: getattr(trace, name) for name in ("mix", "policy", "seed", "source", "period_ms")}
    with whole(path) as fresh, fresh.open("wb") as file:
        file.write(pack({"format": _FORMAT, "schema": SCHEMA, "board": asdict(trace.board), **header}))
        for sample in trace.samples:
            file.write(pack(asdict(sample)))
        file.write(pack({"samples": len(trace.samples)}))


def read_trace(path: Path) -> BoardTrace:
    """Read a trace.

    Raises:
        TraceError: the file cannot be read, is no trace, is cut short or damaged, or holds values that cannot be: times
            out of order, a unit that is not on its board, power below 0.
    """
    try:
        with path.open("rb") as file:
            maps = list(msgpack.Unpacker(file))
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}.") from error
    except (msgpack.UnpackException, ValueError) as error:
        raise TraceError(f"{path}: is no trace, or damaged: {error}; {_FIX}") from error
    header = maps[0] if maps else None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise TraceError(f"{path}: this is no trace; {_FIX}")
    if header.get("schema") != SCHEMA:
        raise TraceError(f"{path}: schema must be {SCHEMA}, not {header.get('schema')!r}; {_FIX}")
    *samples, end = maps[1:] or [None]
    if end != {"samples": len(samples)}:
        raise TraceError(f"{path}: is cut short after {len(maps) - 1} samples; {_FIX}")
    try:
        return _READER.validate_python({**header, "samples": samples})
    except ValidationError as error:
        raise TraceError(f"{path}: {_fault(error)}") from error


_READER = TypeAdapter(BoardTrace)


def _fault(error: ValidationError) -> str:
    """Return the first fault: our own message where a value cannot be, else the field that is of another type."""
    first = error.errors()[0]
    own = first.get("ctx", {}).get("error")
    return str(own) if isinstance(own, TraceError) else f"{'.'.join(map(str, first['loc']))}: {first['msg']}; {_FIX}"


# ---------------------------------------------------------------- runs


def record_run(
    run_dir: Path, board: Board, events: Iterable[tuple[float, Happening]], *, simulated: bool = False
) -> BoardTrace | None:
    """Make the trace of a run directory from its epoch log, and write it there.

    Args:
        run_dir: directory that holds the whole epoch log.
        board: the board that the run was on.
        events: (time in seconds, event) of the mix, as the manager or the board alone was told of them. The mix's
            limits of units, and the load of other programs, are taken from them; the board's own limits are in the log.
            On real clocks that load is the load that the kernel counted on the unit's CPUs, less that of the requests.
        simulated: True if the run was a simulation.

    Returns:
        The trace; None for a run that ended before its second epoch.

    Raises:
        EpochLogError: the log cannot be read.
    """
    header, entries = read_epoch_log(run_dir / EPOCHS_FILE)
    source: Source = "simulated" if simulated else "emulated" if header.emulated else "measured"
    samples = _with_same_rails(_samples(entries, events, board if source == "measured" else None))
    if len(samples) < 2:
        return None
    trace = BoardTrace(
        board=board,
        mix=header.mix,
        policy=header.policy,
        seed=header.seed,
        source=source,
        period_ms=1000 * median(after.at_s - before.at_s for before, after in pairwise(samples)),
        samples=samples,
    )
    write_trace(run_dir / TRACE_FILE, trace)
    return trace


def _samples(
    entries: Sequence[Entry], events: Iterable[tuple[float, Happening]], real: Board | None
) -> Iterator[Sample]:
    """Yield one sample for each epoch with telemetry of the units.

    `real` is the board if its clocks are real, so that the host's load is the board's; else None.
    """
    limits = [(at_s, event.change) for at_s, event in events if isinstance(event.change, UnitLimited)]
    governors: dict[str, str | None] = {}
    in_force: dict[str, UnitLimited] = {}
    last_s = -math.inf
    for entry in entries:
        if entry["kind"] == "clock":
            governors[entry["unit"]] = entry["to"] if isinstance(entry["to"], str) else None
        if entry["kind"] != "epoch" or not entry["units"] or entry["now_s"] <= last_s:
            continue
        last_s = entry["now_s"]
        while limits and limits[0][0] <= last_s:
            limit = limits.pop(0)[1]
            in_force[limit.unit] = limit
        units = {
            name: _unit_sample(seen, governors.get(name), in_force.get(name)) for name, seen in entry["units"].items()
        }
        if real is not None and entry.get("host"):
            units = {
                name: _beside_others(unit, real.unit(name), entry["host"]["cores"]) for name, unit in units.items()
            }
        yield Sample(at_s=last_s, units=units, rails=entry.get("rails", {}), apps=entry["apps"])


def _with_same_rails(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Return the samples with the rails alone that all of them have; power below 0 is taken for none."""
    taken = list(samples)
    known = [{rail for rail, power_w in sample.rails.items() if power_w >= 0} for sample in taken]
    always = set.intersection(*known) if known else set()
    return tuple(
        replace(sample, rails={rail: sample.rails[rail] for rail in sorted(always)}) if sample.rails else sample
        for sample in taken
    )


def _unit_sample(seen: Mapping[str, Any], governor: str | None, limit: UnitLimited | None) -> UnitSample:
    """Return a unit as an epoch saw it, under the limits of the mix and those of the board together."""
    asked = (limit.max_mhz, limit.cpus_online) if limit else (None, None)
    caps = [cap for cap in (asked[0], seen.get("max_mhz")) if cap is not None]
    left = [set(cpus) for cpus in (asked[1], seen.get("cpus_online")) if cpus is not None]
    return UnitSample(
        mhz=seen["mhz"],
        busy=seen["busy"],
        cores_busy=seen.get("cores_busy"),
        temp_c=seen.get("temp_c"),
        governor=governor,
        max_mhz=min(caps, default=None),
        cpus_online=tuple(sorted(set.intersection(*left))) if left else None,
        other_load=limit.other_load if limit else 0.0,
    )


def _beside_others(sample: UnitSample, spec: BoardUnit, cores: Sequence[float | None]) -> UnitSample:
    """Return the sample with the load that the kernel counted on the unit's CPUs, less that of the requests.

    CPUs that were away are left out; where all were, nothing was counted.
    """
    known = [share for cpu in spec.cpus if cpu < len(cores) and (share := cores[cpu]) is not None]
    if not known:
        return sample
    counted = math.fsum(known) / len(known)
    return replace(sample, other_load=min(1.0, max(0.0, counted - sample.busy)))
