"""What a client gets of its request: a result with its receipt, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.requests.queue import Drop, Request


class WorkerClosedError(RuntimeError):
    """The worker takes no more requests, or stopped before this one was served."""


class RequestDroppedError(RuntimeError):
    """The request was dropped: the queue was full, or it had waited for too long."""


class DeadlinePassedError(RequestDroppedError):
    """The request was dropped since its deadline had passed, or would have before its result."""


class RequestFailedError(RuntimeError):
    """The request's input or its inference raised."""


class WorkerDiedError(RequestFailedError):
    """The worker died with the request, or is not there again yet."""


class InputRefusedError(RequestFailedError):
    """The request's input is none that the network takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Where a request was served, for how long, and what it cost.

    Attributes:
        unit: name of the unit.
        cores: how many cores of it were taken.
        service_ms: time for which they were taken, board time.
        energy_mj: energy that these took on top of the unit's static power, by the board's power figures; None where it
            has none.
        accuracy: held-out accuracy of the sub-network, a fraction; None where it is not known.
    """

    unit: str
    cores: int
    service_ms: float
    energy_mj: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The result of a client's request.

    Attributes:
        output: the result as the task gives it: for most networks their output, `Outputs` of a user's own model that
            has several; where outputs are made for people, what these read.
        subnet: name of the sub-network that computed it.
        latency_ms: time from the request's arrival at the worker to its result.
        receipt: where it was served, and what it cost.
    """

    output: Any
    subnet: str
    latency_ms: float
    receipt: Receipt


def refuse(request: Request, error: Exception) -> None:
    """Tell the client of a request, if it has one, that there is no result."""
    future = request.future
    if future is not None and not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(error)


def refuse_dropped(app: str, drop: Drop) -> None:
    """Tell the client of a dropped request, if it has one, why it was dropped."""
    request = drop.request
    target = f"its target of {request.target_ms:g} ms"
    if drop.at_s >= request.deadline_s:
        refuse(request, DeadlinePassedError(f"app {app!r} dropped this request: it waited longer than {target}"))
    elif drop.hopeless:
        refuse(request, DeadlinePassedError(f"app {app!r} dropped this request: for its size {target} is too near"))
    else:
        refuse(request, RequestDroppedError(f"app {app!r} dropped this request: its queue is full"))
