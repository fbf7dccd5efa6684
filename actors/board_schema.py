"""The keys of a board's file, each with the values that it may have by itself; `docs/boards.md` explains them.

It does not know how keys hang together: that is `actors.board_checks`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticKnownError

from scheduler.dvfs import DVFS
from scheduler.errors import InputError


class BoardError(InputError):
    """A board is described wrongly, or this machine is not that board."""


_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)]
_Number = Annotated[int, Field(ge=0)]
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


def _board_or_units(covers: object) -> object:
    """Let the word `board` and lists of text pass, and refuse any other value in one sentence, not in one for each."""
    if covers != "board" and not (isinstance(covers, list) and all(isinstance(unit, str) for unit in covers)):
        raise PydanticKnownError("literal_error", {"expected": "'board' or a list of names of units"})
    return covers


def _as_text(address: object) -> object:
    """Return the text of an address that YAML has read as a number: `0x40` without quotes is 64."""
    number = isinstance(address, int) and not isinstance(address, bool)
    return f"{address:#04x}" if number else address


_Dvfs = Annotated[str, BeforeValidator(_known_dvfs)]


class Entry(BaseModel):
    """A mapping in the file; its fields are the keys of `docs/boards.md`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class IdleStateEntry(Entry):
    """One of `idle_states`."""

    residency_us: _NotNegative
    exit_us: _NotNegative


class ThermalEntry(Entry):
    """`thermal` of a unit."""

    c_per_w: _Positive
    tau_s: _Positive
    trip_c: _Celsius
    polling_ms: _Positive = 1000.0
    static_per_c: _NotNegative = 0.0
    reference_c: _Celsius = 45.0


class UnitEntry(Entry):
    """One of `units`."""

    name: _Name
    kind: Literal["cpu", "gpu"]
    dvfs: _Dvfs
    mhz: Annotated[list[_Positive], Field(min_length=1)]
    cpus: list[_Number] = []
    static_w: list[_NotNegative] | None = None
    dynamic_w: list[_NotNegative] | None = None
    speed: _Positive = 1.0
    speed_at_mhz: _Positive | None = None
    memory_share: _Share = 0.0
    host: _Name | None = None
    domain: _Name | None = None
    may_switch_off: bool = False
    may_lock: bool = False
    transition_us: _NotNegative = 0.0
    idle_states: list[IdleStateEntry] = []
    idle_share: _Share = 1.0
    off_w: _NotNegative | None = None
    off_ms: _NotNegative = 0.0
    on_ms: _NotNegative = 0.0
    thermal: ThermalEntry | None = None


class SensorEntry(Entry):
    """One of `power.sensors`."""

    rail: _Text
    driver: Literal["rapl", "ina3221", "ina2xx", "nvml", "replay"]
    covers: Annotated[Literal["board"] | list[str], BeforeValidator(_board_or_units)]
    address: Annotated[str | None, BeforeValidator(_as_text)] = None
    file: _Text | None = None


class PowerEntry(Entry):
    """`power`: what is known of the board's power, and how it is measured."""

    sensor: Literal["none", "rapl", "ina3221", "ina2xx", "nvml"] = "none"
    sensors: list[SensorEntry] = []
    base_w: _NotNegative | None = None
    source: _Text


class ModeEntry(Entry):
    """One of `modes`."""

    name: _Name
    id: _Number
    cpus: list[_Number] | None = None
    min_mhz: dict[str, _Positive] = {}
    max_mhz: dict[str, _Positive] = {}
    emc_mhz: _Positive | None = None
    emc_w: float | None = None


class BoardEntry(Entry):
    """The file."""

    name: _Name
    units: Annotated[list[UnitEntry], Field(min_length=1)]
    power: PowerEntry
    modes: list[ModeEntry] = []
    mode: _Name | None = None
    sources: dict[str, _Text] = {}
    ambient_c: _Celsius = 25.0
    speed_of: _Name = "host"


ENTRIES: dict[str, type[Entry]] = {
    "": BoardEntry,
    "units": UnitEntry,
    "power": PowerEntry,
    "sensors": SensorEntry,
    "modes": ModeEntry,
    "idle_states": IdleStateEntry,
    "thermal": ThermalEntry,
}
"""Each mapping by the key that holds it."""

MARKS = ("measured", "published", "fitted", "modelled", "inferred", "assumed", "unknown")
"""Each source begins with one of these words: how a figure is known."""
