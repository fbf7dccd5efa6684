"""What the files of profiles, packaged and cached ones, say about times that depend on a request's size."""

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
    model_serializer,
    model_validator,
)

_MEAN_1 = 1e-3
"""By how much the mean of residuals may be off 1: they are rounded, and few may be left of many."""

Sizes = Annotated[tuple[Annotated[PositiveFloat, FiniteFloat], ...], Field(min_length=1)]
"""Sizes of a stream's requests by their number."""


class SizedTime(BaseModel):
    """The keys of a time that depends on the size; a file has all three of them for it, or none."""

    base_ms: Annotated[NonNegativeFloat, FiniteFloat] | None = None
    per_size_ms: Annotated[NonNegativeFloat, FiniteFloat] = 0.0
    residuals: tuple[Annotated[PositiveFloat, FiniteFloat], ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> SizedTime:
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
        """Leave the three keys out where times do not depend on the size."""
        kept: dict[str, Any] = handler(self)
        return kept if self.base_ms is not None else {k: v for k, v in kept.items() if k not in SizedTime.model_fields}
