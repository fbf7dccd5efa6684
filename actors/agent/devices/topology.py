"""The CPUs of a board as clusters: the cores that share a clock, with their speeds, as the kernel tells them.

A cluster is a proposal for one CPU unit of a board. Three things decide which cores are one:

- *Clock domain.* The CPUs of one cpufreq policy have one clock, so they belong together. Policies that the firmware
  coordinates (`freqdomain_cpus`) do so too.
- *Class.* Cores are of one class if they are equally fast, by `cpu_capacity` where there is one, else by their highest
  clock, and if an Intel hybrid counts them to the same kind (`/sys/devices/cpu_core`, `cpu_atom`).
- An x86 machine has a policy for each CPU. Policies of a single core each are joined: all of one class and one package
  are one cluster, which then owns several policies.

A core with several threads takes one worker, so only its first thread is listed. CPUs that are offline, or that this
process may not use, are left out. Two other sources mislead and are not asked: `topology/cluster_id` is 0 for all CPUs
on one board and different for each on another, and a level-2 cache often belongs to a single core.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from actors.agent.devices.sysfs import Tree, cpu_list, natural

CPU = "sys/devices/system/cpu"
_POLICIES = f"{CPU}/cpufreq/policy*"

_CPUSET = "sys/fs/cgroup/cpuset.cpus.effective"
"""What a container may use, as it sees its own control group (version 2)."""

_KINDS = {"cpu_core": "p-cores", "cpu_atom": "e-cores"}
"""Intel's two kinds of cores in a hybrid processor: the kernel's name, and that of a cluster."""

_SAME_CLASS = 1.10
"""Cores whose speeds differ by no more than this are of one class: the best cores of a chip may be allowed a clock some
per cent above the others'."""

_BY_RANK = {1: ("cluster",), 2: ("little", "big"), 3: ("little", "middle", "big")}
"""Names of clusters by the rank of their class, for each number of classes."""

SpeedSource = Literal["capacity", "clock", "unknown"]
"""Where a cluster's speed comes from: the kernel's `cpu_capacity`, the ratio of the highest clocks, or nowhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Cores that can be one unit of a board.

    Attributes:
        name: a name for it, such as `big`.
        cpus: its CPUs, one of each core, rising.
        policies: directories of its cpufreq policies; none where the kernel sets no clock.
        speed: speed of one core at its highest clock, as a share of the board's fastest core.
        speed_source: where that comes from.
        threads: other threads of its cores, which are left idle.
        strangers: CPUs that share its clock and that this process may not use.
        offline: CPUs of its policies that are offline.
    """

    name: str
    cpus: tuple[int, ...]
    policies: tuple[str, ...]
    speed: float
    speed_source: SpeedSource
    threads: tuple[int, ...] = ()
    strangers: tuple[int, ...] = ()
    offline: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Domain:
    """One clock domain, or one CPU without any.

    Attributes:
        cpus: its usable CPUs, one of each core.
        all_cpus: all of its CPUs, however usable.
        policies: directories of its policies.
        kind: key of `_KINDS`; nothing on other processors.
        package: number of its processor package.
        single: true if it is a single core, whose policy is its own.
    """

    cpus: tuple[int, ...]
    all_cpus: tuple[int, ...]
    policies: tuple[str, ...]
    kind: str
    package: int
    single: bool


def clusters(tree: Tree) -> tuple[Cluster, ...]:
    """Return the clusters of a machine, by their first CPU.

    On an Odroid XU3 these are little (CPUs 0 to 3, speed 0.37) and big (4 to 7, speed 1).

    Args:
        tree: the machine's files.
    """
    usable = usable_cpus(tree)
    threads = {cpu: core_cpus(tree, cpu) for cpu in usable}
    firsts = tuple(cpu for cpu in usable if not any(other < cpu and other in usable for other in threads[cpu]))
    domains = _domains(tree, firsts, threads)
    speeds, source = _speeds(tree, domains)
    classes = _classes(domains, speeds)
    fastest = max(speeds, default=1.0)

    # Policies of one core each are joined by class and package; without policies there is nothing but the class.
    def together(place: int) -> tuple[int, int, int]:
        domain = domains[place]
        if not domain.policies:
            return classes[place], -1, -1
        return classes[place], domain.package if domain.single else -2, -1 if domain.single else place

    groups = [list(places) for _, places in groupby(sorted(range(len(domains)), key=together), key=together)]
    groups.sort(key=lambda places: min(domains[place].cpus[0] for place in places))
    names = _names([(domains[places[0]].kind, classes[places[0]]) for places in groups])
    return tuple(
        _cluster(
            tree,
            name,
            [domains[place] for place in places],
            threads,
            usable,
            # Cores of one unit have one clock, the slowest one's.
            min(speeds[place] for place in places) / fastest,
            source,
        )
        for name, places in zip(names, groups, strict=True)
    )


def usable_cpus(tree: Tree) -> tuple[int, ...]:
    """Return the CPUs that are online and that this process may use.

    A container that is shown numbers of its own (lxcfs) may be allowed only CPUs that are not among those online; then
    the allowed ones count, since the kernel knows them.
    """
    online, allowed = online_cpus(tree), allowed_cpus(tree)
    if allowed is None or not online:
        return online
    return tuple(cpu for cpu in online if cpu in allowed) or allowed


def online_cpus(tree: Tree) -> tuple[int, ...]:
    """Return the CPUs that are online; none where the kernel does not say."""
    return _cpus(tree, f"{CPU}/online")


def offline_cpus(tree: Tree) -> tuple[int, ...]:
    """Return the CPUs that are there and offline."""
    return tuple(cpu for cpu in _cpus(tree, f"{CPU}/present") if cpu not in online_cpus(tree))


def allowed_cpus(tree: Tree) -> tuple[int, ...] | None:
    """Return the CPUs that this process may use, by its mask and its cpuset; None where the kernel does not say."""
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)", tree.text_or_none("proc/self/status") or "", re.MULTILINE)
    return cpu_list(found[1]) if found is not None else _cpus(tree, _CPUSET) or None


def isolated_cpus(tree: Tree) -> tuple[int, ...]:
    """Return the CPUs that are left to those who ask for them: isolcpus=, or an isolated partition of cpusets."""
    return _cpus(tree, f"{CPU}/isolated")


def cpu_ranges(cpus: Iterable[int]) -> str:
    """Return CPUs as the kernel lists them: (0, 1, 2, 5) gives "0-2,5"."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and runs[-1][1] == cpu - 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def cpus_named(cpus: Collection[int]) -> str:
    """Return CPUs in words: `CPU 5`, `CPUs 1,3-5`."""
    return f"CPU{'s' if len(cpus) > 1 else ''} {cpu_ranges(cpus)}"


def core_cpus(tree: Tree, cpu: int) -> tuple[int, ...]:
    """Return the threads of a CPU's core that are online, itself too."""
    place = f"{CPU}/cpu{cpu}/topology"
    # Before Linux 5.3 the file has the second name.
    return _cpus(tree, f"{place}/core_cpus_list") or _cpus(tree, f"{place}/thread_siblings_list") or (cpu,)


def _cpus(tree: Tree, path: str) -> tuple[int, ...]:
    try:
        return cpu_list(tree.text_or_none(path) or "")
    except ValueError:
        return ()


def _domains(tree: Tree, firsts: Sequence[int], threads: dict[int, tuple[int, ...]]) -> list[_Domain]:
    """Return the clock domains that usable cores belong to, and each core without one."""
    domain_of: dict[int, tuple[int, ...]] = {}
    policies: dict[tuple[int, ...], list[str]] = {}
    for policy in tree.find(_POLICIES):
        # A policy without CPUs online says nothing, not even which it has.
        cpus = _cpus(tree, f"{policy}/related_cpus")
        domain = tuple(sorted({*cpus, *_cpus(tree, f"{policy}/freqdomain_cpus")}))
        if cpus:
            policies.setdefault(domain, []).append(policy)
            domain_of |= dict.fromkeys(cpus, domain)
    found = []
    for all_cpus in dict.fromkeys(domain_of.get(cpu, (cpu,)) for cpu in firsts):
        cpus = tuple(cpu for cpu in firsts if domain_of.get(cpu, (cpu,)) == all_cpus)
        # The other threads of a core may have policies of their own, and the core takes the highest clock of all.
        theirs = dict.fromkeys(domain_of.get(thread, (thread,)) for cpu in cpus for thread in (cpu, *threads[cpu]))
        found.append(
            _Domain(
                cpus=cpus,
                all_cpus=all_cpus,
                policies=tuple(policy for domain in theirs for policy in policies.get(domain, ())),
                kind=next((kind for kind in _KINDS if cpus[0] in _cpus(tree, f"sys/devices/{kind}/cpus")), ""),
                package=tree.number_or_none(f"{CPU}/cpu{cpus[0]}/topology/physical_package_id") or 0,
                single={*all_cpus} <= {cpus[0], *threads[cpus[0]]},
            )
        )
    return found


def _speeds(tree: Tree, domains: Sequence[_Domain]) -> tuple[list[float], SpeedSource]:
    """Return a figure of each domain that is in proportion to its cores' speed, and where it comes from."""
    capacities = [tree.number_or_none(f"{CPU}/cpu{domain.cpus[0]}/cpu_capacity") for domain in domains]
    if capacities and all(capacity and capacity > 0 for capacity in capacities):
        return [float(capacity or 0) for capacity in capacities], "capacity"
    clocks = [_top_khz(tree, domain.policies) for domain in domains]
    if clocks and all(clock and clock > 0 for clock in clocks):
        return [float(clock or 0) for clock in clocks], "clock"
    return [1.0] * len(domains), "unknown"


def _top_khz(tree: Tree, policies: Iterable[str]) -> int | None:
    tops = [tree.number_or_none(f"{policy}/cpuinfo_max_freq") for policy in policies]
    return max((top for top in tops if top is not None), default=None)


def _classes(domains: Sequence[_Domain], speeds: Sequence[float]) -> list[int]:
    """Return the class of each domain; the slowest is 0."""
    slowest: list[tuple[str, float]] = []  # of each class, in order
    classes = [0] * len(domains)
    for place in sorted(range(len(domains)), key=lambda place: (speeds[place], domains[place].kind)):
        kind, speed = domains[place].kind, speeds[place]
        same = [n for n, (its, least) in enumerate(slowest) if its == kind and speed <= _SAME_CLASS * least]
        if not same:
            slowest.append((kind, speed))
        classes[place] = same[-1] if same else len(slowest) - 1
    return classes


def _names(clusters: Sequence[tuple[str, int]]) -> list[str]:
    """Return a name for each cluster, given its kind and class: `big`, or `big0` and `big1` where there are two."""
    ranks = sorted({rank for _, rank in clusters})
    by_rank = _BY_RANK.get(len(ranks), tuple(f"class{rank}-" for rank in ranks))
    bases = [_KINDS.get(kind, by_rank[ranks.index(rank)]) for kind, rank in clusters]
    if bases == ["cluster"]:
        return ["cpu"]
    counts, seen = Counter(bases), Counter[str]()
    names = []
    for base in bases:
        names.append(f"{base}{seen[base]}" if counts[base] > 1 else base.rstrip("-"))
        seen[base] += 1
    return names


def _cluster(
    tree: Tree,
    name: str,
    domains: Sequence[_Domain],
    threads: dict[int, tuple[int, ...]],
    usable: Collection[int],
    speed: float,
    source: SpeedSource,
) -> Cluster:
    cpus = sorted(cpu for domain in domains for cpu in domain.cpus)
    siblings = {other for cpu in cpus for other in threads[cpu]} - {*cpus}
    rest = {cpu for domain in domains for cpu in domain.all_cpus} - {*cpus} - siblings
    online = online_cpus(tree)
    return Cluster(
        name=name,
        cpus=tuple(cpus),
        policies=tuple(sorted((policy for domain in domains for policy in domain.policies), key=natural)),
        speed=float(f"{speed:.4g}"),
        speed_source=source,
        threads=tuple(sorted(siblings)),
        strangers=tuple(sorted(cpu for cpu in rest if cpu in online and cpu not in usable)),
        offline=tuple(sorted(cpu for cpu in rest if cpu not in online)),
    )
