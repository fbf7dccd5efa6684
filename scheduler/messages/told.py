"""All that the manager is told."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.messages.effects import Ack
from scheduler.messages.events import Event
from scheduler.messages.reports import Telemetry


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """An epoch begins."""

    epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLost:
    """A worker died."""

    app: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerNotStarted:
    """A worker that was lost did not come back: its start failed."""

    app: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStarted:
    """A worker came back after it was lost, warm, in no gear."""

    app: str


Message = Telemetry | Ack | Event | Tick | WorkerLost | WorkerNotStarted | WorkerStarted
