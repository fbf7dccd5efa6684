"""The networks that a worker has ready: prepared off the request path, kept up to a bound, swapped by reference.

One network is prepared at a time, each on a thread of its own, and the latest wish wins. Nothing here knows about
requests, cores' tokens, clocks or the manager's messages.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.views import Gear
from supernets import engines
from supernets.artifact import Artifact
from supernets.sources import Source

_PREPARING_NICENESS = 5


class GearboxError(RuntimeError):
    """A network could not be made ready, or is used without being ready."""


@dataclass(frozen=True, order=True, slots=True)
class Form:
    """What has to be prepared for a gear: a sub-network on a number of threads."""

    subnet: str
    threads: int

    @classmethod
    def of(cls, gear: Gear) -> Form:
        """What that gear needs: as many threads as it has cores."""
        return cls(gear.subnet, gear.cores)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ready:
    """A network that can serve the next request.

    Attributes:
        artifact: what it was prepared from.
        run: from an input of `artifact.input_shape` to the output.
        inputs: from a request's number to its input.
    """

    artifact: Artifact
    run: engines.Prepared
    inputs: Callable[[int], NDArray[np.float32]]


class Gearbox:
    """Prepared networks of one ladder.

    The engaged and the wished-for network are never evicted; beyond the bound the least recently wished for or
    engaged of the others goes. Safe to use from several threads.

    Args:
        artifacts: the ladder, by sub-network.
        source: whose inputs are made ready along with each network.
        engine: as in `engines.prepare`.
        bound: most networks kept, at least 2.

    Raises:
        ValueError: if the bound is below 2.
    """

    def __init__(
        self, artifacts: Mapping[str, Artifact], source: Source, *, engine: str = "auto", bound: int = 4
    ) -> None:
        if bound < 2:
            raise ValueError(f"max_prepared must be at least 2, the engaged and the next, not {bound!r}")
        self._artifacts = artifacts
        self._source = source
        self._engine = engine
        self._bound = bound
        self._changed = threading.Condition()
        self._ready: OrderedDict[Form, Ready] = OrderedDict()  # least recently used first
        self._failures: dict[Form, str] = {}
        self._wish: tuple[Gear, int] | None = None
        self._engaged: Form | None = None
        self._preparing: Form | None = None
        self._closed = False

    def prepare(self, gear: Gear, epoch: int) -> tuple[Gear, int]:
        """Wishes for a gear's network and waits until it is ready, or until that of a later wish is.

        A wish of an older epoch than one before changes nothing.

        Returns:
            The gear whose network is ready, and the epoch of the wish for it: the latest, not always the caller's.

        Raises:
            GearboxError: if it can't be prepared, the ladder has no such sub-network, or the gearbox was closed.
        """
        if gear.subnet not in self._artifacts:
            raise GearboxError(f"the ladder has no sub-network {gear.subnet!r}: {', '.join(self._artifacts)}")
        with self._changed:
            if self._wish is None or epoch >= self._wish[1]:
                self._wish = gear, epoch
                self._failures.pop(Form.of(gear), None)
                self._begin()
            while not self._closed:
                wish = self._wish
                form = Form.of(wish[0])
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
        form = Form.of(gear)
        with self._changed:
            if form not in self._ready:
                raise GearboxError(f"{form.subnet} on {form.threads} threads must be prepared before it is activated")
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

    def _begin(self) -> None:
        """Starts to prepare what is wished for, unless it is ready or another is being prepared (lock held)."""
        if self._closed or self._preparing or self._wish is None:
            return
        wish = Form.of(self._wish[0])
        if wish in self._ready or wish in self._failures:
            return
        self._preparing = wish
        # A daemon: a process that ends doesn't wait for a compilation that nobody wants any more.
        threading.Thread(target=self._work, args=(wish,), name=f"prepare {wish.subnet}", daemon=True).start()

    def _work(self, form: Form) -> None:
        ready, failure = None, ""
        try:
            ready = self._make(form)
        except Exception as error:  # whatever an engine or a user's source raises, the worker goes on in its old gear
            failure = f"{form.subnet} on {form.threads} threads can't be prepared: {type(error).__name__}: {error}"
        with self._changed:
            self._preparing = None
            if ready is None:
                self._failures[form] = failure
            elif not self._closed:
                self._ready[form] = ready
                self._evict()
            self._begin()
            self._changed.notify_all()

    def _make(self, form: Form) -> Ready:
        if form.threads == 1:
            # Requests come first; on Linux niceness is a thread's own. Where the engine starts threads, they would
            # inherit it and could not shed it without privileges, so there the preparing thread stays as it is.
            os.nice(_PREPARING_NICENESS)
        artifact = self._artifacts[form.subnet]
        return Ready(
            artifact=artifact,
            run=engines.prepare(artifact, engine=self._engine, threads=form.threads),
            inputs=self._shared_inputs(artifact) or self._source.inputs(artifact),
        )

    def _shared_inputs(self, artifact: Artifact) -> Callable[[int], NDArray[np.float32]] | None:
        """The inputs of a ready network of the same input shape: they are the same, and they take memory."""
        with self._changed:
            for ready in self._ready.values():
                if ready.artifact.input_shape == artifact.input_shape:
                    return ready.inputs
        return None

    def _evict(self) -> None:
        kept = {self._engaged, Form.of(self._wish[0]) if self._wish else None}
        for form in list(self._ready):
            if len(self._ready) <= self._bound:
                return
            if form not in kept:
                del self._ready[form]
