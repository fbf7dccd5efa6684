"""Evolutionary search for the most accurate sub-network under each of several latency limits. Knows no torch.

It follows Once-for-all (arXiv 1908.09791) and Dynamic-OFA (arXiv 2105.03596): in each generation the most accurate
sub-networks that are fast enough become parents, and their children are mutations and crossovers. All limits share one
pool, so that a sub-network found under one limit serves the others too. Sub-networks are rows of an array of *genes*,
so that a whole generation is scored at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from supernets.errors import SupernetError
from supernets.ofa.space import Architecture, Space

Genes = NDArray[np.int64]
"""Sub-networks, shape (n, genes). The genes of one are the kernel of every block, the expansion of every block, the
depth of every stage and the resolution, each as the index of an option of its space."""

Scoring = Callable[[Genes], NDArray[np.float64]]
"""Gives sub-networks (n, genes) one figure each, (n,)."""

_REDRAWS = 8
"""Number of draws for the children of one kind; those that are too slow are drawn again."""

_SHRINKS = 16
"""Number of times that first sub-networks which are too slow are made smaller."""


class Encoding:
    """The translation between the sub-networks of a space and genes.

    Args:
        space: the space.
        resolutions: resolutions to choose from; None takes all of the space.

    Attributes:
        space: the space.
        resolutions: resolutions to choose from.
        kernel: the genes of the blocks' kernels.
        expand: the genes of the blocks' expansions.
        depth: the genes of the stages' depths.
        options: (genes,), number of options of each gene; option 0 is the smallest.
        units: (genes,), number of the unit that each gene mutates with; a block's kernel and expansion are one unit,
            as in Once-for-all.
    """

    def __init__(self, space: Space, resolutions: Sequence[int] | None = None) -> None:
        self.space = space
        self.resolutions = tuple(space.resolutions if resolutions is None else resolutions)
        blocks, stages = space.blocks, len(space.stages)
        self.kernel = slice(0, blocks)
        self.expand = slice(blocks, 2 * blocks)
        self.depth = slice(2 * blocks, 2 * blocks + stages)
        counts = (len(space.kernels), len(space.expands), len(space.depths), len(self.resolutions))
        self.options = np.repeat(counts, (blocks, blocks, stages, 1))
        self.units = np.concatenate([np.tile(np.arange(blocks), 2), np.arange(blocks, blocks + stages + 1)])
        self._depths = np.array(space.depths)

    def active(self, genes: Genes) -> NDArray[np.bool_]:
        """Return (n, blocks): True for a block within its stage's depth."""
        position = np.arange(self.space.max_depth)
        within: NDArray[np.bool_] = position < self._depths[genes[:, self.depth]][:, :, None]
        return within.reshape(len(genes), self.space.blocks)

    def canonical(self, genes: Genes) -> Genes:
        """Return the same sub-networks with unused blocks at option 0."""
        active = self.active(genes)
        rest = np.ones((len(genes), self.options.size - 2 * self.space.blocks), dtype=bool)
        return np.where(np.concatenate([active, active, rest], axis=1), genes, 0)

    def decoded(self, row: NDArray[np.int64]) -> tuple[Architecture, int]:
        """Return the architecture and the resolution of one row."""
        space = self.space
        architecture = Architecture(
            kernel=tuple(space.kernels[i] for i in row[self.kernel]),
            expand=tuple(space.expands[i] for i in row[self.expand]),
            depth=tuple(space.depths[i] for i in row[self.depth]),
        )
        return space.canonical(architecture), self.resolutions[row[-1]]

    def encoded(self, architecture: Architecture, resolution: int) -> NDArray[np.int64]:
        """Return the row (genes,) of a point of the space."""
        space = self.space
        architecture = space.canonical(architecture)
        return np.array(
            [space.kernels.index(k) for k in architecture.kernel]
            + [space.expands.index(e) for e in architecture.expand]
            + [space.depths.index(d) for d in architecture.depth]
            + [self.resolutions.index(resolution)]
        )

    def ends(self) -> Genes:
        """Return the smallest and the largest architecture at every resolution."""
        architectures = (self.space.smallest, self.space.largest)
        return np.array([self.encoded(a, r) for r in self.resolutions for a in architectures])

    def random(self, count: int, rng: np.random.Generator) -> Genes:
        """Return sub-networks with every knob drawn uniformly."""
        return self.canonical(rng.integers(0, self.options, (count, self.options.size)))


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolutionPlan:
    """The extent of a search; the defaults are Dynamic-OFA's (arXiv 2105.03596).

    Attributes:
        seed: seed of everything random.
        population: sub-networks of a generation, for each limit.
        generations: number of generations.
        parent_ratio: share of the population that has children.
        mutate_probability: probability that a block, a depth or the resolution of a mutated child is drawn anew.
        mutation_ratio: share of the children that are mutations; the rest are crossovers.
    """

    seed: int = 0
    population: int = 100
    generations: int = 500
    parent_ratio: float = 0.25
    mutate_probability: float = 0.4
    mutation_ratio: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """Sub-networks with their scores.

    Attributes:
        genes: (n, genes), the sub-networks.
        latency_ms: (n,), their latencies in milliseconds.
        accuracy: (n,), their accuracies as fractions.
    """

    genes: Genes
    latency_ms: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    def best(self, limit_ms: float, count: int) -> NDArray[np.int64]:
        """Return the indices of the `count` most accurate within a limit; of equals the fastest, then by genes."""
        within = np.flatnonzero(self.latency_ms <= limit_ms)
        keys = (*self.genes[within].T[::-1], self.latency_ms[within], -self.accuracy[within])
        return within[np.lexsort(keys)[:count]]

    def under(self, limits_ms: Sequence[float]) -> Candidates:
        """Return the most accurate within each limit, in the order of the limits.

        Raises:
            SupernetError: if nothing is within a limit.
        """
        found = [self.best(limit, 1) for limit in limits_ms]
        for limit, best in zip(limits_ms, found, strict=True):
            if not best.size:
                fastest_ms = self.latency_ms.min()
                raise SupernetError(
                    f"no sub-network is within {limit:.4g} ms: the fastest takes {fastest_ms:.4g} ms; raise the limit"
                )
        return self.taken(np.concatenate(found))

    def taken(self, indices: NDArray[np.int64]) -> Candidates:
        """Return the sub-networks at some indices."""
        return Candidates(
            genes=self.genes[indices], latency_ms=self.latency_ms[indices], accuracy=self.accuracy[indices]
        )


def evolve(
    encoding: Encoding,
    latency_ms: Scoring,
    accuracy: Scoring,
    limits_ms: Sequence[float],
    plan: EvolutionPlan,
    on_generation: Callable[[int, int], None] = lambda done, total: None,
) -> Candidates:
    """Return the most accurate sub-network that is found under each limit, in the order of the limits.

    Args:
        encoding: the encoding of the space to search.
        latency_ms: gives latencies in milliseconds; called for many sub-networks that are too slow.
        accuracy: gives accuracies; called only for sub-networks within a limit, and once for each.
        limits_ms: latencies to stay within.
        plan: the extent of the search; the same plan and scores find the same sub-networks.
        on_generation: called with the number of generations that are done, and of all.

    Raises:
        SupernetError: if nothing is within a limit.
    """
    rng = np.random.default_rng(plan.seed)
    ends = encoding.ends()
    # This refuses a limit that no sub-network is within, before accuracies are measured, which may take long.
    Candidates(genes=ends, latency_ms=latency_ms(ends), accuracy=np.zeros(len(ends))).under(limits_ms)
    first = [ends, *(_first(encoding, latency_ms, limit, plan.population, rng) for limit in limits_ms)]
    nothing = Candidates(genes=ends[:0], latency_ms=np.empty(0), accuracy=np.empty(0))
    pool = _joined(nothing, np.concatenate(first), latency_ms, accuracy, max(limits_ms))
    parents = max(1, round(plan.parent_ratio * plan.population))
    mutations = round(plan.mutation_ratio * plan.population)
    for generation in range(plan.generations):
        # Under each limit the most accurate of the whole pool are parents, whichever limit they were found under.
        kept, children = [], []
        for limit in limits_ms:
            best = pool.best(limit, parents)
            kept.append(best)
            mutated = partial(_mutated, encoding, pool.genes[best], plan.mutate_probability, rng)
            crossed = partial(_crossed, encoding, pool.genes[best], rng)
            children.append(_fast_enough(mutated, mutations, latency_ms, limit))
            children.append(_fast_enough(crossed, plan.population - mutations, latency_ms, limit))
        # Only parents stay in the pool (truncation selection), so the best so far is never lost.
        survivors = pool.taken(np.unique(np.concatenate(kept)))
        pool = _joined(survivors, np.concatenate(children), latency_ms, accuracy, max(limits_ms))
        on_generation(generation + 1, plan.generations)
    return pool.under(limits_ms)


def _first(encoding: Encoding, latency_ms: Scoring, limit_ms: float, count: int, rng: np.random.Generator) -> Genes:
    """Return random sub-networks, nearly all of them within a limit.

    Those that are too slow are shrunk: each knob goes to its smallest option with probability 1/2, up to 16 times.
    Drawing anew would find hardly any under a tight limit.
    """
    genes = encoding.random(count, rng)
    for _ in range(_SHRINKS):
        slow = latency_ms(genes) > limit_ms
        shrunk = rng.random(genes.shape) < 0.5
        genes = encoding.canonical(np.where(slow[:, None] & shrunk, 0, genes))
    return genes


def _fast_enough(draw: Callable[[int], Genes], count: int, latency_ms: Scoring, limit_ms: float) -> Genes:
    """Return up to `count` children within the limit; those that are too slow are drawn again, a few times."""
    found, missing = [], count
    for _ in range(_REDRAWS):
        drawn = draw(missing)
        found.append(drawn[latency_ms(drawn) <= limit_ms])
        missing -= len(found[-1])
        if missing == 0:
            break
    return np.concatenate(found)


def _mutated(encoding: Encoding, parents: Genes, probability: float, rng: np.random.Generator, count: int) -> Genes:
    """Return children of one parent each, with each unit of genes drawn anew with some probability."""
    genes = parents[rng.integers(0, len(parents), count)]
    changes = rng.random((count, encoding.units[-1] + 1)) < probability
    return encoding.canonical(
        np.where(changes[:, encoding.units], rng.integers(0, encoding.options, genes.shape), genes)
    )


def _crossed(encoding: Encoding, parents: Genes, rng: np.random.Generator, count: int) -> Genes:
    """Return children that take each gene from one of two parents, with probability 1/2 (uniform crossover)."""
    one, other = parents[rng.integers(0, len(parents), (2, count))]
    return encoding.canonical(np.where(rng.random(one.shape) < 0.5, one, other))


def _joined(known: Candidates, genes: Genes, latency_ms: Scoring, accuracy: Scoring, highest_ms: float) -> Candidates:
    """Return a pool with more sub-networks, each of them once, without those that are slower than every limit."""
    everything = np.concatenate([known.genes, genes])
    _, first = np.unique(everything, axis=0, return_index=True)
    fresh = everything[first[first >= len(known.genes)]]
    times_ms = latency_ms(fresh)
    fresh, times_ms = fresh[times_ms <= highest_ms], times_ms[times_ms <= highest_ms]
    return Candidates(
        genes=np.concatenate([known.genes, fresh]),
        latency_ms=np.concatenate([known.latency_ms, times_ms]),
        accuracy=np.concatenate([known.accuracy, accuracy(fresh)]),
    )


def pareto(latency_ms: Sequence[float], accuracy: Sequence[float]) -> list[int]:
    """Return the indices on the Pareto front of low latency and high accuracy, fastest first.

    Latencies (1, 2, 3) ms with accuracies (0.6, 0.5, 0.7) give the indices [0, 2].
    """
    front: list[int] = []
    for index in sorted(range(len(latency_ms)), key=lambda i: (latency_ms[i], -accuracy[i])):
        if not front or accuracy[index] > accuracy[front[-1]]:
            front.append(index)
    return front
