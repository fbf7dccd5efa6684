"""Profiles that come with gearshift: measured on a named machine, or published and without a network to run.

Each is a file of `profiles/`, written by `workloads.make_profiles`. It says where its figures come from and what of
them is assumed. This module does not know how they were made, or what to do with them on a board.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from scheduler.errors import InputError
from scheduler.profile import Profile, RungProfile, ServiceTime

Mark = Literal["measured", "published", "digitised", "assumed"]
"""How a profile's times were come by: measured by gearshift, published, read off a published figure, or neither."""

_DATA = Path(__file__).parent / "profiles"
_QUANTILES = 50
"""Samples kept of each entry. A quantile above 98 % is the mean of the slowest 2 % of what was measured."""

PACKAGED = tuple(sorted(path.stem for path in _DATA.glob("*.json")))
"""The supernets that come with a profile."""


class StoredProfileError(InputError):
    """A file of a profile that can't be used."""


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Time(_Stored):
    kind: Literal["cpu", "gpu"]
    cores: PositiveInt
    engine: str
    samples_ms: Annotated[list[PositiveFloat], Field(min_length=1)]

    @model_validator(mode="after")
    def _rising(self) -> _Time:
        if self.samples_ms != sorted(self.samples_ms):
            raise ValueError("samples_ms must not fall")
        return self


class _Rung(_Stored):
    subnet: str
    accuracy: Annotated[float, Field(ge=0, le=1)] | None
    accuracy_source: Literal["measured", "predicted", "published", "unknown"]
    times: Annotated[list[_Time], Field(min_length=1)]


class _File(_Stored):
    schema_version: Literal[1] = 1
    supernet: str
    machine: str
    speed_of: str
    executable: bool
    mark: Mark
    source: str
    assumed: list[str]
    rungs: Annotated[list[_Rung], Field(min_length=1)]


def packaged_profile(supernet: str) -> Profile | None:
    """The profile that comes with gearshift for a supernet of that name; None where there is none."""
    if supernet not in PACKAGED:
        return None
    stored = _packaged(supernet)
    rungs = tuple(
        RungProfile(
            subnet=rung.subnet,
            accuracy=rung.accuracy,
            accuracy_source=rung.accuracy_source,
            times=tuple(
                ServiceTime(kind=time.kind, cores=time.cores, samples_ms=tuple(time.samples_ms), engine=time.engine)
                for time in rung.times
            ),
        )
        for rung in stored.rungs
    )
    return Profile(supernet=stored.supernet, machine=stored.machine, rungs=rungs, speed_of=stored.speed_of)


def is_executable(supernet: str) -> bool:
    """Whether there may be a network to run: False only for packaged figures without one."""
    return supernet not in PACKAGED or _packaged(supernet).executable


def write_packaged_profile(
    profile: Profile,
    path: str | os.PathLike[str],
    *,
    source: str,
    mark: Mark = "measured",
    assumed: tuple[str, ...] = (),
    executable: bool = True,
) -> None:
    """Writes a profile as one that is packaged, each entry thinned to at most 50 samples of the same shape.

    Args:
        profile: what to write.
        path: of the file; its stem is the supernet's name for `packaged_profile`.
        source: where the figures come from.
        mark: how they were come by.
        assumed: what of them nobody measured or published.
        executable: whether gearshift has the networks.
    """
    rungs = [
        _Rung(
            subnet=rung.subnet,
            accuracy=rung.accuracy,
            accuracy_source=rung.accuracy_source,  # type: ignore[arg-type]  # validated here
            times=[
                _Time(kind=time.kind, cores=time.cores, engine=time.engine, samples_ms=thinned(time.samples_ms))  # type: ignore[arg-type]
                for time in rung.times
            ],
        )
        for rung in profile.rungs
    ]
    stored = _File(
        supernet=profile.supernet,
        machine=profile.machine,
        speed_of=profile.speed_of,
        executable=executable,
        mark=mark,
        source=source,
        assumed=list(assumed),
        rungs=rungs,
    )
    Path(path).write_text(stored.model_dump_json(indent=1) + "\n", encoding="utf-8")


def thinned(samples_ms: tuple[float, ...]) -> list[float]:
    """At most 50 samples of the same distribution, rising: the means of that many equal shares of the samples."""
    if len(samples_ms) <= _QUANTILES:
        return list(samples_ms)
    fine = np.repeat(np.sort(samples_ms), _QUANTILES)
    return [round(float(mean), 4) for mean in fine.reshape(_QUANTILES, -1).mean(axis=1)]


@cache
def _packaged(supernet: str) -> _File:
    return _read(_DATA / f"{supernet}.json")


def _read(path: Path) -> _File:
    """A file of a profile.

    Raises:
        StoredProfileError: if it can't be used: file, key and what is wrong.
    """
    try:
        return _File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise StoredProfileError(
            f"{path}: {key}: {first['msg']}. Write it anew with workloads.make_profiles."
        ) from None
