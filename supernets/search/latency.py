"""Latency of sub-networks on this machine: measured ones, and a predictor fitted to them. Knows no torch.

The predictor is a sum over blocks. A block's time is its work, of a few kinds (multiply-accumulates of each kind of
layer, activations written, weights read, a fixed part), times one rate for each kind, and the rates are fitted to
whole networks measured in the engine that will serve them. So what a block costs inside a network is what is fitted,
with its layout changes, fused layers and weights that are not in a cache, and any engine will do. Rates are not
negative, so that a search can't gain by more work.
"""

from __future__ import annotations

import os
import resource
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from supernets.engines.common import Run
from supernets.ofa.space import Space, make_divisible
from supernets.search.evolution import Encoding, Genes

_WINDOW = 8
"""Networks that are measured in turns."""
_ROUNDS = 3
_IN_A_ROW = 2
"""Samples of a network in a round: 48 in all, spread over the time that eight exports take."""
_QUANTILE = 10
_SWEEPS = 5000

FloatArray = NDArray[np.float64]


def timed(run: Run, x: NDArray[np.float32]) -> tuple[float, bool]:
    """Milliseconds of one inference, and whether the kernel left the thread alone meanwhile."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    start = time.perf_counter()
    run(x)
    took_ms = (time.perf_counter() - start) * 1e3
    return took_ms, resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw == before


@contextmanager
def on_cpus(cpus: Collection[int]) -> Iterator[None]:
    """This thread, and whatever threads it starts, on those CPUs; nothing changes where there are none."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class TimedNetwork:
    """One network to be timed.

    Args:
        run: the network.
        input_shape: of one inference.
        cpus: to run on; none for wherever this thread is.
    """

    def __init__(self, run: Run, input_shape: tuple[int, ...], cpus: Collection[int] = ()) -> None:
        self._run = run
        self._cpus = cpus
        self._x = np.random.default_rng(0).standard_normal(input_shape, dtype=np.float32)

    def sample(self) -> list[tuple[float, bool]]:
        """Some runs as `timed`; one before them, which brings the weights back into the caches, does not count."""
        with on_cpus(self._cpus):
            self._run(self._x)
            return [timed(self._run, self._x) for _ in range(_IN_A_ROW)]


def in_turns(watches: Sequence[TimedNetwork], rounds: int) -> list[float]:
    """Each network's latency now, in milliseconds: timed in turns, so that a stall hits all alike."""
    samples: list[list[tuple[float, bool]]] = [[] for _ in watches]
    for _ in range(rounds):
        for watch, kept in zip(watches, samples, strict=True):
            kept += watch.sample()
    return [_typical(kept) for kept in samples]


def _typical(samples: Sequence[tuple[float, bool]]) -> float:
    """The lower quartile of the undisturbed samples, or of all where hardly any was undisturbed."""
    calm = [took_ms for took_ms, undisturbed in samples if undisturbed]
    enough = len(calm) >= len(samples) // 4
    return float(np.percentile(calm if enough else [took_ms for took_ms, _ in samples], 25))


def relative_latencies(
    reference: TimedNetwork, networks: Iterable[TimedNetwork], on_reference: Callable[[float], None]
) -> Iterator[float]:
    """The latency of each network as a multiple of the reference's, in their order.

    A shared machine is slower at one time than at another, by more than networks differ. So whenever a network comes,
    the latest few and the reference are timed in turns: each network is compared with the reference several times,
    some seconds apart, and few are in memory at once. What counts is the median of the ratios.

    Args:
        reference: the same for all that is to be compared.
        networks: opened as they are needed.
        on_reference: called with the reference's latency of each time, in milliseconds.
    """
    window: deque[tuple[TimedNetwork, list[float]]] = deque()

    def compare() -> None:
        reference_ms, *times_ms = in_turns([reference, *(watch for watch, _ in window)], _ROUNDS)
        on_reference(reference_ms)
        for (_, ratios), time_ms in zip(window, times_ms, strict=True):
            ratios.append(time_ms / reference_ms)

    for network in networks:
        window.append((network, []))
        compare()
        if len(window) == _WINDOW:
            yield median(window.popleft()[1])
    for _ in range(_WINDOW):
        compare()
    yield from (median(ratios) for _, ratios in window)


def undisturbed_ms(reference_ms: Sequence[float]) -> float:
    """The reference's latency when the machine is at its best: a shared machine only ever adds time."""
    return float(np.percentile(reference_ms, _QUANTILE))


def sample_networks(encoding: Encoding, count: int, rng: np.random.Generator) -> Genes:
    """Sub-networks to fit a predictor to: the ends at the ends of resolution, and random ones, small to large.

    Each random one has odds of its own for every knob's options, since even odds make nothing but middling ones.
    """
    ends = encoding.ends()[[0, 1, -2, -1]]
    genes = np.empty((max(0, count - len(ends)), encoding.options.size), dtype=np.int64)
    for row in genes:
        for part in (encoding.kernel, encoding.expand, encoding.depth, slice(-1, None)):
            options = encoding.options[part]
            row[part] = rng.choice(options[0], size=options.size, p=rng.dirichlet(np.ones(options[0])))
    return np.concatenate([ends[:count], encoding.canonical(genes)])


def fitted_rates(encoding: Encoding, genes: Genes, latency_ms: FloatArray) -> FloatArray:
    """Milliseconds for each unit of work (kinds,), fitted to sub-networks (n, genes) and their latencies (n,)."""
    blocks, ends = work(encoding.space, encoding.resolutions)
    features = _summed(encoding, blocks, genes) + ends[genes[:, -1]]
    # Relative errors, so that the fit is as good for small networks as for large ones.
    return _non_negative_least_squares(features / latency_ms[:, None], np.ones(len(genes)))


class LatencyPredictor:
    """Latency of any sub-network of a space.

    Args:
        encoding: of the sub-networks.
        rates: milliseconds for each unit of work (kinds,).
    """

    def __init__(self, encoding: Encoding, rates: FloatArray) -> None:
        self._encoding = encoding
        blocks, ends = work(encoding.space, encoding.resolutions)
        self._blocks_ms: FloatArray = (blocks @ rates)[..., None]
        self._ends_ms: FloatArray = ends @ rates

    def __call__(self, genes: Genes) -> FloatArray:
        """Predicted milliseconds (n,) of sub-networks (n, genes)."""
        return _summed(self._encoding, self._blocks_ms, genes)[:, 0] + self._ends_ms[genes[:, -1]]


def _summed(encoding: Encoding, table: FloatArray, genes: Genes) -> FloatArray:
    """The sum over the active blocks (n, kinds) of a table (resolutions, blocks, kernels, expands, kinds)."""
    block = np.arange(encoding.space.blocks)
    entries = table[genes[:, -1:], block, genes[:, encoding.kernel], genes[:, encoding.expand]]
    total: FloatArray = np.where(encoding.active(genes)[:, :, None], entries, 0.0).sum(axis=1)
    return total


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictorError:
    """How far predictions were off on sub-networks that the fit did not see.

    Attributes:
        n: how many.
        p50: median of |predicted / measured - 1|.
        p90: its 90th percentile.
        within_5_percent: share of them within 5 %.
    """

    n: int
    p50: float
    p90: float
    within_5_percent: float

    @staticmethod
    def of(predicted_ms: FloatArray, measured_ms: FloatArray) -> PredictorError:
        """Compares predictions (n,) with measurements (n,)."""
        off = np.abs(predicted_ms / measured_ms - 1)
        p50, p90 = np.percentile(off, [50, 90])
        return PredictorError(n=len(off), p50=float(p50), p90=float(p90), within_5_percent=float(np.mean(off <= 0.05)))

    def __str__(self) -> str:
        return (
            f"p50 {self.p50:.1%}, p90 {self.p90:.1%}, {self.within_5_percent:.0%} of {self.n} held-out sub-networks "
            "within 5 %"
        )


def work(space: Space, resolutions: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """The work of every block that a space offers, by kind, and that of the layers which all networks have.

    Returns:
        Of blocks, (resolutions, blocks, kernels, expands, kinds), and of the rest, (resolutions, kinds). The kinds:
        MACs of the stem; of pointwise convolutions before, and after, a depthwise one; of depthwise ones, for each
        kernel size; values written; values pooled for channel attention; weights read; layers' fixed part.
    """
    kinds = 7 + len(space.kernels)
    blocks = np.zeros((len(resolutions), space.blocks, len(space.kernels), len(space.expands), kinds))
    ends = np.zeros((len(resolutions), kinds))
    for number, resolution in enumerate(resolutions):
        height, width = -(-resolution // 2), -(-resolution * space.aspect // 2)
        cells, channels = height * width, space.first_width
        stem, first = space.stem_width, space.first_width
        smallest_kernel = [cells * stem * 9] + [0] * (len(space.kernels) - 1)
        ends[number] = [
            cells * space.in_channels * 9 * stem,
            0,
            cells * stem * first,
            cells * (2 * stem + first),
            0,
            0,
            1,
            *smallest_kernel,
        ]
        for stage_number, stage in enumerate(space.stages):
            for position in range(space.max_depth):
                stride = stage.stride if position == 0 else 1
                before = cells
                height, width = -(-height // stride), -(-width // stride)
                cells = height * width
                for k, kernel in enumerate(space.kernels):
                    for e, expand in enumerate(space.expands):
                        mid = make_divisible(round(channels * expand))
                        attention = 2 * mid * make_divisible(mid // 4) if stage.squeeze_excite else 0
                        row = blocks[number, stage_number * space.max_depth + position, k, e]
                        row[:7] = (
                            0,
                            before * channels * mid,
                            cells * mid * stage.width,
                            (before + cells) * mid + cells * stage.width,
                            cells * mid if stage.squeeze_excite else 0,
                            mid * (channels + stage.width + kernel * kernel) + attention,
                            1,
                        )
                        row[7 + k] = cells * mid * kernel * kernel
                channels = stage.width
        ends[number, 1] = cells * channels * space.final_expand
    return blocks, ends


def _non_negative_least_squares(features: FloatArray, target: FloatArray) -> FloatArray:
    """The rates w ≥ 0 (kinds,) of least |features · w - target|², by cyclic coordinate descent."""
    scale = np.maximum(np.abs(features).max(axis=0), np.finfo(np.float64).tiny)
    scaled = features / scale
    gram, projected = scaled.T @ scaled, scaled.T @ target
    rates = np.zeros(len(gram))
    for _ in range(_SWEEPS):
        before = rates.copy()
        for kind in np.flatnonzero(gram.diagonal()):
            rates[kind] = max(0.0, rates[kind] + (projected[kind] - gram[kind] @ rates) / gram[kind, kind])
        if np.abs(rates - before).max() < 1e-9:
            break
    found: FloatArray = rates / scale
    return found
