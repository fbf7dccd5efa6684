"""The inputs of applications, found and checked before anything starts: for a simulation as for a run on a board."""

from __future__ import annotations

import hashlib
import inspect
import io
from collections.abc import Iterator
from functools import partial
from typing import Any

import supernets
from supernets.task import Called, Source
from workloads.ladder.ladders import base_name, inputs_of
from workloads.mix.app import App, Family
from workloads.mix.errors import MixError
from workloads.mix.mix import Mix


def check_sources(mix: Mix, seed: int) -> None:
    """Refuse a mix with a source or an `on_result` that a run on a board would refuse.

    Args:
        mix: the mix.
        seed: seed of the run, by which inputs are chosen.

    Raises:
        MixError: as `source_of`.
    """
    for app in (presence.app for presence in mix.all_apps()):
        _check_callables(app)
        # What has published figures only can be simulated, but takes no inputs; unknown names are refused elsewhere.
        takes_inputs = isinstance(app.supernet, Family) or base_name(app.supernet) in supernets.names()
        if takes_inputs and app.source is not None and not callable(app.source):
            source_of(app, seed)


def source_of(app: App, seed: int) -> Source:
    """Return an application's inputs; those of a folder are read to check them.

    Args:
        app: the application.
        seed: seed of the run.

    Raises:
        MixError: if its source is no folder that can be used, or its source or `on_result` can't be sent to the
            application's process.
    """
    own = int.from_bytes(hashlib.sha256(f"{seed}/{app.name}".encode()).digest()[:4])
    inputs = inputs_of(app.supernet)
    _check_callables(app)
    if callable(app.source):
        return Called(inputs.task, app.source)
    if app.source is None:
        return inputs.stream(own)
    try:
        return inputs.stored(str(app.source), own)
    except supernets.SupernetError as error:
        raise MixError(f"app {app.name!r}: {error}") from None


def _check_callables(app: App) -> None:
    """Refuse a source or an `on_result` that can't be sent to the application's process."""
    if callable(app.source):
        _check_sendable(app, "source", app.source, "; for frames, a Camera does that")
    if app.on_result is not None:
        _check_sendable(app, "on_result", app.on_result, "")


def _check_sendable(app: App, field: str, value: object, hint: str) -> None:
    """Refuse a callable that can't be pickled, which is how it is sent."""
    from ray import cloudpickle  # only here: a simulation without callables needs no Ray

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # Ray has no types for it
        """A pickler that remembers the object that it came to last: the one that it fails at."""

        latest: object = value

        def reducer_override(self, obj: Any) -> Any:
            self.latest = obj
            return super().reducer_override(obj)

    pickler = Pickler(io.BytesIO())
    try:
        pickler.dump(value)
    except Exception as error:  # whatever the objects' own pickling raises
        kind = type(pickler.latest)
        name = next((name for name, held in _held(value) if held is pickler.latest), None)
        what = f"{name!r}, of type" if name else "an object of type"
        raise MixError(
            f"app {app.name!r}: its {field} can't be sent to the application's process, since it holds {what} "
            f"{kind.__module__}.{kind.__qualname__} ({error}). Open or make that on the first call, inside the "
            f"function{hint}."
        ) from None


def _held(value: Any) -> Iterator[tuple[str, object]]:
    """Yield what a callable holds, by name: its attributes, and the variables that its code uses."""
    if isinstance(value, partial):
        yield from value.keywords.items()
        yield from _held(value.func)
    owner = getattr(value, "__self__", value)
    yield from getattr(owner, "__dict__", {}).items()
    code = value if inspect.isroutine(value) else type(value).__call__
    if inspect.isfunction(code) or inspect.ismethod(code):
        variables = inspect.getclosurevars(code)
        yield from variables.nonlocals.items()
        yield from variables.globals.items()
