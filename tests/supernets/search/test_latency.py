"""Latencies: the samples that count, and the predictor that is fitted to them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.tiny_space import TINY, architectures
from supernets.ofa.mobilenet import StaticMobileNetV3
from supernets.ofa.space import Architecture, Space
from supernets.ofa.spaces import OFA_MBV3_W12, OFA_PLATES
from supernets.search.evolution import Encoding
from supernets.search.latency import (
    LatencyPredictor,
    PredictorError,
    TimedNetwork,
    fitted_rates,
    in_turns,
    on_cpus,
    relative_latencies,
    sample_networks,
    undisturbed_ms,
    work,
)

RATES = np.array([4e-8, 2e-8, 1e-8, 5e-8, 3e-7, 2e-7, 0.02, 1e-8, 2e-8, 3e-8])


def convolution_macs(space: Space, architecture: Architecture, resolution: int) -> int:
    """Count the work by running the network: all convolutions except channel attention's, whose inputs are 1 x 1."""
    total = 0

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module, torch.nn.Conv2d)
        if inputs[0].shape[2:] != (1, 1):
            total += output[0].numel() * module.weight[0].numel()

    module = StaticMobileNetV3(space, architecture).eval()
    for name, child in module.named_modules():
        if isinstance(child, torch.nn.Conv2d) and name != "feature_mix":
            child.register_forward_hook(count)
    with torch.no_grad():
        module(torch.zeros(space.input_shape(resolution)))
    return total


@settings(deadline=None, max_examples=15)
@given(architectures(TINY), st.sampled_from(TINY.resolutions))
def test_work_is_what_the_network_does(architecture: Architecture, resolution: int) -> None:
    encoding = Encoding(TINY)
    blocks, ends = work(TINY, TINY.resolutions)
    row = encoding.encoded(architecture, resolution)
    kinds = ends[row[-1]] + sum(
        blocks[row[-1], block, row[encoding.kernel][block], row[encoding.expand][block]]
        for block in np.flatnonzero(encoding.active(row[None])[0])
    )
    macs = kinds[[0, 1, 2, 7, 8, 9]].sum()
    assert macs == convolution_macs(TINY, architecture, resolution)


@pytest.mark.parametrize("space", [OFA_MBV3_W12, TINY], ids=lambda space: space.name)
def test_the_predictor_recovers_an_additive_truth(space: Space) -> None:
    encoding = Encoding(space)
    truth = LatencyPredictor(encoding, RATES)
    rng = np.random.default_rng(0)
    genes = sample_networks(encoding, 60, rng)
    exact = LatencyPredictor(encoding, fitted_rates(encoding, genes, truth(genes)))
    unseen = encoding.random(100, rng)
    np.testing.assert_allclose(exact(unseen), truth(unseen), rtol=0.003)
    noisy_ms = truth(genes) * rng.normal(1.0, 0.02, len(genes))
    noisy = LatencyPredictor(encoding, fitted_rates(encoding, genes, noisy_ms))
    assert np.percentile(np.abs(noisy(unseen) / truth(unseen) - 1), 90) < 0.02


def test_more_work_never_predicts_less_time() -> None:
    encoding = Encoding(OFA_PLATES)
    rng = np.random.default_rng(1)
    genes = sample_networks(encoding, 40, rng)
    predictor = LatencyPredictor(encoding, fitted_rates(encoding, genes, rng.uniform(1, 2, len(genes))))
    smaller = encoding.random(200, rng)
    smaller[:, encoding.depth] = 0
    smaller = encoding.canonical(smaller)
    larger = np.where(encoding.active(smaller)[:, encoding.kernel], smaller[:, encoding.expand], 0)
    grown = smaller.copy()
    grown[:, encoding.expand] = np.minimum(larger + 1, 2)
    assert (predictor(grown) >= predictor(smaller)).all()


def test_a_restricted_choice_is_predicted_alike() -> None:
    whole, some = Encoding(TINY), Encoding(TINY, [24])
    genes = some.random(10, np.random.default_rng(0))
    same = np.array([whole.encoded(*some.decoded(row)) for row in genes])
    assert (LatencyPredictor(some, RATES)(genes) == LatencyPredictor(whole, RATES)(same)).all()


def test_the_sample_reaches_from_the_smallest_to_the_largest() -> None:
    encoding = Encoding(OFA_MBV3_W12)
    genes = sample_networks(encoding, 60, np.random.default_rng(0))
    assert genes.shape == (60, encoding.options.size)
    assert (encoding.canonical(genes) == genes).all()
    assert (genes < encoding.options).all()
    points = {encoding.decoded(row) for row in genes}
    assert (OFA_MBV3_W12.smallest, 128) in points
    assert (OFA_MBV3_W12.largest, 224) in points
    macs = [OFA_MBV3_W12.macs(*point) for point in points]
    even = [OFA_MBV3_W12.macs(*encoding.decoded(row)) for row in encoding.random(56, np.random.default_rng(0))]
    assert np.std(macs) > 1.2 * np.std(even)


def test_the_error_is_of_the_ratio() -> None:
    error = PredictorError.of(np.array([1.0, 2.2, 4.0, 0.96]), np.array([1.0, 2.0, 5.0, 1.0]))
    assert error.n == 4
    assert error.p50 == pytest.approx(0.07)
    assert error.within_5_percent == 0.5
    assert "of 4 held-out" in str(error)


class Network:
    """A network that takes no time and counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.cpus: set[int] = set()

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.runs += 1
        self.cpus = os.sched_getaffinity(0)
        return x


def test_each_network_is_measured_and_few_are_held_at_once() -> None:
    networks = [Network() for _ in range(20)]
    opened = 0

    def watches() -> Iterator[TimedNetwork]:
        nonlocal opened
        for network in networks:
            opened += 1
            yield TimedNetwork(network, (1, 1, 4, 4))

    ahead = []
    reference_ms: list[float] = []
    ratios = relative_latencies(TimedNetwork(Network(), (1, 1, 4, 4)), watches(), reference_ms.append)
    for done, _ in enumerate(ratios, start=1):
        ahead.append(opened - done)
    assert len(ahead) == 20
    assert max(ahead) < 8
    assert len(reference_ms) == 20 + 8
    assert min(network.runs for network in networks) >= 48


class Shared(TimedNetwork):
    """A network on a machine whose speed changes at every look, for all networks by the same factor."""

    looks = 0

    def __init__(self, latency_ms: float) -> None:
        self._latency_ms = latency_ms

    def sample(self) -> list[tuple[float, bool]]:
        Shared.looks += 1
        slower = 1 + 0.002 * Shared.looks
        stalled = Shared.looks % 7 == 0
        return [(self._latency_ms * slower * (5 if stalled else 1), True), (99.0, False)]


@pytest.mark.parametrize("count", [3, 30])
def test_what_slows_all_networks_alike_does_not_count(count: int) -> None:
    truth = np.linspace(1, 3, count)
    ratios = list(relative_latencies(Shared(2.0), map(Shared, truth), lambda latency_ms: None))
    np.testing.assert_allclose(ratios, truth / 2, rtol=0.05)


def test_the_machine_is_taken_at_its_best() -> None:
    assert undisturbed_ms([10.0] * 5 + [20.0] * 15) == 10.0
    times_ms = in_turns([Shared(1.0), Shared(4.0)], 1)
    assert times_ms[1] > 3 * times_ms[0]


def test_a_network_runs_on_its_cpus_only() -> None:
    before = os.sched_getaffinity(0)
    network = Network()
    in_turns([TimedNetwork(network, (1, 1, 4, 4), [min(before)])], 1)
    assert network.cpus == {min(before)}
    assert os.sched_getaffinity(0) == before
    with pytest.raises(ZeroDivisionError), on_cpus([min(before)]):
        1 / 0  # noqa: B018
    assert os.sched_getaffinity(0) == before
