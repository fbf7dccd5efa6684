"""Profiles: how long each sub-network of a ladder takes on this machine, measured once and kept.

A stored profile is found again by what its figures depend on: the machine, the engine and its version, the weights,
the sub-networks and the numbers of cores. Only undisturbed samples are kept: those during which the kernel did not
take the core away, and which are not far above the rest (a hypervisor's theft shows no other way).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from actors.paths import cache_dir
from scheduler.profile import Profile, RungProfile, ServiceTime
from supernets import engines
from supernets.artifact import Artifact

_SAMPLES = 200
_ROUNDS_AT_MOST = 2000
_FAR = 1.4
"""A sample above this multiple of the median of the faster half was disturbed."""

Ladder = Sequence[tuple[Artifact, float | None, str]]
"""Sub-networks, smallest first: exported file, accuracy, source of the accuracy."""


class _StoredTime(BaseModel):
    model_config = ConfigDict(extra="forbid")
    cores: int
    samples_ms: Annotated[list[PositiveFloat], Field(min_length=1)]
    disturbed: int


class _StoredRung(BaseModel):
    model_config = ConfigDict(extra="forbid")
    subnet: str
    times: list[_StoredTime]


class _StoredProfile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    schema_version: int = 1
    supernet: str
    machine: str
    engine: str
    rungs: list[_StoredRung]


def machine_name() -> str:
    """The processor's model name, as the kernel gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def profile_ladder(
    supernet: str,
    ladder: Ladder,
    cpus_by_cores: Mapping[int, tuple[int, ...]],
    *,
    engine: str = "auto",
    fresh: bool = False,
    on_sample: Callable[[int, int], None] = lambda done, total: None,
) -> Profile:
    """The profile of a ladder on this machine, from the cache or measured now.

    Args:
        supernet: its name, for the cache and the reader.
        ladder: what to measure.
        cpus_by_cores: for each number of cores, the CPUs to measure on.
        engine: as for `supernets.engines.prepare`.
        fresh: measure even if the cache has it.
        on_sample: called with how many samples are taken, and of how many.
    """
    path = _cache_path(supernet, ladder, sorted(cpus_by_cores), engine)
    stored = None if fresh else _read(path)
    if stored is None or [rung.subnet for rung in stored.rungs] != [artifact.subnet for artifact, _, _ in ladder]:
        stored = _measure(supernet, ladder, cpus_by_cores, engine, on_sample)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")  # another run may measure the same ladder now
        new.write_text(stored.model_dump_json())
        new.replace(path)
    rungs = []
    for rung, (_, accuracy, source) in zip(stored.rungs, ladder, strict=True):
        times = tuple(
            ServiceTime(kind="cpu", cores=time_.cores, samples_ms=tuple(time_.samples_ms)) for time_ in rung.times
        )
        rungs.append(RungProfile(subnet=rung.subnet, accuracy=accuracy, accuracy_source=source, times=times))
    return Profile(supernet=supernet, machine=stored.machine, rungs=tuple(rungs))


def _cache_path(supernet: str, ladder: Ladder, cores: list[int], engine: str) -> Path:
    depends_on = [
        machine_name(),
        os.cpu_count(),
        engines.engine_version(engine),
        [(artifact.subnet, artifact.weights_hash) for artifact, _, _ in ladder],
        cores,
    ]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    return cache_dir() / "profiles" / f"{supernet}-{key}.json"


def _read(path: Path) -> _StoredProfile | None:
    """A stored profile; None where there is none, or where the file can't be used and is measured anew."""
    try:
        stored = _StoredProfile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return stored if stored.schema_version == 1 else None


def _measure(
    supernet: str,
    ladder: Ladder,
    cpus_by_cores: Mapping[int, tuple[int, ...]],
    engine: str,
    on_sample: Callable[[int, int], None],
) -> _StoredProfile:
    rungs = [_StoredRung(subnet=artifact.subnet, times=[]) for artifact, _, _ in ladder]
    total = len(cpus_by_cores) * len(rungs) * _SAMPLES
    done = 0
    interrupted = threading.Event()

    def count() -> None:
        nonlocal done
        if interrupted.is_set():
            raise CancelledError
        done += 1
        on_sample(min(done, total), total)

    for cores, cpus in sorted(cpus_by_cores.items()):
        # A thread of its own: affinity is the thread's, and the engine's threads inherit it.
        with ThreadPoolExecutor(1) as pool:
            measuring = pool.submit(_measure_on, [artifact for artifact, _, _ in ladder], cpus, engine, count)
            try:
                times = measuring.result()
            except BaseException:  # an interrupt reaches this thread alone, and the pool waits for the other
                interrupted.set()
                raise
        for rung, (samples_ms, disturbed) in zip(rungs, times, strict=True):
            rung.times.append(_StoredTime(cores=cores, samples_ms=samples_ms, disturbed=disturbed))
    return _StoredProfile(supernet=supernet, machine=machine_name(), engine=engines.engine_version(engine), rungs=rungs)


def _measure_on(
    artifacts: Sequence[Artifact], cpus: tuple[int, ...], engine: str, count: Callable[[], None]
) -> list[tuple[list[float], int]]:
    """Samples of each artifact and how many more were disturbed; the artifacts in turns, so that a stall hits all."""
    os.sched_setaffinity(0, cpus)
    sessions = [engines.prepare(artifact, engine, threads=len(cpus)) for artifact in artifacts]
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(artifact.input_shape, dtype=np.float32) for artifact in artifacts]
    calm: list[list[float]] = [[] for _ in artifacts]
    taken_away: list[list[float]] = [[] for _ in artifacts]
    for _ in range(_ROUNDS_AT_MOST):
        if all(len(samples) >= _SAMPLES for samples in calm):
            break
        for number, (session, x) in enumerate(zip(sessions, inputs, strict=True)):
            took_ms, undisturbed = _timed(session, x)
            (calm if undisturbed else taken_away)[number].append(took_ms)
            count()
    return [_kept(*samples) for samples in zip(calm, taken_away, strict=True)]


def _kept(calm: list[float], taken_away: list[float]) -> tuple[list[float], int]:
    """The undisturbed samples, rising, and how many were not; on a machine that is never calm, the fastest of all."""
    ordered = sorted(calm if len(calm) >= _SAMPLES // 10 else calm + taken_away)
    typical = ordered[len(ordered) // 4]
    kept = [round(ms, 4) for ms in ordered if ms <= _FAR * typical]
    return kept, len(calm) + len(taken_away) - len(kept)


def _timed(session: engines.Prepared, x: NDArray[np.float32]) -> tuple[float, bool]:
    """Milliseconds of one inference, and whether the kernel left the thread alone meanwhile."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    start = time.perf_counter()
    session(x)
    took_ms = (time.perf_counter() - start) * 1e3
    return took_ms, resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw == before
