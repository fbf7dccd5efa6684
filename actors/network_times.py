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

    With 200 samples of 1,000 requests, one of each five next to each other in size is timed. So the samples are as long
    as the stream, and their 95 % quantile covers 94.8 ± 0.8 % of it; 200 taken by chance cover 94.6 ± 1.5 % (mean and
    standard deviation of 300 draws, lengths of held-out translations, 3 % noise).

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
        samples: number of undisturbed samples of each network that are wanted, each of a request of its own where the
            stream has as many.
        patience: most turns for each wanted sample, after which the machine counts as never calm.
        settle_before: places of the networks before whose turn nothing runs for a moment. They are the first networks
            of an engine: threads of the engine before may still look for work.

    Returns:
        The undisturbed times of each network.
    """
    calm: list[list[Timed]] = [[] for _ in prepared]
    taken_away: list[list[Timed]] = [[] for _ in prepared]
    order = _spread_by_size(sizes, samples)
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
            before, request = (order[(requests[number] + step) % samples] for step in (-1, 0))
            network(of_stream[before])
            took_ms, calmly, output = timed_output(network, of_stream[request])
            taken = Timed(took_ms, work(output), sizes[request])
            (calm if calmly else taken_away)[number].append(taken)
            # A request during which the core was taken away is tried again, and where requests differ in size the
            # fastest of its tries stands for it in the end. It happens to long ones more often, and without them the
            # samples would be of requests that are too short.
            tries[number] += 1
            if calmly or tries[number] == patience:
                if not calmly and len(sizes) > 1:
                    fastest = min(taken_away[number][-patience:], key=lambda one: one.ms)
                    taken_away[number].remove(fastest)
                    calm[number].append(fastest)
                requests[number], tries[number] = requests[number] + 1, 0
            on_sample()
    return [undisturbed(*taken, enough=samples // 10) for taken in zip(calm, taken_away, strict=True)]


def _spread_by_size(sizes: Sequence[float], count: int) -> list[int]:
    """Return so many requests, by their number, spread evenly over the requests in order of size.

    They come in an order by chance, so that no size has more of a disturbance than others.
    """
    rng = np.random.default_rng(0)
    places = (np.arange(count) + rng.random(count)) * len(sizes) / count
    chosen: list[int] = rng.permutation(np.argsort(sizes, kind="stable")[places.astype(int)]).tolist()
    return chosen
