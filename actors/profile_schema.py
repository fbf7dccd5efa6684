"""Keys that the files of profiles, packaged and cached ones, have for some times and leave out for others."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

_MEAN_1 = 1e-3
"""By how much the mean of residuals may be off 1: they are rounded, and few may be left of many."""

Sizes = Annotated[tuple[Annotated[PositiveFloat, FiniteFloat], ...], Field(min_length=1)]
"""Sizes of a stream's requests by their number."""


class TimeKeys(BaseModel):
    """The keys of a time that depends on the size, all three or none, and the network's own memory share if known.

    Attributes:
        base_ms: see `ServiceTime`.
        per_size_ms: see `ServiceTime`.
        residuals: see `ServiceTime`.
        memory_share: see `ServiceTime`: 0.7 where 70 % of the time at the top clock is as long at any other. It comes
            from times of the network at two clocks.
    """

    base_ms: Annotated[NonNegativeFloat, FiniteFloat] | None = None
    per_size_ms: Annotated[NonNegativeFloat, FiniteFloat] = 0.0
    residuals: tuple[Annotated[PositiveFloat, FiniteFloat], ...] = ()
    memory_share: float | None = None

    @field_validator("memory_share")
    @classmethod
    def _is_a_share(cls, share: float | None) -> float | None:
        if share is not None and not 0 <= share <= 1:
            raise ValueError(
                f"memory_share is {share!r}; it must be from 0 to 1. Where it is not known leave it out: the unit's is "
                "then taken"
            )
        return share

    @model_validator(mode="after")
    def _whole(self) -> TimeKeys:
        sized = self.per_size_ms > 0
        if (self.base_ms is not None) != sized or bool(self.residuals) != sized:
            raise ValueError(
                f"base_ms is {self.base_ms!r}, per_size_ms is {self.per_size_ms!r} and there are {len(self.residuals)} "
                "residuals; where times depend on the size all three are needed, per_size_ms above 0, and else none"
            )
        if list(self.residuals) != sorted(self.residuals):
            raise ValueError("residuals must not fall")
        if sized and abs(math.fsum(self.residuals) / len(self.residuals) - 1) > _MEAN_1:
            raise ValueError(
                f"the mean of residuals is {math.fsum(self.residuals) / len(self.residuals):.4g}; it must be 1"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what says nothing: three keys where times do not depend on the size, and an unknown share."""
        kept: dict[str, Any] = handler(self)
        nothing = set() if self.base_ms is not None else {"base_ms", "per_size_ms", "residuals"}
        nothing |= {"memory_share"} if self.memory_share is None else set()
        return {key: value for key, value in kept.items() if key not in nothing}
