"""The engines by name, and preparing a sub-network in one of them.

A new engine is a module with an `Engine`, and one line in `_ENGINES`.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path

import numpy as np

from supernets.artifact import Artifact
from supernets.engines.common import Engine, Network, private_mb, release_memory
from supernets.engines.onnxruntime_engine import ONNXRUNTIME
from supernets.engines.openvino_engine import OPENVINO
from supernets.engines.torch_engine import TORCH
from supernets.errors import SupernetError, how_to_add, known_options

_ENGINES = {engine.name: engine for engine in (ONNXRUNTIME, OPENVINO, TORCH)}
"""All engines by name, in the order in which they are shown."""
_AUTO = ("onnxruntime", "openvino")
"""The engines that `auto` chooses from, the default first."""
_WARM_UP_RUNS = 3
_SETTINGS = 2
"""Raise this when an engine's settings change in a way that changes its speed: stored profiles depend on it."""


class CannotRunError(SupernetError):
    """A network that was loaded raised when it was run on zeros."""


def prepare(artifact: Artifact, engine: str = "auto", threads: int = 1, device: str = "cpu") -> Network:
    """Load a sub-network into an engine and warm it up.

    Args:
        artifact: the exported sub-network.
        engine: one of `names()`; `auto` is the first of `candidates`, ONNX Runtime in float32.
        threads: threads that compute, the caller's among them. Threads beyond the caller's inherit its affinity.
        device: `cpu`, or `cuda:0` and so on.

    Raises:
        SupernetError: for an unknown engine, one that can't compute in the artifact's precision or on that device, or
            a file that the engine can't load.
    """
    # Where no engine can be used, the first says why.
    name = next(iter(able(artifact)), _AUTO[0]) if engine == "auto" else engine
    chosen = _engine(name)
    _check(chosen, artifact, device)
    chosen.start()
    # The cost of a network is what the process's own memory grows by, so what is free already is given back first.
    release_memory()
    before_mb = private_mb()
    loaded = chosen.load(artifact, threads, device)
    blank = np.zeros(artifact.input_shape, dtype=np.float32)
    warm_up = loaded.warm_up or (lambda: loaded.run(blank))
    try:
        for _ in range(_WARM_UP_RUNS):
            warm_up()
    except Exception as error:  # the engines raise classes of their own, for models that load and can't run
        reason = " ".join(str(error).split())[:400]
        raise CannotRunError(f"{artifact.path} is loaded by {name}, but can't be run: {reason}") from error
    if loaded.device_mb is not None:
        memory_mb = loaded.device_mb()
    else:
        release_memory()
        # Memory is reused before the system is asked for more, so a network can seem to cost nothing.
        least_mb = sum(Path(file).stat().st_size for file in artifact.files) / 1e6 if loaded.mapped is None else 0.0
        memory_mb = max(private_mb() - before_mb, least_mb)
    return Network(engine=name, run=loaded.run, memory_mb=memory_mb, mapped=loaded.mapped, until=loaded.until)


def _check(engine: Engine, artifact: Artifact, device: str) -> None:
    """Refuse an artifact or a device that the engine can't take, before the engine is imported."""
    if artifact.precision not in engine.precisions:
        able = ", ".join(other.name for other in _ENGINES.values() if artifact.precision in other.precisions)
        raise SupernetError(
            f"engine {engine.name!r} can't compute in {artifact.precision}, as {artifact.subnet} is to; "
            f"these can: {able}"
        )
    if device.partition(":")[0] not in engine.devices:
        raise SupernetError(f"engine {engine.name!r} has no device {device!r}, only {', '.join(engine.devices)}")
    if reason := _why_not(engine):
        raise SupernetError(f"engine {engine.name!r} can't be used here: {reason}")
    if artifact.parts and not engine.takes_parts:
        able = ", ".join(other.name for other in _ENGINES.values() if other.takes_parts)
        raise SupernetError(
            f"engine {engine.name!r} can't run {artifact.subnet}, which makes its output step by step; "
            f"these can: {able}"
        )
    file = artifact.file(engine.format)
    if file is None or (engine.format == "torch program" and not Path(file).exists()):
        raise SupernetError(
            f"{artifact.path} has no {engine.format}, so the {engine.name} engine can't run it; use another engine"
        )


def names() -> tuple[str, ...]:
    """Return the names of the engines."""
    return tuple(_ENGINES)


def candidates(precision: str = "float32") -> tuple[str, ...]:
    """Return the engines that `auto` chooses from at a precision on this machine; without a profile, the first."""
    return tuple(name for name in _AUTO if precision in _ENGINES[name].precisions and _why_not(_ENGINES[name]) is None)


def unusable() -> dict[str, str]:
    """Return the engines that are installed and that `auto` leaves out on this machine, each with the reason."""
    reasons = {name: _ENGINES[name].why_not() for name in _AUTO if not _missing(_ENGINES[name])}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def able(artifact: Artifact) -> tuple[str, ...]:
    """Return the engines that `auto` chooses from for a file: those `candidates` that can run it."""
    unable = {name for name, _ in artifact.unable}
    if artifact.parts:
        unable |= {name for name, engine in _ENGINES.items() if not engine.takes_parts}
    return tuple(name for name in candidates(artifact.precision) if name not in unable)


def engine_version(engine: str = "auto") -> str:
    """Return the key of an engine in profiles: name and version of its library, and of its settings here.

    `engine_version("openvino")` is for example `openvino 2025.4.0, settings 2`; `auto` names all that it chooses from
    on this machine.

    Raises:
        SupernetError: for an unknown engine, or one that is not installed.
    """
    chosen = [_engine(name) for name in (candidates() if engine == "auto" else (engine,))]
    if missing := next((each for each in chosen if _missing(each)), None):
        raise SupernetError(f"engine {missing.name!r} can't be used here: {_why_not(missing)}")
    versions = ", ".join(f"{each.name} {version(each.distribution)}" for each in chosen)
    return f"{versions}, settings {_SETTINGS}"


def _why_not(engine: Engine) -> str | None:
    """Return why an engine can't be used here, in words that follow "can't be used here"; None if it can."""
    return f"it is not installed; {how_to_add(engine.extra)}" if _missing(engine) else engine.why_not()


def _missing(engine: Engine) -> bool:
    return engine.extra != "" and importlib.util.find_spec(engine.distribution) is None


def installed(engine: str) -> bool:
    """Return False for an engine of an extra that is not installed."""
    return not _missing(_engine(engine))


def _engine(name: str) -> Engine:
    if name not in _ENGINES:
        raise SupernetError(f"engine {name!r} is unknown. {known_options(name, ['auto', *_ENGINES])}")
    return _ENGINES[name]
