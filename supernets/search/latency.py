"""The latency of sub-networks on this machine: measurements, and a predictor fitted to them. Knows no torch.

The predictor is a sum over blocks. The work of a block is of a few kinds: multiply-accumulates of each kind of layer,
activations written, weights read, a fixed part. Its time is the work of each kind times one rate for that kind. The
rates are fitted to whole networks that are measured in the engine that will serve them. So they cover the cost of a
block inside a network, with layout changes, fused layers and weights that are not in a cache, and any engine will do.
Rates are not negative, so that a search can't gain by more work.
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
from supernets.outputs import Output
from supernets.search.evolution import Encoding, Genes

_WINDOW = 8
"""Networks that are measured in turns."""
_ROUNDS = 3
"""Rounds in which the networks of a window are measured, each time that a network comes."""
_IN_A_ROW = 2
"""Samples of a network in a round: 8 · 3 · 2 = 48 in all, spread over the time that eight exports take."""
_QUANTILE = 10
"""Percentile of the reference's latencies that counts as undisturbed."""
_SWEEPS = 5000
"""Most sweeps of the coordinate descent."""

FloatArray = NDArray[np.float64]


def timed(run: Run, x: NDArray[np.float32]) -> tuple[float, bool]:
    """Run one inference; return its milliseconds, and True if the kernel did not preempt the thread meanwhile."""
    took_ms, undisturbed, _ = timed_output(run, x)
    return took_ms, undisturbed


def timed_output(run: Run, x: NDArray[np.float32]) -> tuple[float, bool, Output]:
    """Run one inference as `timed` does, and return its output besides."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    start = time.perf_counter()
    output = run(x)
    took_ms = (time.perf_counter() - start) * 1e3
    return took_ms, resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw == before, output


@contextmanager
def on_cpus(cpus: Collection[int]) -> Iterator[None]:
    """Keep this thread, and the threads that it starts, on some CPUs for a while; an empty `cpus` changes nothing."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class TimedNetwork:
    """A network that is ready to be timed.

    Args:
        run: runs the network.
        input_shape: shape of one input, (1, channels, height, width).
        cpus: CPUs to run on; empty for those of the calling thread.
    """

    def __init__(self, run: Run, input_shape: tuple[int, ...], cpus: Collection[int] = ()) -> None:
        self._run = run
        self._cpus = cpus
        self._x = np.random.default_rng(0).standard_normal(input_shape, dtype=np.float32)

    def sample(self) -> list[tuple[float, bool]]:
        """Return some runs, each as `timed`; a first run, which brings the weights into the caches, does not count."""
        with on_cpus(self._cpus):
            self._run(self._x)
            return [timed(self._run, self._x) for _ in range(_IN_A_ROW)]


def in_turns(watches: Sequence[TimedNetwork], rounds: int) -> list[float]:
    """Return each network's latency now, in milliseconds. They are timed in turns, so that a stall hits all alike."""
    samples: list[list[tuple[float, bool]]] = [[] for _ in watches]
    for _ in range(rounds):
        for watch, kept in zip(watches, samples, strict=True):
            kept += watch.sample()
    return [_typical(kept) for kept in samples]


def _typical(samples: Sequence[tuple[float, bool]]) -> float:
    """Return the lower quartile of the undisturbed samples; of all samples where under a quarter was undisturbed."""
    calm = [took_ms for took_ms, undisturbed in samples if undisturbed]
    enough = len(calm) >= len(samples) // 4
    return float(np.percentile(calm if enough else [took_ms for took_ms, _ in samples], 25))


def relative_latencies(
    reference: TimedNetwork, networks: Iterable[TimedNetwork], on_reference: Callable[[float], None]
) -> Iterator[float]:
    """Yield the latency of each network as a multiple of the reference's, in their order.

    The speed of a shared machine changes over time by more than networks differ. So whenever a network comes, the
    latest eight and the reference are timed in turns. Each network is compared with the reference several times, some
    seconds apart, and few networks are in memory at once. The median of a network's ratios counts.

    Args:
        reference: the network that all are compared with.
        networks: the networks, opened when they are needed.
        on_reference: called with the reference's latency in milliseconds each time that it is measured.
    """
    window: deque[tuple[TimedNetwork, list[float]]] = deque()

    def compare() -> None:
        reference_ms, *times_ms = in_turns([reference, *(watch for watch, _ in window)], _ROUNDS)
        on_reference(reference_ms)
        for (_, ratios), time_ms in zip(window, times_ms, strict=True):
            ratios.append(time_ms / reference_ms)

    # The window slides: a network enters as soon as it is opened, and leaves after eight comparisons or more.
    for network in networks:
        window.append((network, []))
        compare()
        if len(window) == _WINDOW:
            yield median(window.popleft()[1])
    for _ in range(_WINDOW):
        compare()
    yield from (median(ratios) for _, ratios in window)


def undisturbed_ms(reference_ms: Sequence[float]) -> float:
    """Return the reference's latency when the machine is at its best, since other load can only add time."""
    return float(np.percentile(reference_ms, _QUANTILE))


def sample_networks(encoding: Encoding, count: int, rng: np.random.Generator) -> Genes:
    """Return sub-networks (count, genes) to fit a predictor to.

    The first are the smallest and the largest architecture at the lowest and the highest resolution; the others are
    random. Each random one draws its own probabilities of every knob's options from a flat Dirichlet distribution,
    since equal probabilities would give only medium-sized networks.
    """
    ends = encoding.ends()[[0, 1, -2, -1]]
    genes = np.empty((max(0, count - len(ends)), encoding.options.size), dtype=np.int64)
    for row in genes:
        for part in (encoding.kernel, encoding.expand, encoding.depth, slice(-1, None)):
            options = encoding.options[part]
            row[part] = rng.choice(options[0], size=options.size, p=rng.dirichlet(np.ones(options[0])))
    return np.concatenate([ends[:count], encoding.canonical(genes)])


def fitted_rates(encoding: Encoding, genes: Genes, latency_ms: FloatArray) -> FloatArray:
    """Return the milliseconds per unit of work (kinds,), fitted to sub-networks (n, genes) and latencies (n,)."""
    blocks, ends = work(encoding.space, encoding.resolutions)
    features = _summed(encoding, blocks, genes) + ends[genes[:, -1]]
    # Dividing both sides by the latency fits relative errors, so that small networks count as much as large ones.
    return _non_negative_least_squares(features / latency_ms[:, None], np.ones(len(genes)))


class LatencyPredictor:
    """The predicted latency of any sub-network of a space.

    Args:
        encoding: the encoding of the sub-networks.
        rates: (kinds,), milliseconds per unit of work of each kind.
    """

    def __init__(self, encoding: Encoding, rates: FloatArray) -> None:
        self._encoding = encoding
        blocks, ends = work(encoding.space, encoding.resolutions)
        self._blocks_ms: FloatArray = (blocks @ rates)[..., None]
        self._ends_ms: FloatArray = ends @ rates

    def __call__(self, genes: Genes) -> FloatArray:
        """Return the predicted milliseconds (n,) of sub-networks (n, genes)."""
        return _summed(self._encoding, self._blocks_ms, genes)[:, 0] + self._ends_ms[genes[:, -1]]


def _summed(encoding: Encoding, table: FloatArray, genes: Genes) -> FloatArray:
    """Return the sums (n, kinds) over the active blocks of a table (resolutions, blocks, kernels, expands, kinds)."""
    block = np.arange(encoding.space.blocks)
    entries = table[genes[:, -1:], block, genes[:, encoding.kernel], genes[:, encoding.expand]]
    total: FloatArray = np.where(encoding.active(genes)[:, :, None], entries, 0.0).sum(axis=1)
    return total


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictorError:
    """The relative error of predictions on sub-networks that the fit did not see.

    Attributes:
        n: number of those sub-networks.
        p50: median of |predicted / measured - 1|.
        p90: 90th percentile of it.
        within_5_percent: share of the sub-networks within 5 %.
    """

    n: int
    p50: float
    p90: float
    within_5_percent: float

    @staticmethod
    def of(predicted_ms: FloatArray, measured_ms: FloatArray) -> PredictorError:
        """Compare predictions (n,) with measurements (n,)."""
        off = np.abs(predicted_ms / measured_ms - 1)
        p50, p90 = np.percentile(off, [50, 90])
        return PredictorError(n=len(off), p50=float(p50), p90=float(p90), within_5_percent=float(np.mean(off <= 0.05)))

    def __str__(self) -> str:
        return (
            f"p50 {self.p50:.1%}, p90 {self.p90:.1%}, {self.within_5_percent:.0%} of {self.n} held-out sub-networks "
            "within 5 %"
        )


def work(space: Space, resolutions: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Return the work of every block of a space by kind, and the work of the layers that all its networks have.

    The kinds, by index:
        0: multiply-accumulates (MACs) of the stem.
        1: MACs of pointwise convolutions before a depthwise one.
        2: MACs of pointwise convolutions after a depthwise one.
        3: values written.
        4: values pooled for channel attention.
        5: weights read.
        6: layers' fixed part, 1 for each block and 1 for the rest.
        7 and up: MACs of depthwise convolutions, one kind for each kernel size.

    Args:
        space: the space.
        resolutions: input heights in pixels.

    Returns:
        The work of blocks (resolutions, blocks, kernels, expands, kinds), and of the rest (resolutions, kinds).
    """
    kinds = 7 + len(space.kernels)
    blocks = np.zeros((len(resolutions), space.blocks, len(space.kernels), len(space.expands), kinds))
    ends = np.zeros((len(resolutions), kinds))
    for number, resolution in enumerate(resolutions):
        # The stem and the first block at half the resolution (stride 2); -(-a // b) divides and rounds up.
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
        # The head's 1x1 convolution counts as one before a depthwise convolution.
        ends[number, 1] = cells * channels * space.final_expand
    return blocks, ends


def _non_negative_least_squares(features: FloatArray, target: FloatArray) -> FloatArray:
    """Return the rates w ≥ 0 (kinds,) that minimise |features · w - target|², by cyclic coordinate descent.

    Args:
        features: (n, kinds).
        target: (n,).
    """
    # Columns are scaled to 1, since units of work differ by orders of magnitude. Each step solves for one rate with
    # the others fixed, and clips it at 0.
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
