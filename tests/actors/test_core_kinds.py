"""The kinds of cores: what the kernel tells of big and little ones, and of P and E cores."""

from __future__ import annotations

from pathlib import Path

from actors.agent.devices.sysfs import Tree
from actors.core_kinds import core_kinds, fastest_first


def machine(root: Path, files: dict[str, str]) -> Tree:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Tree(root)


def big_little(root: Path) -> Tree:
    """Two little cores, then two big ones."""
    parts = ("0xd05", "0xd05", "0xd0b", "0xd0b")
    files = {
        "proc/cpuinfo": "\n\n".join(
            f"processor\t: {cpu}\nCPU implementer\t: 0x41\nCPU part\t: {part}" for cpu, part in enumerate(parts)
        )
    }
    for cpu, part in enumerate(parts):
        big = part == "0xd0b"
        files[f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity"] = "1024\n" if big else "414\n"
        files[f"sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq"] = "2400000\n" if big else "1800000\n"
    return machine(root, files)


def test_big_and_little_cores_are_of_two_kinds(tmp_path: Path) -> None:
    kinds = core_kinds(range(4), big_little(tmp_path))
    assert kinds[0] == kinds[1] != kinds[2] == kinds[3]
    assert str(kinds[0]) == "implementer 0x41 part 0xd05, capacity 414, 1800 MHz"
    assert fastest_first([0, 1, 2, 3], big_little(tmp_path)) == [2, 3, 0, 1]


def test_p_and_e_cores_are_told_apart_by_their_counters(tmp_path: Path) -> None:
    cpuinfo = "\n\n".join(f"processor : {cpu}\nmodel name : A Laptop" for cpu in range(4))
    tree = machine(
        tmp_path,
        {"proc/cpuinfo": cpuinfo, "sys/devices/cpu_core/cpus": "2-3\n", "sys/devices/cpu_atom/cpus": "0-1\n"},
    )
    kinds = core_kinds(range(4), tree)
    assert [str(kinds[cpu]) for cpu in (0, 3)] == ["A Laptop, cpu_atom", "A Laptop, cpu_core"]
    assert fastest_first(range(4), tree) == [2, 3, 0, 1]


def test_a_machine_that_tells_nothing_has_one_kind(tmp_path: Path) -> None:
    tree = machine(tmp_path, {"proc/cpuinfo": "garbage", "sys/devices/cpu_core/cpus": "x"})
    assert set(map(str, core_kinds(range(3), tree).values())) == {"unknown core"}
    assert fastest_first([2, 0, 1], tree) == [0, 1, 2]
