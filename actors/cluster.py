"""`cluster.yaml`: reads and checks the description of a board.

The file describes one board and its units; it is not the file of Ray's cluster launcher, and Ray never reads it.

`load_board` accepts every board that is described correctly, since the simulator runs any. `check_host` also checks
that this machine is that board and can drive it. Every error is a `BoardError` that names the key and the fix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticKnownError

from actors.agent.devices import BACK_ENDS
from actors.agent.devices.cuda import cuda_devices
from scheduler.board import DVFS, Board, BoardUnit, IdleState, Thermal
from scheduler.errors import InputError, did_you_mean

_PACKAGED = Path(__file__).parent / "boards"


class BoardError(InputError):
    """A board is described wrongly, or this machine is not that board."""


_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")]
_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_NotNegative = Annotated[float, Field(ge=0)]
_Celsius = Annotated[float, Field(gt=-273.15)]


def _known_dvfs(word: object) -> object:
    """Let a word of `DVFS` pass, and refuse any other value with the words of pydantic's own check of a literal."""
    if word not in list(DVFS):
        *most, last = map(repr, DVFS)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(most)} or {last}"})
    return word


_Dvfs = Annotated[str, BeforeValidator(_known_dvfs)]


class _Entry(BaseModel):
    """A mapping in the file; its fields are the keys of `docs/boards.md`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _IdleStateEntry(_Entry):
    residency_us: _NotNegative
    exit_us: _NotNegative


class _ThermalEntry(_Entry):
    c_per_w: _Positive
    tau_s: _Positive
    trip_c: _Celsius
    polling_ms: _Positive = 1000.0
    static_per_c: _NotNegative = 0.0
    reference_c: _Celsius = 45.0


class _UnitEntry(_Entry):
    name: _Name
    kind: Literal["cpu", "gpu"]
    dvfs: _Dvfs
    mhz: Annotated[list[_Positive], Field(min_length=1)]
    cpus: list[Annotated[int, Field(ge=0)]] = []
    static_w: list[_NotNegative] | None = None
    dynamic_w: list[_NotNegative] | None = None
    speed: _Positive = 1.0
    memory_share: _Share = 0.0
    host: _Name | None = None
    domain: _Name | None = None
    transition_us: _NotNegative = 0.0
    idle_states: list[_IdleStateEntry] = []
    idle_share: _Share = 1.0
    thermal: _ThermalEntry | None = None


class _PowerEntry(_Entry):
    sensor: _Text = "none"
    base_w: _NotNegative | None = None
    source: _Text


class _BoardFile(_Entry):
    name: _Name
    units: Annotated[list[_UnitEntry], Field(min_length=1)]
    power: _PowerEntry
    ambient_c: _Celsius = 25.0
    speed_of: _Name = "host"


_ENTRIES: dict[str, type[_Entry]] = {
    "": _BoardFile,
    "units": _UnitEntry,
    "power": _PowerEntry,
    "idle_states": _IdleStateEntry,
    "thermal": _ThermalEntry,
}
_NOT_EMULATED = {"transition_us": 0.0, "idle_states": (), "idle_share": 1.0, "thermal": None}
"""Keys that only the simulator obeys, with the values that an emulated unit has."""


def default_board_path() -> Path:
    """Return `./cluster.yaml` if it exists, else the packaged board `two-core-host`."""
    here = Path("cluster.yaml")
    return here if here.exists() else _PACKAGED / "two-core-host.yaml"


def packaged_board(name: str) -> Board:
    """Return a board that comes with gearshift.

    Raises:
        BoardError: if there is no board of that name.
    """
    names = sorted(path.stem for path in _PACKAGED.glob("*.yaml"))
    if name not in names:
        raise BoardError(f"Board {name!r} is not packaged.{did_you_mean(name, names)} There are: {', '.join(names)}.")
    return load_board(_PACKAGED / f"{name}.yaml")


def load_board(path: str | os.PathLike[str]) -> Board:
    """Read a board from a file.

    Args:
        path: YAML file of the schema in `docs/boards.md`.

    Raises:
        BoardError: if the file cannot be read, or a value is wrong; it names file, key, value and fix.
    """
    file = os.fspath(path)
    content = _content(file)
    try:
        described = _BoardFile.model_validate(content)
        _check(described)
    except ValidationError as error:
        raise BoardError(f"{file}: {_explained(error)}") from None
    except BoardError as error:
        raise BoardError(f"{file}: {error}") from None
    return Board(
        name=described.name,
        units=tuple(_board_unit(unit) for unit in described.units),
        base_w=described.power.base_w,
        sensor=described.power.sensor,
        power_source=described.power.source,
        ambient_c=described.ambient_c,
        speed_of=described.speed_of,
    )


def check_host(board: Board) -> None:
    """Check that this machine is that board: this process may use its CPUs and GPUs, and can set its clocks.

    Raises:
        BoardError: if it is not; it names the unit and the fix.
    """
    allowed = os.sched_getaffinity(0)
    for unit in board.units:
        where = f"Board {board.name!r}, unit {unit.name!r}"
        elsewhere = "simulate it with --backend sim"
        if unit.dvfs not in BACK_ENDS:
            raise BoardError(
                f"{where}: dvfs {unit.dvfs!r} cannot be driven here yet; use one of: {', '.join(BACK_ENDS)}, "
                f"or {elsewhere}."
            )
        _check_emulated(unit, where, elsewhere)
        for cpu in unit.cpus:
            if cpu not in allowed:
                raise BoardError(
                    f"{where}: CPU {cpu} is not there, or not allowed to this process. Use some of "
                    f"{sorted(allowed)}, or {elsewhere}."
                )
    check_gpus(board)
    domains = [unit.domain for unit in board.units if unit.domain is not None]
    for domain in domains:
        if domains.count(domain) > 1:
            raise BoardError(
                f"Board {board.name!r}: units that share a clock (domain {domain!r}) cannot be driven here yet; "
                f"describe them as one unit, or simulate the board with --backend sim."
            )


def _check_emulated(unit: BoardUnit, where: str, elsewhere: str) -> None:
    """Refuse keys that emulation ignores: a run would differ from the described board without a word."""
    for key, emulated in _NOT_EMULATED.items():
        if unit.emulated and getattr(unit, key) != emulated:
            raise BoardError(
                f"{where}: {key} is simulated only, and not part of emulation. Leave it out, or {elsewhere}."
            )


def check_gpus(board: Board) -> None:
    """Check that this machine has a GPU for each GPU unit.

    Raises:
        BoardError: if it has not; it names the first unit without one and the fix.
    """
    gpus = [unit.name for unit in board.units if unit.kind == "gpu"]
    found = cuda_devices() if gpus else ()
    if len(found) < len(gpus):
        here = f"only {len(found)} ({', '.join(found)})" if found else "none"
        raise BoardError(
            f"Board {board.name!r}, unit {gpus[len(found)]!r}: kind 'gpu' needs a CUDA device of its own, and torch "
            f"finds {here} on this machine. Remove the unit, or simulate it with --backend sim."
        )


def _content(file: str) -> dict[Any, Any]:
    """Return the mapping that a YAML file holds."""
    try:
        with open(file, encoding="utf-8") as stream:
            content = yaml.safe_load(stream)
    except OSError as error:
        raise BoardError(f"{file}: cannot be read: {error.strerror}. Name a cluster.yaml.") from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise BoardError(f"{file}: is not text. Name a YAML file that describes a board.") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise BoardError(f"{file}: is not YAML{line}: {error.problem or error.context}.") from None
    except (RecursionError, ValueError) as error:  # nested too deep; an impossible date
        raise BoardError(f"{file}: is not YAML that can be read: {error}.") from None
    if content is None:
        raise BoardError(f"{file}: is empty. A board has the keys {_keys(_BoardFile)}.")
    if not isinstance(content, dict):
        raise BoardError(f"{file}: must be a mapping with the keys {_keys(_BoardFile)}, not {_shown(content)}.")
    return content


def _check(described: _BoardFile) -> None:
    """Check keys against each other; each error names the key to change."""
    _distinct([unit.name for unit in described.units], lambda place: f"units[{place}].name", "A unit")
    owner_of_cpu: dict[int, str] = {}
    for place, unit in enumerate(described.units):
        key = f"units[{place}]"
        if unit.kind not in DVFS[unit.dvfs].kinds:
            options = ", ".join(word for word, dvfs in DVFS.items() if unit.kind in dvfs.kinds)
            raise BoardError(f"{key}.dvfs must be one of {options} where kind is {unit.kind}, not {unit.dvfs!r}.")
        if (unit.kind == "cpu") != bool(unit.cpus):
            need = "list at least one CPU" if unit.kind == "cpu" else "be left out where kind is gpu"
            raise BoardError(f"{key}.cpus must {need}, not {unit.cpus!r}.")
        for at, cpu in enumerate(unit.cpus):
            if cpu in owner_of_cpu:
                raise BoardError(
                    f"{key}.cpus[{at}]: CPU {cpu} is listed twice, before in {owner_of_cpu[cpu]}. "
                    f"A CPU belongs to one unit."
                )
            owner_of_cpu[cpu] = f"{key}.cpus"
        _rising(f"{key}.mhz", unit.mhz, strictly=True)
        if not DVFS[unit.dvfs].settable and len(unit.mhz) > 1:
            raise BoardError(f"{key}.mhz must be one clock where dvfs is {unit.dvfs}, not {unit.mhz!r}.")
        _check_power(key, unit)
        _check_idle_states(key, unit)
        _check_thermal(key, unit, described.ambient_c)
        _check_host_unit(key, unit, described)


def _check_power(key: str, unit: _UnitEntry) -> None:
    if (unit.static_w is None) != (unit.dynamic_w is None):
        missing, given = ("static_w", "dynamic_w") if unit.static_w is None else ("dynamic_w", "static_w")
        raise BoardError(f"{key}.{missing} is missing beside {given}. Give both, or neither where power is unknown.")
    for name in ("static_w", "dynamic_w"):
        watts = getattr(unit, name)
        if watts is not None and len(watts) != len(unit.mhz):
            raise BoardError(
                f"{key}.{name} must have one figure for each of the {len(unit.mhz)} clocks in mhz, not {len(watts)}."
            )
    if unit.static_w is not None:
        _rising(f"{key}.static_w", unit.static_w, strictly=False)


def _check_idle_states(key: str, unit: _UnitEntry) -> None:
    for place, (shallow, deep) in enumerate(pairwise(unit.idle_states), start=1):
        if deep.residency_us <= shallow.residency_us:
            raise BoardError(
                f"{key}.idle_states must come with rising residency_us, but [{place}] = {deep.residency_us:g} follows "
                f"{shallow.residency_us:g}. Put the shallowest first."
            )


def _check_thermal(key: str, unit: _UnitEntry, ambient_c: float) -> None:
    if unit.thermal is None:
        return
    if unit.static_w is None:
        raise BoardError(f"{key}.thermal needs static_w and dynamic_w, since power is what heats. Add both.")
    if unit.thermal.trip_c <= ambient_c:
        raise BoardError(f"{key}.thermal.trip_c must be above ambient_c ({ambient_c:g}), not {unit.thermal.trip_c:g}.")


def _check_host_unit(key: str, unit: _UnitEntry, described: _BoardFile) -> None:
    if unit.host is None:
        return
    cpus = [other.name for other in described.units if other.kind == "cpu"]
    if unit.kind != "gpu":
        raise BoardError(f"{key}.host is for a GPU; leave it out where kind is cpu, not {unit.host!r}.")
    if unit.host not in cpus:
        raise BoardError(
            f"{key}.host must be the name of a CPU unit, one of {', '.join(cpus)}, not {unit.host!r}."
            f"{did_you_mean(unit.host, cpus)}"
        )


def _distinct(names: Sequence[str], key: Callable[[int], str], what: str) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise BoardError(f"{key(place)}: {what} named {name!r} is there already. Names must be unique.")


def _rising(key: str, figures: Sequence[float], *, strictly: bool) -> None:
    for place, (low, high) in enumerate(pairwise(figures), start=1):
        if high < low or (strictly and high == low):
            order = "rise" if strictly else "not fall"
            raise BoardError(f"{key} must {order} from clock to clock, but {key}[{place}] = {high:g} follows {low:g}.")


# The wanted value by pydantic's name of the problem; problems that are not here keep pydantic's words.
_MUST_BE = {
    "string_type": "text",
    "string_too_short": "text with something in it",
    "string_pattern_mismatch": "a name of letters, digits, '_', '.' and '-'",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "list_type": "a list in [brackets]",
    "too_short": "a list with something in it",
    "model_type": "a mapping",
}


def _explained(error: ValidationError) -> str:
    """Return one sentence on what is wrong and how to fix it.

    Of several problems it takes an unknown key first: a misspelt key is often also why another one is missing.
    """
    unknown = ("extra_forbidden", "invalid_key")
    problem = min(error.errors(include_url=False), key=lambda problem: problem["type"] not in unknown)
    location, value, context = problem["loc"], problem["input"], problem.get("ctx", {})
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if problem["type"] in unknown:
        parents = [part for part in location[:-1] if isinstance(part, str)]
        known = _keys(_ENTRIES[parents[-1] if parents else ""])
        fix = did_you_mean(str(location[-1]), known.split(", ")) or f" The keys there are {known}."
        return f"{key} is not a key of a board.{fix}"
    if problem["type"] == "missing":
        return f"{key} is missing. Add it."
    must_be = _MUST_BE.get(problem["type"], problem["msg"]).format(**context)
    fix = did_you_mean(str(value), re.findall(r"'(\w+)'", must_be)) if problem["type"] == "literal_error" else ""
    return f"{key} must be {must_be}, not {_shown(value)}.{fix}"


def _keys(entry: type[_Entry]) -> str:
    return ", ".join(entry.model_fields)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _board_unit(unit: _UnitEntry) -> BoardUnit:
    return BoardUnit(
        name=unit.name,
        kind=unit.kind,
        cpus=tuple(unit.cpus),
        dvfs=unit.dvfs,
        mhz=tuple(map(float, unit.mhz)),
        static_w=_floats(unit.static_w),
        dynamic_w=_floats(unit.dynamic_w),
        speed=unit.speed,
        memory_share=unit.memory_share,
        host=unit.host,
        domain=unit.domain,
        transition_us=unit.transition_us,
        idle_states=tuple(IdleState(**state.model_dump()) for state in unit.idle_states),
        idle_share=unit.idle_share,
        thermal=None if unit.thermal is None else Thermal(**unit.thermal.model_dump()),
    )


def _floats(figures: Iterable[float] | None) -> tuple[float, ...] | None:
    return None if figures is None else tuple(map(float, figures))
