"""Published figures are complete, have the right units, and agree with each other."""

from __future__ import annotations

from collections import Counter

import pytest

from supernets import published

XAVIER = Counter((point.system, point.device) for point in published.xavier_points())


def test_the_comparison_holds_every_system_on_both_devices() -> None:
    systems = {system for system, _ in XAVIER}
    assert {"Dynamic-OFA", "AutoSlim-MnasNet", "Slimmable-MBv1", "MutualNet-MBv1", "MutualNet-MBv2"} <= systems
    assert XAVIER["MutualNet-MBv1", "cpu"] == 11
    assert XAVIER["MutualNet-MBv1", "gpu"] == 13
    assert XAVIER["MutualNet-MBv2", "cpu"] == 6
    assert XAVIER["MutualNet-MBv2", "gpu"] == 5


@pytest.mark.parametrize("system", sorted({system for system, _ in XAVIER}))
def test_accuracies_are_fractions_and_the_gpu_is_the_faster(system: str) -> None:
    points = [point for point in published.xavier_points() if point.system == system]
    assert all(0.4 < point.top1 < 0.8 for point in points)
    slowest = max(point.latency_ms for point in points if point.device == "gpu")
    assert slowest < min(point.latency_ms for point in points if point.device == "cpu")


def test_a_slower_network_is_the_more_accurate() -> None:
    """Every plotted point is on its system's front, as in the figure (except for ties of the digitisation)."""
    for system, device in XAVIER:
        points = [p for p in published.xavier_points() if (p.system, p.device) == (system, device)]
        accuracies = [point.top1 for point in sorted(points, key=lambda point: point.latency_ms)]
        assert accuracies == sorted(accuracies)


@pytest.mark.parametrize("family", ["MBv1", "MBv2", "MnasNet"])
def test_autoslim_has_channels_for_every_published_network(family: str) -> None:
    networks = published.autoslim_channels()[f"AutoSlim-{family}"]
    points = [point for point in published.width_points() if point.family == f"AutoSlim-{family}"]
    assert len(networks) == len(points) == 3
    assert {len(network) for network in networks} == {15 if family == "MBv1" else 36}
    for network in networks:
        assert network[-1] == 1000
        assert all(channels % 8 == 0 for channels in network)


def test_xaviers_autoslim_points_are_those_of_the_published_networks() -> None:
    tops = sorted(point.top1 for point in published.width_points() if point.family == "AutoSlim-MnasNet")
    plotted = sorted(
        point.top1 for point in published.xavier_points() if (point.system, point.device) == ("AutoSlim-MnasNet", "gpu")
    )
    assert plotted == pytest.approx(tops, abs=0.001)


def test_torchvisions_networks_stand_smallest_first() -> None:
    small, large = published.torchvision_points()
    assert (small.network, large.network) == ("small", "large")
    assert small.macs_m < large.macs_m
    assert 0.6 < small.top1 < large.top1 < 0.8


def test_hats_networks_stand_fastest_first_and_the_slower_is_the_better() -> None:
    places = Counter((point.task, point.hardware) for point in published.hat_points())
    assert (len(places), places.total()) == (8, 44)
    for place in places:
        points = [point for point in published.hat_points() if (point.task, point.hardware) == place]
        for what in ("latency_ms", "sacrebleu"):
            values = [getattr(point, what) for point in points]
            assert values == sorted(set(values))
