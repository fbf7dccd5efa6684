"""The manager's messages and effects: all data that goes in and out of `Manager.on`.

Times are seconds of board time. The manager performs nothing itself: a driver (the Ray manager actor, or the
simulator) carries the effects out and brings the answers back as messages. It carries out the effects for one
application, and for one unit, in the order given; an answer may be late, repeated or lost.

The `plan` of an effect, and of the answer to it, is the number of the plan that it serves. Plans are numbered from 1;
one epoch of the manager may have no plan or several.
"""

from __future__ import annotations

from scheduler.messages.effects import (
    Ack,
    Activate,
    Activated,
    ClockSet,
    Effect,
    Hints,
    Log,
    Pin,
    Pinned,
    Prepare,
    Prepared,
    SetClock,
    StartWorker,
    StopWorker,
    SwitchUnit,
    UnitSwitched,
)
from scheduler.messages.events import (
    AmbientChanged,
    AppJoined,
    AppLeft,
    BoardEvent,
    Change,
    Event,
    Happening,
    HiddenEvent,
    PowerCapped,
    TargetChanged,
    UnitLimited,
    UnitSlowed,
)
from scheduler.messages.reports import (
    AppTelemetry,
    Fenced,
    HostTelemetry,
    Phase,
    Repinned,
    RequestFault,
    Standing,
    Telemetry,
    UnitTelemetry,
)
from scheduler.messages.told import (
    Message,
    Tick,
    WorkerLost,
    WorkerNotStarted,
    WorkerStarted,
)

__all__ = [
    "Ack",
    "Activate",
    "Activated",
    "AmbientChanged",
    "AppJoined",
    "AppLeft",
    "AppTelemetry",
    "BoardEvent",
    "Change",
    "ClockSet",
    "Effect",
    "Event",
    "Fenced",
    "Happening",
    "HiddenEvent",
    "Hints",
    "HostTelemetry",
    "Log",
    "Message",
    "Phase",
    "Pin",
    "Pinned",
    "PowerCapped",
    "Prepare",
    "Prepared",
    "Repinned",
    "RequestFault",
    "SetClock",
    "Standing",
    "StartWorker",
    "StopWorker",
    "SwitchUnit",
    "TargetChanged",
    "Telemetry",
    "Tick",
    "UnitLimited",
    "UnitSlowed",
    "UnitSwitched",
    "UnitTelemetry",
    "WorkerLost",
    "WorkerNotStarted",
    "WorkerStarted",
]
