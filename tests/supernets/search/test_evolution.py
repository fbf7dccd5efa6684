"""The evolutionary search: genes, limits, and the optimum of spaces small enough to look through."""

from __future__ import annotations

import itertools
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.tiny_space import TINY, architectures
from supernets.errors import SupernetError
from supernets.ofa.space import Architecture, Space
from supernets.search.evolution import Candidates, Encoding, EvolutionPlan, Genes, evolve, pareto
from supernets.search.latency import FloatArray

SMALL = Space(
    name="small",
    task="plates",
    in_channels=1,
    aspect=1,
    stem_width=8,
    first_width=8,
    stages=TINY.stages[:1],
    final_expand=16,
    cells=1,
    feature_mix=8,
    classes=4,
    kernels=(3, 5),
    expands=(1, 2),
    depths=(1, 2),
    resolutions=(16, 24, 32),
)
QUICK = EvolutionPlan(population=40, generations=25)


class Tables:
    """Latency and accuracy as sums over a sub-network's blocks, with separate figures for every choice."""

    def __init__(self, space: Space, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.encoding = Encoding(space)
        shape = (space.blocks, len(space.kernels), len(space.expands))
        self._block_ms = rng.uniform(0.1, 1.0, shape)
        self._block_gain = rng.uniform(0.0, 0.1, shape)
        self._pixels = np.array(space.resolutions) / space.resolutions[-1]

    def latency_ms(self, genes: Genes) -> FloatArray:
        return self._sum(self._block_ms, genes) * self._pixels[genes[:, -1]] ** 2 + 0.2

    def accuracy(self, genes: Genes) -> FloatArray:
        return self._sum(self._block_gain, genes) + 0.3 * self._pixels[genes[:, -1]]

    def _sum(self, table: FloatArray, genes: Genes) -> FloatArray:
        encoding = self.encoding
        entries = table[np.arange(encoding.space.blocks), genes[:, encoding.kernel], genes[:, encoding.expand]]
        total: FloatArray = (entries * encoding.active(genes)).sum(axis=1)
        return total


def everything(encoding: Encoding) -> Genes:
    return np.array(list(itertools.product(*(range(count) for count in encoding.options))))


@given(architectures(TINY), st.sampled_from(TINY.resolutions))
def test_genes_are_the_network(architecture: Architecture, resolution: int) -> None:
    encoding = Encoding(TINY)
    row = encoding.encoded(architecture, resolution)
    assert encoding.decoded(row) == (TINY.canonical(architecture), resolution)
    assert (encoding.canonical(row[None]) == row).all()
    used = [index for index, *_ in TINY.active_blocks(architecture)]
    assert np.flatnonzero(encoding.active(row[None])[0]).tolist() == used


def test_unused_blocks_make_no_other_network() -> None:
    encoding = Encoding(TINY)
    genes = encoding.random(50, np.random.default_rng(0))
    changed = genes.copy()
    changed[:, encoding.kernel] = np.where(encoding.active(genes), genes[:, encoding.kernel], 1)
    assert (changed != genes).any()
    assert (encoding.canonical(changed) == genes).all()


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4))
def test_the_search_finds_the_optimum_of_a_small_space(seed: int, shares: list[float]) -> None:
    tables = Tables(SMALL, seed)
    all_genes = everything(tables.encoding)
    times_ms, accuracies = tables.latency_ms(all_genes), tables.accuracy(all_genes)
    lowest, highest = tables.latency_ms(tables.encoding.ends()).min(), times_ms.max()
    limits_ms = [float(lowest + share * (highest - lowest)) for share in shares]
    found = evolve(tables.encoding, tables.latency_ms, tables.accuracy, limits_ms, QUICK)
    for limit, latency_ms, accuracy in zip(limits_ms, found.latency_ms, found.accuracy, strict=True):
        assert latency_ms <= limit
        assert accuracy == pytest.approx(accuracies[times_ms <= limit].max())


def test_a_higher_limit_is_never_worse_and_scores_are_what_they_say() -> None:
    tables = Tables(TINY, seed=1)
    ends_ms = tables.latency_ms(tables.encoding.ends())
    limits_ms = np.geomspace(ends_ms.min(), ends_ms.max(), 6).tolist()
    found = evolve(tables.encoding, tables.latency_ms, tables.accuracy, limits_ms, QUICK)
    assert (found.latency_ms == tables.latency_ms(found.genes)).all()
    assert (found.accuracy == tables.accuracy(found.genes)).all()
    assert (found.latency_ms <= np.array(limits_ms)).all()
    assert all(a <= b for a, b in pairwise(found.accuracy))


def test_the_seed_decides() -> None:
    tables = Tables(TINY, seed=2)
    limits_ms = [1.0, 2.0]

    def run(seed: int) -> Genes:
        plan = EvolutionPlan(seed=seed, population=8, generations=2)
        return evolve(tables.encoding, tables.latency_ms, tables.accuracy, limits_ms, plan).genes

    assert (run(0) == run(0)).all()
    assert any((run(0) != run(seed)).any() for seed in range(1, 5))


def test_accuracy_is_asked_only_of_what_some_limit_admits() -> None:
    tables = Tables(TINY, seed=3)
    asked: list[float] = []

    def accuracy(genes: Genes) -> FloatArray:
        asked.extend(tables.latency_ms(genes))
        return tables.accuracy(genes)

    evolve(tables.encoding, tables.latency_ms, accuracy, [1.0, 1.5], EvolutionPlan(population=10, generations=3))
    assert asked
    assert max(asked) <= 1.5


def test_every_end_of_every_resolution_is_tried() -> None:
    """The best is found even if it is hardly ever drawn at random, such as the largest at a middle resolution."""
    tables = Tables(TINY, seed=4)
    seen: list[tuple[int, ...]] = []

    def accuracy(genes: Genes) -> FloatArray:
        seen.extend(map(tuple, genes.tolist()))
        return tables.accuracy(genes)

    limits_ms = [float(tables.latency_ms(tables.encoding.ends()).max())]
    evolve(tables.encoding, tables.latency_ms, accuracy, limits_ms, EvolutionPlan(population=2, generations=0))
    assert set(map(tuple, tables.encoding.ends().tolist())) <= set(seen)
    assert len(tables.encoding.ends()) == 2 * len(TINY.resolutions)


def test_a_limit_that_nothing_is_within_is_refused() -> None:
    tables = Tables(TINY, seed=5)
    fastest = float(tables.latency_ms(tables.encoding.ends()).min())
    with pytest.raises(SupernetError, match=rf"within 0\.01 ms: the fastest takes {fastest:.4g} ms"):
        evolve(tables.encoding, tables.latency_ms, tables.accuracy, [5.0, 0.01], QUICK)


def test_of_equals_the_fastest_is_best() -> None:
    pool = Candidates(
        genes=np.array([[0], [1], [2], [3]]),
        latency_ms=np.array([3.0, 2.0, 1.0, 9.0]),
        accuracy=np.array([0.5, 0.5, 0.4, 0.9]),
    )
    assert pool.best(3.0, 4).tolist() == [1, 0, 2]
    assert pool.under([1.0, 3.0, 10.0]).genes[:, 0].tolist() == [2, 1, 3]


def test_resolutions_can_be_restricted() -> None:
    encoding = Encoding(TINY, [24])
    genes = encoding.random(20, np.random.default_rng(0))
    assert {encoding.decoded(row)[1] for row in genes} == {24}


POINTS = st.lists(st.tuples(st.integers(1, 12).map(float), st.integers(0, 12).map(float)), max_size=30)


@given(POINTS)
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    times_ms, accuracies = [t for t, _ in points], [a for _, a in points]
    front = [points[index] for index in pareto(times_ms, accuracies)]
    for (t, a), (later_t, later_a) in pairwise(front):
        assert t < later_t
        assert a < later_a
    for t, a in points:  # everything is as slow and as inaccurate as something on the front, or more so
        assert any(best_t <= t and best_a >= a for best_t, best_a in front)
