"""Profiles: how long each sub-network of a ladder takes on this machine, measured once and kept.

- A stored profile is found again by what its figures depend on: the machine, the engine and its version, the weights,
  the sub-networks, and for each number of cores their kinds (`actors.core_kinds`): big or little, P or E.
- Only undisturbed samples are kept: those during which the kernel did not take the core away, and which are not far
  above the rest (`actors.undisturbed`). Time that a hypervisor takes away shows in no other way.
- Where requests differ in size, a network is timed by requests of its stream, one after another.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from actors.affinity import Affinity, SystemAffinity
from actors.agent.devices.cuda import device_name
from actors.agent.devices.sysfs import Tree
from actors.core_kinds import core_kinds
from actors.executor.client import own_executor
from actors.network_times import NOISE, ROUNDS_AT_MOST, Examples, measure
from actors.paths import cache_dir
from actors.profile_schema import Sizes, TimeKeys
from actors.undisturbed import Undisturbed
from actors.whole_file import whole
from scheduler.profile import Profile, RungProfile, ServiceTime, fastest_engines
from supernets import engines
from supernets.artifact import Artifact

_SCHEMA_VERSION = 4
_SAMPLES = 200
"""Undisturbed samples of each network that are wanted."""
Ladder = Sequence[tuple[Artifact, float | None, str]]
"""Sub-networks, smallest first, each with its exported file, its accuracy and the source of the accuracy."""


class _StoredTime(TimeKeys):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["cpu", "gpu"]
    cores: int
    engine: str
    samples_ms: Annotated[list[PositiveFloat], Field(min_length=1)]
    disturbed: int


class _StoredRung(BaseModel):
    model_config = ConfigDict(extra="forbid")
    subnet: str
    times: list[_StoredTime]


class _StoredProfile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    schema_version: int = _SCHEMA_VERSION
    supernet: str
    machine: str
    sizes: Sizes = (1.0,)
    warnings: tuple[str, ...] = ()
    rungs: list[_StoredRung]


def machine_name() -> str:
    """Return the processor's model name, as the kernel gives it."""
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
    apart: str = "",
    affinity: Affinity | None = None,
    tree: Tree | None = None,
    examples: Examples = NOISE,
) -> Profile:
    """Return the profile of a ladder on this machine's CPUs, from the cache or measured now.

    Args:
        supernet: name of the supernet, for the cache and the reader.
        ladder: sub-networks to measure.
        cpus_by_cores: for each number of cores, the CPUs to measure on, such as {1: (0,), 2: (0, 1)}.
        engine: name of an engine of `supernets.engines`. With `auto` each network is measured with every engine that
            can compute in its precision, and gets one by `scheduler.profile.fastest_engines`.
        fresh: True to measure even if the cache has the profile.
        on_sample: called with the number of samples taken and the number of all.
        apart: words that set this profile apart from others of the same networks on this machine, such as the name of
            the board whose clocks it was measured at; then the CPUs set it apart too.
        affinity: the kernel's masks of threads; None for this machine's.
        tree: the machine's files, which say of what kind its cores are; None for this machine's.
        examples: requests by which the networks are timed.

    Returns:
        The profile. On a machine with cores of several kinds its `machine` says on which of them it was measured.

    Raises:
        SupernetError: for an unknown engine, or a file that an engine can't load.
    """
    affinity = affinity or SystemAffinity()
    kinds = core_kinds(range(os.cpu_count() or 1), tree) | core_kinds(_all_cpus(cpus_by_cores), tree)
    on_kinds = [(cores, sorted(str(kinds[cpu]) for cpu in cpus)) for cores, cpus in sorted(cpus_by_cores.items())]
    measured_with: list[object] = [engines.engine_version(engine), on_kinds]
    if apart:
        measured_with += [apart, sorted(cpus_by_cores.items())]
    if examples is not NOISE:
        measured_with.append(examples.sizes)
    path = _cache_path(supernet, ladder, measured_with)
    machine = machine_name()
    if len(set(kinds.values())) > 1:
        machine += f"; {_kinds_measured(on_kinds)}"
    return _found_or(
        lambda: _measure(supernet, ladder, cpus_by_cores, engine, on_sample, affinity, machine, examples),
        path,
        ladder,
        fresh,
    )


def profile_gpu(
    supernet: str,
    ladder: Ladder,
    device: str,
    *,
    fresh: bool = False,
    on_sample: Callable[[int, int], None] = lambda done, total: None,
) -> Profile:
    """Return the profile of a ladder on a GPU of this machine, from the cache or measured now.

    It is measured through an executor in a process of its own, as requests are served. So every time includes the way
    to the executor and back.

    Args:
        supernet: name of the supernet, for the cache and the reader.
        ladder: sub-networks to measure; every artifact has a torch program.
        device: device as torch names it, such as `cuda:0`.
        fresh: True to measure even if the cache has the profile.
        on_sample: called with the number of samples taken and the number of all.

    Raises:
        ExecutorLostError: if the device can't be used.
        ExecutorError: if the device can't run a network.
    """
    path = _cache_path(supernet, ladder, [engines.engine_version("torch"), device_name(device)])
    return _found_or(lambda: _measure_gpu(supernet, ladder, device, on_sample), path, ladder, fresh)


def _all_cpus(cpus_by_cores: Mapping[int, tuple[int, ...]]) -> list[int]:
    return sorted({cpu for cpus in cpus_by_cores.values() for cpu in cpus})


def _kinds_measured(on_kinds: Sequence[tuple[int, Sequence[str]]]) -> str:
    """Return words such as `1, 2 cores of KIND; 3, 4 cores of OTHER`."""
    by_kinds: dict[str, list[int]] = {}
    for cores, kinds in on_kinds:
        by_kinds.setdefault(" and ".join(f"({kind})" for kind in dict.fromkeys(kinds)), []).append(cores)
    return "; ".join(
        f"{', '.join(map(str, cores))} core{'' if cores == [1] else 's'} of {kinds}"
        for kinds, cores in by_kinds.items()
    )


def _found_or(measure_now: Callable[[], _StoredProfile], path: Path, ladder: Ladder, fresh: bool) -> Profile:
    """Return the profile stored at a path; if there is none that fits, measure and store it."""
    stored = None if fresh else _read(path)
    if stored is None or [rung.subnet for rung in stored.rungs] != [artifact.subnet for artifact, _, _ in ladder]:
        stored = measure_now()
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            file.write_text(stored.model_dump_json())
    rungs = []
    for rung, (_, accuracy, source) in zip(stored.rungs, ladder, strict=True):
        times = tuple(
            ServiceTime(
                kind=time_.kind,
                cores=time_.cores,
                samples_ms=tuple(time_.samples_ms),
                engine=time_.engine,
                base_ms=time_.base_ms,
                per_size_ms=time_.per_size_ms,
                residuals=time_.residuals,
                memory_share=time_.memory_share,
            )
            for time_ in rung.times
        )
        rungs.append(RungProfile(subnet=rung.subnet, accuracy=accuracy, accuracy_source=source, times=times))
    return Profile(
        supernet=stored.supernet,
        machine=stored.machine,
        rungs=tuple(rungs),
        sizes=stored.sizes,
        warnings=stored.warnings,
    )


def _cache_path(supernet: str, ladder: Ladder, measured_with: list[object]) -> Path:
    """Return the path of a profile: a hash of all that its figures depend on is part of the name."""
    depends_on = [
        machine_name(),
        os.cpu_count(),
        [(artifact.subnet, artifact.weights_hash, artifact.precision, *_unable(artifact)) for artifact, _, _ in ladder],
        measured_with,
    ]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    return cache_dir() / "profiles" / f"{supernet}-{key}.json"


def _unable(artifact: Artifact) -> list[str]:
    """Return the engines that can't run a network, so that another copy of it is not served by one of them."""
    return [name for name, _ in artifact.unable]


def _read(path: Path) -> _StoredProfile | None:
    """Return a stored profile; None if there is none or the file can't be used, so that it is measured again."""
    try:
        stored = _StoredProfile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return stored if stored.schema_version == _SCHEMA_VERSION else None


def _measure(
    supernet: str,
    ladder: Ladder,
    cpus_by_cores: Mapping[int, tuple[int, ...]],
    engine: str,
    on_sample: Callable[[int, int], None],
    affinity: Affinity,
    machine: str,
    examples: Examples,
) -> _StoredProfile:
    """Measure a ladder on each number of cores with each engine, and keep the best engine's times."""
    artifacts = [artifact for artifact, _, _ in ladder]
    # In the order in which they take turns, engine by engine. Engines that can compute in the ladder's precision may
    # still be unable to run one of its networks.
    candidates = engines.candidates(artifacts[0].precision) if engine == "auto" else (engine,)
    pairs = [
        (name, artifact)
        for name in candidates
        for artifact in artifacts
        if engine != "auto" or name in engines.able(artifact)
    ]
    total = len(cpus_by_cores) * len(pairs) * _SAMPLES
    done = 0
    interrupted = threading.Event()

    def count() -> None:
        nonlocal done
        if interrupted.is_set():
            raise CancelledError
        done += 1
        on_sample(min(done, total), total)

    measured: dict[tuple[str, int], dict[str, Undisturbed]] = {}
    for cores, cpus in sorted(cpus_by_cores.items()):
        # On a thread of its own: affinity belongs to the thread, and the threads that the engine starts inherit it.
        with ThreadPoolExecutor(1) as pool:
            measuring = pool.submit(_measure_on, pairs, cpus, count, affinity, examples)
            try:
                times = measuring.result()
            except BaseException:  # an interrupt reaches only this thread, and the pool waits for the other one
                interrupted.set()
                raise
        for (name, artifact), taken in zip(pairs, times, strict=True):
            measured.setdefault((artifact.subnet, cores), {})[name] = taken
    chosen = fastest_engines(
        {form: {name: median(taken.samples_ms) for name, taken in times.items()} for form, times in measured.items()}
    )
    rungs = [_StoredRung(subnet=artifact.subnet, times=[]) for artifact in artifacts]
    warnings = []
    for rung in rungs:
        for cores in sorted(cpus_by_cores):
            name = chosen[rung.subnet, cores]
            taken = measured[rung.subnet, cores][name]
            rung.times.append(_stored(taken, kind="cpu", cores=cores, engine=name))
            warnings += [f"{rung.subnet}, {cores} core(s): {complaint}" for complaint in taken.complaints()]
    return _StoredProfile(
        supernet=supernet, machine=machine, sizes=examples.sizes, warnings=tuple(warnings), rungs=rungs
    )


def _stored(taken: Undisturbed, *, kind: Literal["cpu", "gpu"], cores: int, engine: str) -> _StoredTime:
    return _StoredTime(
        kind=kind,
        cores=cores,
        engine=engine,
        samples_ms=list(taken.samples_ms),
        disturbed=taken.disturbed,
        base_ms=taken.base_ms,
        per_size_ms=taken.per_size_ms,
        residuals=taken.residuals,
    )


def _measure_gpu(supernet: str, ladder: Ladder, device: str, on_sample: Callable[[int, int], None]) -> _StoredProfile:
    artifacts = [artifact for artifact, _, _ in ladder]
    total = len(artifacts) * _SAMPLES
    taken = iter(range(1, ROUNDS_AT_MOST * total + 1))
    with own_executor(device) as executor:
        networks = [executor.prepare(artifact) for artifact in artifacts]
        times = measure(
            networks, NOISE.inputs(artifacts), lambda: on_sample(min(next(taken), total), total), samples=_SAMPLES
        )
    engine = f"torch ({device.partition(':')[0]})"
    rungs = [
        _StoredRung(subnet=artifact.subnet, times=[_stored(kept, kind="gpu", cores=1, engine=engine)])
        for artifact, kept in zip(artifacts, times, strict=True)
    ]
    return _StoredProfile(supernet=supernet, machine=f"{machine_name()}, {device_name(device)}", rungs=rungs)


def _measure_on(
    pairs: Sequence[tuple[str, Artifact]],
    cpus: tuple[int, ...],
    count: Callable[[], None],
    affinity: Affinity,
    examples: Examples,
) -> list[Undisturbed]:
    """Measure on the given CPUs, each artifact in its engine: all of the first engine, then all of the next.

    It pins the calling thread.
    """
    affinity.set(threading.get_native_id(), cpus)
    networks = [engines.prepare(artifact, name, threads=len(cpus)) for name, artifact in pairs]
    names = [name for name, _ in pairs]
    turns = [names.index(name) for name in dict.fromkeys(names)] if len(set(names)) > 1 else ()
    return measure(
        networks,
        examples.inputs([artifact for _, artifact in pairs]),
        count,
        sizes=examples.sizes,
        work=examples.work,
        samples=_SAMPLES,
        settle_before=turns,
    )
