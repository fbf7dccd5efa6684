"""The refusal of a request: a status of HTTP and a sentence, which the protocol sends as `{"error": "..."}`."""

from __future__ import annotations

from scheduler.errors import InputError


class RefusedError(InputError):
    """A request is refused; the message names the field, the value and the fix.

    Attributes:
        status: the status of HTTP.
        reason: one word for it, for the counts.
        retry_s: time after which to try again, in seconds; None where that would not help.
    """

    def __init__(self, message: str, status: int = 400, *, reason: str = "input", retry_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_s = retry_s
