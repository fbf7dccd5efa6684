"""Powers of networks that were measured on a board, kept beside its profiles, and the activities that follow from them.

What is kept is watts, which a board's file does not change: a network that takes 0.9 W on a core has an activity of 0.9
where the file says a `dynamic_w` of 1 W, and of 0.75 once a calibration has found 1.2 W. A file is found again by what
its figures depend on: the machine, the board's name and units, the networks, and the engines' versions.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from actors.board_commands.network_power import CorePower, Work
from actors.paths import cache_dir
from actors.profiling import Ladder, machine_name
from actors.whole_file import whole
from scheduler.board import Board
from scheduler.profile import Profile, ServiceTime
from supernets import engines

_SCHEMA_VERSION = 1


class _StoredPower(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    subnet: str
    kind: Literal["cpu", "gpu"]
    cores: PositiveInt
    engine: str
    unit: str
    mhz: PositiveFloat
    core_w: PositiveFloat
    error_w: NonNegativeFloat

    def is_of(self, subnet: str, time: ServiceTime) -> bool:
        """Return True if it is the power of a sub-network in that form."""
        of = (self.subnet, self.kind, self.cores, self.engine)
        return of == (subnet, time.kind, time.cores, time.engine)


class _StoredPowers(BaseModel):
    model_config = ConfigDict(extra="forbid")
    schema_version: int = _SCHEMA_VERSION
    powers: list[_StoredPower]


def store_powers(supernet: str, ladder: Ladder, board: Board, powers: Mapping[Work, CorePower | str]) -> None:
    """Keep what was measured on a board, in place of what was kept before.

    Args:
        supernet: name of the supernet.
        ladder: its sub-networks.
        board: the board.
        powers: by network its power; one that is not known is not kept.
    """
    kept = [
        _StoredPower(
            subnet=work.subnet,
            kind=work.kind,  # type: ignore[arg-type]  # validated here
            cores=work.cores,
            engine=work.engine,
            unit=work.unit,
            mhz=power.mhz,
            core_w=power.core_w,
            error_w=power.error_w,
        )
        for work, power in powers.items()
        if isinstance(power, CorePower)
    ]
    path = _path(supernet, ladder, board)
    if not kept:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as fresh:
        fresh.write_text(_StoredPowers(powers=kept).model_dump_json())


def with_measured_activity(profile: Profile, ladder: Ladder, board: Board) -> Profile:
    """Return a profile with the activities that were measured on a board; the others are as they are.

    Args:
        profile: the profile of the ladder.
        ladder: its sub-networks.
        board: the board, by whose `dynamic_w` power becomes activity.
    """
    stored = _read(_path(profile.supernet, ladder, board))
    rungs = tuple(
        replace(rung, times=tuple(_measured(rung.subnet, time, stored, board) for time in rung.times))
        for rung in profile.rungs
    )
    return replace(profile, rungs=rungs) if stored else profile


def _measured(subnet: str, time: ServiceTime, stored: list[_StoredPower], board: Board) -> ServiceTime:
    power = next((one for one in stored if one.is_of(subnet, time)), None)
    unit = next((unit for unit in board.units if power is not None and unit.name == power.unit), None)
    if power is None or unit is None or unit.dynamic_w is None or power.mhz not in unit.mhz:
        return time
    dynamic_w = unit.dynamic_w[unit.mhz.index(power.mhz)]
    if dynamic_w <= 0:
        return time
    return replace(
        time,
        activity=power.core_w / dynamic_w,
        activity_source="measured",
        activity_error=power.error_w / dynamic_w,
    )


def _path(supernet: str, ladder: Ladder, board: Board) -> Path:
    depends_on = [
        machine_name(),
        os.cpu_count(),
        board.name,
        [(unit.name, unit.cpus) for unit in board.units],
        [(artifact.subnet, artifact.weights_hash, artifact.precision) for artifact, _, _ in ladder],
        [engines.engine_version(), *([engines.engine_version("torch")] if engines.installed("torch") else [])],
    ]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    return cache_dir() / "powers" / f"{supernet}-{key}.json"


def _read(path: Path) -> list[_StoredPower]:
    """Return what is kept at a path; nothing if there is none, or it can't be used."""
    try:
        stored = _StoredPowers.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return []
    return stored.powers if stored.schema_version == _SCHEMA_VERSION else []
