"""Requests that arrive and wait: scheduled arrivals, clients' payloads, a bounded queue and its drop rules.

Arrivals are admitted when somebody looks, not when they happen. That changes nothing in the outcome: while the server
is busy only arrivals change the queue, and each is dealt with at its own scheduled time, however late. Nothing here
asks for the time, takes a lock, writes a record or knows about networks.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import Status

DropRule: TypeAlias = Literal["late", "oldest", "newest"]
"""The rule by which a request is dropped; see `RequestQueue`."""

DROP_RULES: tuple[DropRule, ...] = get_args(DropRule)


@dataclass(slots=True, eq=False, init=False)
class Request:
    """One request of an application.

    Attributes:
        index: its number within the application, from 0.
        arrival_s: scheduled arrival, board time; its latency counts from here.
        target_ms: latency target in force at its arrival.
        deadline_s: board time at which the result is due.
        payload: a client's input. A request of the mix has none: its input is that of its number.
        future: where a client waits for the result; None for a request of the mix.
    """

    index: int
    arrival_s: float
    target_ms: float
    deadline_s: float
    payload: object
    future: Future[Any] | None

    # Written out, since one is made for each request and a `__post_init__` is a call more.
    def __init__(
        self,
        index: int,
        arrival_s: float,
        target_ms: float,
        payload: object = None,
        future: Future[Any] | None = None,
    ) -> None:
        self.index, self.arrival_s, self.target_ms = index, arrival_s, target_ms
        self.deadline_s = arrival_s + target_ms / 1000
        self.payload, self.future = payload, future

    @property
    def is_clients(self) -> bool:
        """True for a request of a client, which brings its payload."""
        return self.future is not None


@dataclass(frozen=True, slots=True)
class Drop:
    """A request that was dropped, the board time of it, and whether only its size made it too late."""

    request: Request
    at_s: float
    hopeless: bool = False


class RequestQueue:
    """A queue of at most `bound` requests, first in, first out. A rule says which request is dropped.

    - `late`: the head, once its deadline has passed. If the queue is full and its head is not late, the newcomer is
      turned away. Where times depend on the size, also a head that is about to be served and could not be on time any
      more in the least time that the profile knows for its size: with 50 ms left, one that takes 60 at least. So this
      rule never drops a waiting request that can still be on time, as far as the profile knows.
    - `oldest`: the head of a full queue, when a newcomer arrives.
    - `newest`: a newcomer to a full queue.

    Args:
        bound: how many requests may wait at most, at least 1.
        rule: one of `DROP_RULES`.
        renews: True for a closed loop. None of its requests is dropped for its size: the next one would come at once
            and go at once, without end.

    Raises:
        ValueError: for another rule or a bound below 1.
    """

    def __init__(self, bound: int, rule: str, *, renews: bool = False) -> None:
        if rule not in DROP_RULES:
            raise ValueError(f"drop must be one of {', '.join(DROP_RULES)}, not {rule!r}")
        if bound < 1:
            raise ValueError(f"the queue's bound must be at least 1, not {bound!r}")
        self._bound = bound
        self._rule = rule
        self._is_late = rule == "late"
        self._by_size = self._is_late and not renews
        self._waiting: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._waiting)

    def offer(self, request: Request, at_s: float) -> list[Drop]:
        """Let a request in at that time, and return what is dropped for it: nothing, others, or the request itself."""
        drops: list[Drop] = []
        if len(self._waiting) >= self._bound:
            drops = self.expire(at_s)
            if len(self._waiting) >= self._bound:
                if self._rule != "oldest":
                    return [*drops, Drop(request, at_s)]
                drops.append(Drop(self._waiting.popleft(), at_s))
        self._waiting.append(request)
        return drops

    def expire(self, now_s: float) -> list[Drop]:
        """Drop the requests at the head whose deadline has passed, if the rule is `late`."""
        drops = []
        while self.expires_s <= now_s:
            drops.append(Drop(self._waiting.popleft(), now_s))
        return drops

    def give_up_hopeless(self, now_s: float, least_s: float) -> list[Drop]:
        """Drop the head, which is about to be served, if the rule is `late` and its deadline comes before its end.

        Args:
            now_s: when it would get its cores, board time.
            least_s: the least time that its service takes, 0 where that is unknown; see `actors.requests.least_time`.
        """
        if not (self._by_size and least_s > 0 and now_s + least_s > self._waiting[0].deadline_s):
            return []
        return [Drop(self._waiting.popleft(), now_s, hopeless=True)]

    @property
    def expires_s(self) -> float:
        """The board time from which `expire` drops the head; infinite where it never does."""
        return self._waiting[0].deadline_s if self._is_late and self._waiting else math.inf

    @property
    def head(self) -> Request | None:
        """The request that is served next, left in the queue."""
        return self._waiting[0] if self._waiting else None

    def pop(self) -> Request:
        """Take the head out and return it.

        Raises:
            IndexError: if nothing waits.
        """
        return self._waiting.popleft()


class Intake:
    """The source of all requests of one application: its schedule, its clients, or a closed loop.

    Args:
        arrivals_s: scheduled arrivals, board time, sorted, shape (n,); request i is the i-th.
        segments: (from_s, target_ms) of each latency target, rising in time; before the first the first one holds.
        queue: the queue where requests wait.
        first: number of the first scheduled request that is still to come.
        next_index: number of the next request that is not scheduled, at least n; n if left out.

    Attributes:
        queue: the queue where requests wait.
        arrived: how many requests have arrived so far.
        next_s: board time at which the next scheduled request arrives; infinite where none does.
    """

    def __init__(
        self,
        *,
        arrivals_s: NDArray[np.float64],
        segments: Sequence[tuple[float, float]],
        queue: RequestQueue,
        first: int = 0,
        next_index: int | None = None,
    ) -> None:
        self.queue = queue
        self.arrived = 0
        # Plain floats, since NumPy's scalars compare slowly; after the last one nothing arrives.
        self._arrivals_s: list[float] = [*arrivals_s.tolist(), math.inf]
        self.retarget(segments)
        self._scheduled = first
        self._next_index = len(arrivals_s) if next_index is None else next_index
        self.next_s = self._arrivals_s[first]

    def retarget(self, segments: Sequence[tuple[float, float]]) -> None:
        """Take other latency targets, as given at first, for the requests that are still to come."""
        self._from_s = [from_s for from_s, _ in segments]
        self._targets_ms = [target_ms for _, target_ms in segments]

    def target_ms(self, at_s: float) -> float:
        """Return the latency target in force at that time."""
        if len(self._targets_ms) == 1:
            return self._targets_ms[0]
        return self._targets_ms[max(0, bisect_right(self._from_s, at_s) - 1)]

    def admit(self, now_s: float) -> list[Drop]:
        """Let in what was scheduled until now, and return what is dropped: at an arrival, or now at the head."""
        drops: list[Drop] = []
        while self.next_s <= now_s:
            request = Request(self._scheduled, self.next_s, self.target_ms(self.next_s))
            if dropped := self._offer(request):
                drops += dropped
            self._scheduled += 1
            self.next_s = self._arrivals_s[self._scheduled]
        if self.queue.expires_s <= now_s:
            drops += self.queue.expire(now_s)
        return drops

    def arrive(
        self, now_s: float, payload: object = None, future: Future[Any] | None = None
    ) -> tuple[Request, list[Drop]]:
        """Let in a request that was not scheduled. What was scheduled until now must have been admitted.

        Args:
            now_s: board time of its arrival.
            payload: a client's input.
            future: where the client waits for the result; None for a request of the mix.

        Returns:
            The request, and what is dropped for it.
        """
        request = Request(self._next_index, now_s, self.target_ms(now_s), payload, future)
        self._next_index += 1
        return request, self._offer(request)

    def close(self) -> None:
        """Let no more scheduled requests in."""
        self.next_s = math.inf

    def _offer(self, request: Request) -> list[Drop]:
        self.arrived += 1
        return self.queue.offer(request, request.arrival_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Remains:
    """The state in which a killed predecessor left an application's requests.

    Attributes:
        lost: (number, arrival_s) of the requests that arrived and never ended, in order of number.
        first: number of the first scheduled request that is still to come.
        next_index: number of the next request that is not scheduled.
    """

    lost: tuple[tuple[int, float], ...]
    first: int
    next_index: int


def remains(records: NDArray[np.void], *, arrivals_s: NDArray[np.float64], resume_from_s: float) -> Remains:
    """Return what a killed predecessor lost and where its successor goes on, from the predecessor's records.

    Args:
        records: of dtype `RECORD`, shape (m,).
        arrivals_s: scheduled arrivals, board time, sorted, shape (n,).
        resume_from_s: board time at which the successor takes over. What was scheduled before and never ended is lost.
    """
    begun = records["status"] == Status.ARRIVED
    ended = set(records["index"][~begun].tolist())
    noted = zip(records["index"][begun].tolist(), records["arrival_s"][begun].tolist(), strict=True)
    scheduled = len(arrivals_s)
    due = int(np.searchsorted(arrivals_s, resume_from_s))
    first = max([due, *(index + 1 for index in ended if index < scheduled)])
    arrived = {**dict(enumerate(arrivals_s[:first].tolist())), **dict(noted)}
    return Remains(
        lost=tuple((index, arrived[index]) for index in sorted(arrived.keys() - ended)),
        first=first,
        next_index=max([scheduled, *(index + 1 for index in (*arrived, *ended))]),
    )
