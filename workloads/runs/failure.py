"""The failure of a run on the way: its reason, and the summary of what there is nevertheless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes 0.3 s, and the command needs this module to say what failed
    from workloads.results.summary import Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a run did not come to its end, or not into its directory.

    Attributes:
        reason: One sentence, such as `the manager died`.
        summary: Summary of what there is; None where nothing was served yet.
        is_whole: True if the run came to its end, and only its files lack something.
    """

    reason: str
    summary: Summary | None = None
    is_whole: bool = False


class RunError(RuntimeError):
    """A run failed on the way; the message says why.

    Attributes:
        failure: The reason, and the summary of what there is.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def reason_of(error: BaseException) -> str:
    """Return in one sentence why an error ended a run."""
    if isinstance(error, RunError):
        return error.failure.reason
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
