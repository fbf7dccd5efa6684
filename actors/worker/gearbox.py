"""The networks that a worker has ready: prepared off the request path, kept up to a bound, swapped by reference.

One network is prepared at a time, each on a thread of its own that keeps off the cores the worker serves on. The
latest wish wins; when it is ready, its neighbours on the ladder follow as long as there is room. Nothing here knows
about requests, cores' tokens, clocks or the manager's messages, nor which engine prepares.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actors import pinning
from scheduler.views import Gear
from supernets import engines
from supernets.artifact import Artifact
from supernets.pictures.sources import Source

CPU = "cpu"
"""`Form.where` of every CPU unit: their cores run the same prepared network."""


class GearboxError(RuntimeError):
    """A network could not be made ready, or is used without being ready."""


@dataclass(frozen=True, order=True, slots=True)
class Form:
    """What has to be prepared for a gear.

    Attributes:
        subnet: the sub-network.
        where: `CPU` for every CPU unit, else the unit's name.
        threads: how many compute; 1 where it is no CPU.
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
        artifact: what it was prepared from.
        run: from an input of `artifact.input_shape` to the output.
        inputs: from a request's number to its input.
    """

    artifact: Artifact
    run: engines.PreparedNetwork
    inputs: Callable[[int], NDArray[np.float32]]


class Gearbox:
    """Prepared networks of one ladder.

    The engaged and the wished-for network are never evicted. Where all exceed the bound, those of the least recently
    wished for or engaged sub-networks go with the next wish, or when it is ready. Safe to use from several threads.

    Args:
        artifacts: the ladder, by sub-network, smallest first.
        source: whose inputs are made ready along with each network.
        prepare: makes a network ready in a form.
        form_of: what a gear needs.
        bound_mb: memory of the networks kept; the engaged and the wished-for are kept even if they alone exceed it.
    """

    def __init__(
        self,
        artifacts: Mapping[str, Artifact],
        source: Source,
        *,
        prepare: Callable[[Artifact, Form], engines.PreparedNetwork],
        form_of: Callable[[Gear], Form],
        bound_mb: float,
    ) -> None:
        engines.return_large_blocks()
        self._artifacts = artifacts
        self._source = source
        self._load = prepare
        self._form_of = form_of
        self._bound_mb = bound_mb
        self._cpus = frozenset(os.sched_getaffinity(os.getpid()))  # before anybody pins the process to cores of a gear
        self._changed = threading.Condition()
        self._ready: OrderedDict[Form, Ready] = OrderedDict()  # least recently used first
        self._failures: dict[Form, str] = {}
        self._unwanted: set[Form] = set()  # neighbours that failed or did not fit since the latest wish
        self._wish: tuple[Gear, int] | None = None
        self._engaged: Form | None = None
        self._preparing: Form | None = None
        self._closed = False

    def prepare(self, gear: Gear, plan: int) -> tuple[Gear, int]:
        """Wishes for a gear's network and waits until it is ready, or until that of a later wish is.

        A wish of an older plan than one before changes nothing.

        Returns:
            The gear whose network is ready, and the plan of the wish for it: the latest, not always the caller's.

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
        """The ready network of that gear, which is kept from now on until another is engaged.

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
        """What is ready, least recently used first."""
        with self._changed:
            return tuple(self._ready)

    def close(self) -> None:
        """Lets go of all networks and of whoever waits for one."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()

    # ------------------------------------------------------------ preparing

    def _begin(self) -> None:
        """Starts to prepare what comes next, unless something is being prepared (lock held)."""
        form = None if self._closed or self._preparing else self._next()
        if form is None:
            return
        self._preparing = form
        # A daemon: a process that ends doesn't wait for a compilation that nobody wants any more.
        threading.Thread(target=self._work, args=(form,), name=f"prepare {form.subnet}", daemon=True).start()

    def _next(self) -> Form | None:
        """The wish until it is ready; then the nearest neighbour for which there seems to be room (lock held)."""
        if self._wish is None:
            return None
        wish = self._form_of(self._wish[0])
        if wish not in self._ready:
            return None if wish in self._failures else wish
        room_mb = self._bound_mb - self._footprint_mb()
        likely_mb = max(engines.footprint_mb([ready.run]) for ready in self._ready.values())
        if wish.where != CPU or likely_mb > room_mb:  # elsewhere the memory is not this worker's own
            return None
        return next((form for form in self._neighbours(wish) if form not in {*self._ready, *self._unwanted}), None)

    def _neighbours(self, form: Form) -> Iterator[Form]:
        """The same form of the other sub-networks, the nearest on the ladder first, of two as near the smaller."""
        ladder = list(self._artifacts)
        here = ladder.index(form.subnet)
        for place in sorted(range(len(ladder)), key=lambda place: (abs(place - here), place)):
            if place != here:
                yield replace(form, subnet=ladder[place])

    def _work(self, form: Form) -> None:
        ready, failure = None, ""
        try:
            with pinning.aside(self._cpus):
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
        ready = None
        if evicted:
            engines.release_memory()

    def _make(self, form: Form) -> Ready:
        artifact = self._artifacts[form.subnet]
        return Ready(
            artifact=artifact,
            run=self._load(artifact, form),
            inputs=self._shared_inputs(artifact) or self._source.inputs(artifact),
        )

    def _shared_inputs(self, artifact: Artifact) -> Callable[[int], NDArray[np.float32]] | None:
        """The inputs of a ready network of the same input shape: they are the same, and they take memory."""
        with self._changed:
            for ready in self._ready.values():
                if ready.artifact.input_shape == artifact.input_shape:
                    return ready.inputs
        return None

    # ------------------------------------------------------------ the bound

    def _footprint_mb(self) -> float:
        return engines.footprint_mb(ready.run for ready in self._ready.values())

    def _evict(self, newest: Form | None = None) -> bool:
        """Drops what is beyond the bound, and says whether it did (lock held).

        Args:
            newest: what has just become ready; unless it is wished for, it goes before all others.
        """
        kept = {self._engaged, self._form_of(self._wish[0]) if self._wish else None}
        before = len(self._ready)
        # Sub-network by sub-network: forms of one may share weights, which go only with the last of them.
        used = {form.subnet: number for number, form in enumerate(self._ready)}
        for form in sorted(self._ready, key=lambda form: (form != newest, used[form.subnet])):
            if self._footprint_mb() <= self._bound_mb:
                break
            if form not in kept:
                del self._ready[form]
                self._unwanted.add(form)
        return len(self._ready) < before
