"""Answers of the actors to the driver: one that can't be had says who failed to give it."""

from __future__ import annotations

from typing import Any

import ray

from workloads.runs.failure import Failure, RunError, reason_of

ANSWER_WALL_S = 60.0
"""Longest wait for an actor to start or to stop; a stalled machine gets this long."""


def has_died(error: RunError) -> bool:
    """Return True if what was called is a process that has died."""
    return isinstance(error.__cause__, ray.exceptions.RayActorError)


def answer(call: Any, who: str, timeout_s: float = ANSWER_WALL_S) -> Any:
    """Wait for the answer to a call, and return it.

    Args:
        call: the call, as Ray returns it.
        who: what was called, such as `the manager`.
        timeout_s: longest wait, in seconds on the wall.

    Raises:
        RunError: if it died, failed or did not answer.
    """
    try:
        return ray.get(call, timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        raise RunError(Failure(reason=f"{who} did not answer within {timeout_s:g} s")) from None
    except ray.exceptions.RayTaskError as error:
        raise RunError(Failure(reason=f"{who} failed: {reason_of(error.cause)}")) from error
    except ray.exceptions.RayError as error:
        raise RunError(Failure(reason=f"{who} died")) from error
