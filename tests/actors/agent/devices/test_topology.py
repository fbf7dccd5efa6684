"""Clusters as the kernel tells them: domains, classes, threads, and CPUs that are not ours or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.agent.devices.topology import Cluster, clusters
from helpers.fake_kernel import FakeTree, boards
from helpers.planted import CPU, plant, policy


def units(found: tuple[Cluster, ...]) -> dict[str, tuple[int, ...]]:
    return {cluster.name: cluster.cpus for cluster in found}


def hybrid(tmp_path: Path, *, tops: dict[int, int] | None = None, **more: object) -> tuple[Cluster, ...]:
    """Two P cores of two threads each and four E cores, a policy for each CPU."""
    files: dict[str, object] = {f"{CPU}/online": "0-7", **more}
    files |= {"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-7"}
    for cpu in range(8):
        files |= policy(cpu, str(cpu), (tops or {}).get(cpu, 4_700_000 if cpu < 4 else 3_500_000))
        files[f"{CPU}/cpu{cpu}/topology/core_cpus_list"] = ("0-1", "0-1", "2-3", "2-3", 4, 5, 6, 7)[cpu]
    return clusters(plant(tmp_path, files))


def test_the_little_cluster_of_an_odroid_comes_first_and_has_its_capacity() -> None:
    little, big = clusters(FakeTree(boards.odroid_xu3()))
    assert (little.name, little.cpus, little.policies) == ("little", (0, 1, 2, 3), (f"{CPU}/cpufreq/policy0",))
    assert (big.name, big.cpus, big.speed) == ("big", (4, 5, 6, 7), 1.0)
    # 539 · 1400 / 2000 of 1024
    assert little.speed == round(377 / 1024, 4)
    assert little.speed_source == "capacity"


@pytest.mark.parametrize("name", ["xavier-nx-l4t32", "xavier-nx-l4t35"])
def test_equal_clusters_with_clocks_of_their_own_stay_apart(name: str) -> None:
    found = clusters(FakeTree(boards.ALL[name]()))
    assert units(found) == {"cluster0": (0, 1), "cluster1": (2, 3), "cluster2": (4, 5)}
    assert [cluster.speed for cluster in found] == [1.0, 1.0, 1.0]


def test_policies_of_one_core_are_joined_by_class_and_one_thread_of_a_core_is_listed(tmp_path: Path) -> None:
    fast, slow = hybrid(tmp_path)
    assert (fast.name, fast.cpus, fast.threads) == ("p-cores", (0, 2), (1, 3))
    assert (slow.name, slow.cpus, slow.threads) == ("e-cores", (4, 5, 6, 7), ())
    # A core takes the highest clock that one of its threads asks for.
    assert fast.policies == tuple(f"{CPU}/cpufreq/policy{cpu}" for cpu in (0, 1, 2, 3))
    assert (slow.speed, slow.speed_source) == (round(35 / 47, 4), "clock")


def test_a_favoured_core_is_no_class_of_its_own_and_sets_no_speed_for_the_others(tmp_path: Path) -> None:
    fast, slow = hybrid(tmp_path, tops={0: 5_000_000, 1: 5_000_000})
    assert fast.cpus == (0, 2)
    assert (fast.speed, slow.speed) == (round(47 / 50, 4), round(35 / 50, 4))


def test_an_old_kernel_names_threads_otherwise(tmp_path: Path) -> None:
    files = {f"{CPU}/online": "0-1"} | {f"{CPU}/cpu{cpu}/topology/thread_siblings_list": "0-1" for cpu in (0, 1)}
    (cpu,) = clusters(plant(tmp_path, files))
    assert (cpu.name, cpu.cpus, cpu.threads, cpu.policies) == ("cpu", (0,), (1,), ())


def test_without_cpufreq_there_is_one_cluster_for_each_class(tmp_path: Path) -> None:
    files: dict[str, object] = {f"{CPU}/online": "0-3"}
    files |= {f"{CPU}/cpu{cpu}/cpu_capacity": capacity for cpu, capacity in enumerate((1024, 1024, 500, 500))}
    assert units(clusters(plant(tmp_path, files))) == {"big": (0, 1), "little": (2, 3)}


def test_two_packages_are_two_clusters(tmp_path: Path) -> None:
    files: dict[str, object] = {f"{CPU}/online": "0-3"}
    for cpu in range(4):
        files |= policy(cpu, str(cpu), 3_000_000) | {f"{CPU}/cpu{cpu}/topology/physical_package_id": cpu // 2}
    assert units(clusters(plant(tmp_path, files))) == {"cluster0": (0, 1), "cluster1": (2, 3)}


def test_policies_that_the_firmware_coordinates_are_one_cluster(tmp_path: Path) -> None:
    files: dict[str, object] = {f"{CPU}/online": "0-3"}
    for cpu in range(4):
        files |= policy(cpu, str(cpu), 3_000_000, freqdomain_cpus="0 1 2" if cpu < 3 else "3")
    assert units(clusters(plant(tmp_path, files))) == {"cluster0": (0, 1, 2), "cluster1": (3,)}


def test_two_clusters_of_one_class_beside_a_slower_one_are_numbered(tmp_path: Path) -> None:
    files: dict[str, object] = {f"{CPU}/online": "0-7"}
    for first, cpus in ((0, "0 1 2 3"), (4, "4 5"), (6, "6 7")):
        files |= policy(first, cpus, 1_800_000 if first == 0 else 2_400_000)
    # One of the two big clusters has lost its highest clock to the binning of its chip.
    files[f"{CPU}/cpufreq/policy6/cpuinfo_max_freq"] = 2_304_000
    found = clusters(plant(tmp_path, files))
    assert units(found) == {"little": (0, 1, 2, 3), "big0": (4, 5), "big1": (6, 7)}
    assert [cluster.speed for cluster in found] == [0.75, 1.0, 0.96]


def test_cpus_that_are_offline_or_not_allowed_are_left_out_and_named() -> None:
    kernel = boards.odroid_xu3()
    kernel.cpus.switch(3, False)
    kernel.text("proc/self/status", "Name:\tcat\nCpus_allowed:\t7d\nCpus_allowed_list:\t0,2-6")
    little, big = clusters(FakeTree(kernel))
    assert (little.cpus, little.offline, little.strangers) == ((0, 2), (3,), (1,))
    assert (big.cpus, big.offline, big.strangers) == ((4, 5, 6), (), (7,))


def test_a_cluster_that_is_offline_is_none() -> None:
    kernel = boards.xavier_nx_l4t35()
    for cpu in (2, 3, 4):
        kernel.cpus.switch(cpu, False)
    found = clusters(FakeTree(kernel))
    assert units(found) == {"cluster0": (0, 1), "cluster1": (5,)}
    assert found[1].offline == (4,)


@pytest.mark.parametrize("name", sorted(set(boards.ALL) - {"container"}))
@settings(max_examples=25)
@given(data=st.data())
def test_every_usable_core_is_in_one_cluster_whatever_is_switched_off(name: str, data: st.DataObject) -> None:
    kernel = boards.ALL[name]()
    off = data.draw(st.sets(st.sampled_from(kernel.cpus.possible), max_size=len(kernel.cpus.possible) - 1))
    for cpu in off:
        kernel.cpus.switch(cpu, False)
    found = clusters(FakeTree(kernel))
    listed = [cpu for cluster in found for cpu in (*cluster.cpus, *cluster.threads)]
    assert sorted(listed) == sorted(kernel.cpus.online)
    assert max(cluster.speed for cluster in found) == 1.0
    assert len({cluster.name for cluster in found}) == len(found)


def test_a_machine_that_says_nothing_has_no_clusters(tmp_path: Path) -> None:
    assert clusters(plant(tmp_path, {f"{CPU}/online": "nonsense"})) == ()
