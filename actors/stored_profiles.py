"""Profiles that come with gearshift: measured on a named machine, or published and without a network to run.

Each is a file in `profiles/`, written by `workloads.make_profiles`. It states where its figures come from and which of
them are assumed. This module does not know how they were made, or what they mean on a board.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from actors.profile_schema import Sizes, TimeKeys
from scheduler.errors import InputError
from scheduler.profile import Profile, RungProfile, ServiceTime

Mark = Literal["measured", "published", "digitised", "assumed"]
"""Origin of a profile's times: measured by gearshift, published, read off a published figure, or none of these."""

_DATA = Path(__file__).parent / "profiles"
_QUANTILES = 50
"""Most samples kept of each entry. A quantile above 98 % is then the mean of the slowest 2 % of the samples."""
_QUANTILES_SIZED = 200
"""Most samples and residuals kept of an entry whose times depend on the size, which have a long tail: a quantile up to
99.5 % is still a figure of its own."""

PACKAGED = tuple(sorted(path.stem for path in _DATA.glob("*.json")))
"""Names of the supernets that come with a profile."""


class StoredProfileError(InputError):
    """The file of a packaged profile can't be used."""


class _Stored(BaseModel):
    """A mapping in the file of a profile."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Time(_Stored, TimeKeys):
    kind: Literal["cpu", "gpu"]
    cores: PositiveInt
    engine: str
    samples_ms: Annotated[list[PositiveFloat], Field(min_length=1)]
    activity: PositiveFloat = 1.0
    activity_source: Literal["measured", "published", "assumed"] = "assumed"

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
    sizes: Sizes = (1.0,)

    @model_serializer(mode="wrap")
    def _without_one_size(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the sizes out where all are alike."""
        kept: dict[str, Any] = handler(self)
        return kept if self.sizes != (1.0,) else {key: value for key, value in kept.items() if key != "sizes"}


def packaged_profile(supernet: str) -> Profile | None:
    """Return the profile that comes with gearshift for a supernet; None if there is none."""
    if supernet not in PACKAGED:
        return None
    stored = _packaged(supernet)
    rungs = tuple(
        RungProfile(
            subnet=rung.subnet,
            accuracy=rung.accuracy,
            accuracy_source=rung.accuracy_source,
            times=tuple(
                ServiceTime(**time.model_dump(exclude={"samples_ms"}), samples_ms=tuple(time.samples_ms))
                for time in rung.times
            ),
        )
        for rung in stored.rungs
    )
    return Profile(
        supernet=stored.supernet, machine=stored.machine, rungs=rungs, speed_of=stored.speed_of, sizes=stored.sizes
    )


def is_executable(supernet: str) -> bool:
    """Return False for a supernet of which only published figures are packaged, and no network; else True."""
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
    """Write a profile as a packaged one, each entry thinned to fewer samples of the same distribution.

    At most 50 are kept, or 200 and as many residuals where times depend on the size.

    Args:
        profile: the profile.
        path: file to write; its stem is the name of the supernet for `packaged_profile`.
        source: where the figures come from.
        mark: origin of the times.
        assumed: the parts that were neither measured nor published, one text each.
        executable: True if gearshift has the networks.
    """
    rungs = [
        _Rung(
            subnet=rung.subnet,
            accuracy=rung.accuracy,
            accuracy_source=rung.accuracy_source,  # type: ignore[arg-type]  # validated here
            times=[_packaged_time(time) for time in rung.times],
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
        sizes=profile.sizes,
    )
    Path(path).write_text(stored.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _packaged_time(time: ServiceTime) -> _Time:
    # Power is measured on one board, and a packaged profile is of many: how far off its activity is there is not known.
    kept = {key: figure for key, figure in asdict(time).items() if key != "activity_error"}
    at_most = _QUANTILES if time.base_ms is None else _QUANTILES_SIZED
    residuals = tuple(thinned(time.residuals, at_most, digits=6))
    return _Time(**{**kept, "samples_ms": thinned(time.samples_ms, at_most), "residuals": residuals})


def thinned(samples: tuple[float, ...], at_most: int = _QUANTILES, *, digits: int = 4) -> list[float]:
    """Return at most so many samples of the same distribution and mean, rising.

    Of 100 samples, the first of 50 is the mean of the two fastest, the second that of the next two, and so on.

    Args:
        samples: the samples, rising.
        at_most: how many to return at most.
        digits: decimals of the means.
    """
    if len(samples) <= at_most:
        return list(samples)
    # Each sample is repeated so often that any number of samples divides into equal shares.
    fine = np.repeat(np.sort(samples), at_most)
    return [round(float(mean), digits) for mean in fine.reshape(at_most, -1).mean(axis=1)]


@cache
def _packaged(supernet: str) -> _File:
    return _read(_DATA / f"{supernet}.json")


def _read(path: Path) -> _File:
    """Read the file of a profile.

    Raises:
        StoredProfileError: if it can't be used; it names file, key and problem.
    """
    try:
        return _File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise StoredProfileError(
            f"{path}: {key}: {first['msg']}. Write it anew with workloads.make_profiles."
        ) from None
