"""Times of networks on this machine: what they run on while they are timed, and the turns in which they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.sizes import size_of, work_of
from actors.undisturbed import Timed, Undisturbed, undisturbed
from supernets import engines
from supernets.artifact import Artifact
from supernets.outputs import Output
from supernets.search.latency import timed_output
from supernets.task import Source

ROUNDS_AT_MOST = 4
"""Most inferences of a network for each undisturbed sample that is wanted."""
_SETTLE_S = 0.002
"""Pause before the turn of another engine, in which the threads of the one before go to sleep."""


def noise(artifacts: Sequence[Artifact]) -> list[NDArray[np.float32]]:
    """Return an input of noise for each artifact."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(artifact.input_shape, dtype=np.float32) for artifact in artifacts]


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """Requests by which networks are timed: one of noise, unless time depends on the request.

    With 200 samples the first 200 requests are timed, so these are to be like all others of their stream.

    Attributes:
        inputs: returns for each of some artifacts the inputs of the stream's requests, by their number.
        sizes: their sizes, which are known before they run.
        work: returns the work that was done for an output.
    """

    inputs: Callable[[Sequence[Artifact]], Sequence[Sequence[Any]]] = lambda artifacts: [[x] for x in noise(artifacts)]
    sizes: tuple[float, ...] = (1.0,)
    work: Callable[[Output], float] = lambda output: 1.0


NOISE = Examples()


def examples_of(source: Source, artifact: Artifact, count: int) -> Examples:
    """Return the first requests of a source's stream as examples; noise where its requests are all of size 1.

    Args:
        source: the stream.
        artifact: one of the networks, to tell sizes by; they are the same for all.
        count: how many requests; after so many the stream is to begin anew, so that sizes by number are right for ever.
    """
    of_stream = source.inputs(artifact)
    sizes = tuple(size_of(source.task, of_stream(index)) for index in range(count))
    if set(sizes) == {1.0}:
        return NOISE

    def inputs(artifacts: Sequence[Artifact]) -> list[list[Any]]:
        return [[of_network(index) for index in range(count)] for of_network in map(source.inputs, artifacts)]

    return Examples(inputs=inputs, sizes=sizes, work=lambda output: work_of(source.task, output))


def measure(
    prepared: Sequence[engines.PreparedNetwork],
    inputs: Sequence[Sequence[Any]],
    on_sample: Callable[[], None] = lambda: None,
    *,
    sizes: Sequence[float] = (1.0,),
    work: Callable[[Output], float] = NOISE.work,
    samples: int,
    patience: int = ROUNDS_AT_MOST,
    settle_before: Collection[int] = (),
) -> list[Undisturbed]:
    """Time networks in turns on the calling thread, so that a stall hits all of them.

    Args:
        prepared: networks to run.
        inputs: for each network the inputs of the stream's requests, by their number.
        on_sample: called after each sample.
        sizes: the sizes of these requests.
        work: returns the work that was done for an output.
        samples: number of undisturbed samples of each network that are wanted.
        patience: most turns for each wanted sample, after which the machine counts as never calm.
        settle_before: places of the networks before whose turn nothing runs for a moment. They are the first networks
            of an engine: threads of the engine before may still look for work.

    Returns:
        The undisturbed times of each network.
    """
    calm: list[list[Timed]] = [[] for _ in prepared]
    taken_away: list[list[Timed]] = [[] for _ in prepared]
    requests, tries = [0] * len(prepared), [0] * len(prepared)
    for _ in range(patience * samples):
        if all(len(taken) >= samples for taken in calm):
            break
        for number, (network, of_stream) in enumerate(zip(prepared, inputs, strict=True)):
            if number in settle_before:
                time.sleep(_SETTLE_S)
            # A network runs twice in its turn, and the second time counts. The first brings its weights back into the
            # caches that the others filled; how long that takes depends on the order and not on the network. It is the
            # request before, as in a stream: what an engine does anew for another input is part of a request's time.
            request = requests[number]
            network(of_stream[(request - 1) % len(of_stream)])
            took_ms, calmly, output = timed_output(network, of_stream[request % len(of_stream)])
            taken = Timed(took_ms, work(output), sizes[request % len(sizes)])
            (calm if calmly else taken_away)[number].append(taken)
            # A request during which the core was taken away is tried again. That happens to long ones more often, and
            # without them the samples would be of requests that are too short.
            tries[number] += 1
            if calmly or tries[number] == patience:
                requests[number], tries[number] = request + 1, 0
            on_sample()
    return [undisturbed(*taken, enough=samples // 10) for taken in zip(calm, taken_away, strict=True)]
