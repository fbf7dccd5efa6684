"""The networks that a worker has ready: prepared off the request path, kept up to a bound, swapped by reference.

- One network is prepared at a time, on a thread of its own that avoids the cores on which the worker serves.
- The latest wish wins. When it is ready, its neighbours on the ladder are prepared too, as long as there is room.
- It knows no requests, cores' tokens, clocks or messages of the manager, and not which engine prepares.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from actors import pinning
from scheduler.views import Gear
from supernets import engines
from supernets.artifact import Artifact
from supernets.task import Sample, Source

CPU = "cpu"
"""`Form.where` of every CPU unit: their cores run the same prepared network."""


class GearboxError(RuntimeError):
    """A network could not be made ready, or is not ready when it is needed."""


@dataclass(frozen=True, order=True, slots=True)
class Form:
    """The form in which a gear's network is prepared.

    Attributes:
        subnet: name of the sub-network.
        where: `CPU` for every CPU unit, else the unit's name.
        threads: number of threads that compute; 1 on a GPU.
    """

    subnet: str
    where: str
    threads: int

    def __str__(self) -> str:
        return f"{self.subnet} on {self.threads} threads" if self.where == CPU else f"{self.subnet} on {self.where}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ready:
    """A network that can serve the next request.

    Attributes:
        artifact: exported file from which it was prepared.
        run: computes the output for an input.
        inputs: returns the input of a request by its number.
    """

    artifact: Artifact
    run: engines.PreparedNetwork
    inputs: Callable[[int], Sample]


class Gearbox:
    """The prepared networks of one ladder. Safe to use from several threads.

    The engaged and the wished-for network are never evicted. While all networks together exceed the bound, a new wish,
    and a network that becomes ready, evict those of the sub-networks that were used least recently.

    Args:
        artifacts: exported networks of the ladder by sub-network, smallest first.
        source: makes the inputs ready along with each network.
        prepare: makes a network ready in a form.
        form_of: returns the form that a gear needs.
        bound_mb: most memory of all networks, in MB; the engaged and the wished-for are kept even above it.
        aside: CPUs on which networks are to be prepared, unless the worker serves on them.
    """

    def __init__(
        self,
        artifacts: Mapping[str, Artifact],
        source: Source,
        *,
        prepare: Callable[[Artifact, Form], engines.PreparedNetwork],
        form_of: Callable[[Gear], Form],
        bound_mb: float,
        aside: Collection[int] = (),
    ) -> None:
        engines.return_large_blocks()
        self._artifacts = artifacts
        self._source = source
        self._load = prepare
        self._form_of = form_of
        self._bound_mb = bound_mb
        self._aside = aside
        self._cpus = frozenset(os.sched_getaffinity(os.getpid()))  # before the agent pins the process to a gear's cores
        self._changed = threading.Condition()
        self._ready: OrderedDict[Form, Ready] = OrderedDict()  # least recently used first
        self._failures: dict[Form, str] = {}
        self._unwanted: set[Form] = set()  # neighbours that failed or did not fit since the latest wish
        self._wish: tuple[Gear, int] | None = None
        self._engaged: Form | None = None
        self._preparing: Form | None = None
        self._closed = False

    def prepare(self, gear: Gear, plan: int) -> tuple[Gear, int]:
        """Wish for a gear's network, and wait until the network of the latest wish is ready.

        A wish of an older plan than one before changes nothing.

        Args:
            gear: the gear.
            plan: number of the plan that the wish serves.

        Returns:
            The gear whose network is ready, and the plan of the wish for it. They are those of the latest wish, which
            is not always the caller's.

        Raises:
            GearboxError: if it can't be prepared, the ladder has no such sub-network, or the gearbox was closed.
        """
        if gear.subnet not in self._artifacts:
            raise GearboxError(f"the ladder has no sub-network {gear.subnet!r}: {', '.join(self._artifacts)}")
        with self._changed:
            if self._wish is None or plan >= self._wish[1]:
                self._wish = gear, plan
                self._failures.pop(self._form_of(gear), None)
                self._unwanted.clear()
                self._evict()
                self._begin()
            while not self._closed:
                wish = self._wish
                form = self._form_of(wish[0])
                if form in self._ready:
                    self._ready.move_to_end(form)
                    return wish
                if form in self._failures:
                    raise GearboxError(self._failures[form])
                self._changed.wait()
        raise GearboxError("the worker was stopped while it prepared a network")

    def engage(self, gear: Gear) -> Ready:
        """Return the ready network of a gear; it is kept until another network is engaged.

        Raises:
            GearboxError: if it is not ready.
        """
        form = self._form_of(gear)
        with self._changed:
            if form not in self._ready:
                raise GearboxError(f"{form} must be prepared before it is activated")
            self._engaged = form
            self._ready.move_to_end(form)
            return self._ready[form]

    @property
    def ready(self) -> tuple[Form, ...]:
        """Forms of the networks that are ready, least recently used first."""
        with self._changed:
            return tuple(self._ready)

    def close(self) -> None:
        """Drop all networks, and end the calls that wait for one."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()

    # ------------------------------------------------------------ preparing

    def _begin(self) -> None:
        """Start to prepare the next network, unless one is being prepared (lock held)."""
        form = None if self._closed or self._preparing else self._next()
        if form is None:
            return
        self._preparing = form
        # A daemon: a process that ends doesn't wait for a compilation that it no longer needs.
        threading.Thread(target=self._work, args=(form,), name=f"prepare {form.subnet}", daemon=True).start()

    def _next(self) -> Form | None:
        """Return the form to prepare next; None for nothing (lock held).

        That is the wish until it is ready, then the nearest neighbour for which there seems to be room.
        """
        if self._wish is None:
            return None
        wish = self._form_of(self._wish[0])
        if wish not in self._ready:
            return None if wish in self._failures else wish
        # A neighbour's memory is known only once it is prepared; take it for that of the largest network that is ready.
        room_mb = self._bound_mb - self._footprint_mb()
        likely_mb = max(engines.footprint_mb([ready.run]) for ready in self._ready.values())
        if wish.where != CPU or likely_mb > room_mb:  # networks on a GPU take memory that all applications share
            return None
        return next((form for form in self._neighbours(wish) if form not in {*self._ready, *self._unwanted}), None)

    def _neighbours(self, form: Form) -> Iterator[Form]:
        """Yield the same form of the other sub-networks, the nearest on the ladder first, of two as near the smaller.

        For example, after the second of four sub-networks: the first, the third, the fourth.
        """
        ladder = list(self._artifacts)
        here = ladder.index(form.subnet)
        for place in sorted(range(len(ladder)), key=lambda place: (abs(place - here), place)):
            if place != here:
                yield replace(form, subnet=ladder[place])

    def _work(self, form: Form) -> None:
        """Prepare a network on this thread, and begin with the next one."""
        ready, failure = None, ""
        try:
            with pinning.aside(self._cpus, self._aside):
                ready = self._make(form)
        except Exception as error:  # whatever an engine or a user's source raises, the worker goes on in its old gear
            failure = f"{form} can't be prepared: {type(error).__name__}: {error}"
        with self._changed:
            self._preparing = None
            if ready is None:
                self._failures[form] = failure
                self._unwanted.add(form)
            elif not self._closed:
                self._ready[form] = ready
            evicted = self._evict(form)
            self._begin()
            self._changed.notify_all()
        ready = None  # else this frame would keep an evicted network alive while its memory is released
        if evicted:
            engines.release_memory()

    def _make(self, form: Form) -> Ready:
        artifact = self._artifacts[form.subnet]
        return Ready(
            artifact=artifact,
            run=self._load(artifact, form),
            inputs=self._shared_inputs(artifact) or self._source.inputs(artifact),
        )

    def _shared_inputs(self, artifact: Artifact) -> Callable[[int], Sample] | None:
        """Return the inputs of a ready network of the same input shape: they are the same, and they take memory."""
        with self._changed:
            for ready in self._ready.values():
                if ready.artifact.input_shape == artifact.input_shape:
                    return ready.inputs
        return None

    # ------------------------------------------------------------ the bound

    def _footprint_mb(self) -> float:
        return engines.footprint_mb(ready.run for ready in self._ready.values())

    def _evict(self, newest: Form | None = None) -> bool:
        """Drop networks until the rest is within the bound (lock held).

        Args:
            newest: form that has just become ready; unless it is wished for, it goes before all others.

        Returns:
            True if a network was dropped.
        """
        kept = {self._engaged, self._form_of(self._wish[0]) if self._wish else None}
        before = len(self._ready)
        # Sub-network by sub-network: the forms of one may share weights, whose memory is freed with the last of them.
        used = {form.subnet: number for number, form in enumerate(self._ready)}
        for form in sorted(self._ready, key=lambda form: (form != newest, used[form.subnet])):
            if self._footprint_mb() <= self._bound_mb:
                break
            if form not in kept:
                del self._ready[form]
                self._unwanted.add(form)
        return len(self._ready) < before
