"""The ladders of users' own models: read, tried in the engines, and refused before anything starts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from actors.paths import cache_dir
from actors.profiling import Ladder
from scheduler.errors import BROKEN
from supernets import SupernetError, engines, own_model
from supernets.artifact import Artifact
from workloads.mix.app import Family


def family_ladder(family: Family, trials: engines.Trials) -> Ladder:
    """Return the ladder of a family, each model with the engines that can't run it.

    Args:
        family: the models.
        trials: the process in which those are tried that were never seen before.

    Raises:
        SupernetError: for a model that no engine can run, or whose input can't be served; and for models that give
            several outputs, and not the same ones.
    """
    read = [own_model.read(rung.id, rung.path, family.output, family.inputs) for rung in family.rungs]
    given = {artifact.outputs: artifact for artifact in read}
    if any(len(outputs) > 1 for outputs in given) and len(given) > 1:
        differing = " and ".join(f"{artifact.path} gives {', '.join(outputs)}" for outputs, artifact in given.items())
        shared = set.intersection(*(set(outputs) for outputs in given))
        fix = f"name one: Family([...], output={min(shared)!r})" if shared else "export them with the same ones"
        raise SupernetError(f"models of one Family must give the same outputs, but {differing}; {fix}")
    return [
        (_tried(artifact, trials), rung.accuracy, "unknown" if rung.accuracy is None else "published")
        for artifact, rung in zip(read, family.rungs, strict=True)
    ]


def left_out_lines(ladders: Iterable[Ladder]) -> list[str]:
    """Return a sentence for each engine that `auto` leaves out: on this machine, or for a model of one's own."""
    lines = [f"engine {name} can't be used here: {reason}" for name, reason in engines.unusable().items()]
    for ladder in ladders:
        for artifact, _, _ in ladder:
            with_ = " and ".join(engines.able(artifact))
            lines += [f"{artifact.subnet} runs in {with_} alone: {reason}" for _, reason in artifact.unable]
    return list(dict.fromkeys(lines))


def _tried(artifact: Artifact, trials: engines.Trials) -> Artifact:
    """Return the model with the engines that can't run it; that is found out once, and remembered."""
    # The path counts too: an engine may refuse weights behind a link that it takes beside the file.
    depends_on = (
        artifact.path,
        artifact.weights_hash,
        artifact.input_shape,
        artifact.outputs,
        engines.engine_version(),
    )
    seen = cache_dir() / "trials" / f"{hashlib.sha256(repr(depends_on).encode()).hexdigest()[:16]}.json"
    with suppress(OSError, *BROKEN):
        return replace(artifact, unable=tuple((str(name), str(why)) for name, why in json.loads(seen.read_text())))
    try:
        tried, lasting = engines.tried(artifact, trials)
    except SupernetError as error:
        suspicion = own_model.suspicion(Path(artifact.path))
        raise SupernetError(f"{error}. {suspicion}" if suspicion else str(error)) from None
    if lasting:
        seen.parent.mkdir(parents=True, exist_ok=True)
        new = seen.with_suffix(f".{os.getpid()}")  # another run may try the same model now
        new.write_text(json.dumps(tried.unable))
        new.replace(seen)
    return tried
