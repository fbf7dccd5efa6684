"""What control groups leave a process is read in both versions, in containers too."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.agent.devices.sysfs import Tree
from actors.control_groups import cpuset, quota

V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)
CONTAINER = "29 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup cgroup rw,cpu\n"


def tree(root: Path, group: str, mounts: str, **files: str) -> Tree:
    for path, text in {"proc/self/cgroup": group, "proc/self/mountinfo": mounts, **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Tree(root)


@pytest.mark.parametrize(
    ("group", "mounts", "files", "cores", "path"),
    [
        ("0::/\n", V2, {}, None, ""),
        ("0::/\n", V2, {"cpu.max": "max 100000\n"}, None, ""),
        ("0::/\n", V2, {"cpu.max": "50000 100000\n"}, 0.5, "cpu.max"),
        # The tightest of a group and those above it counts, whichever it is.
        ("0::/a/b\n", V2, {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, 1.5, "a/cpu.max"),
        ("0::/a/b\n", V2, {"a/b/cpu.max": "10000 50000\n", "a/cpu.max": "150000 100000\n"}, 0.2, "a/b/cpu.max"),
        # A group of the machine's, seen from a container that has its own at the top.
        ("0::/../x\n", V2, {"cpu.max": "50000 100000\n"}, 0.5, "cpu.max"),
        ("0::/\n", V2, {"cpu.max": "nonsense\n"}, None, ""),
        ("0::/\n", V2, {"cpu.max": "0 0\n"}, None, ""),
        ("", "", {"cpu.max": "50000 100000\n"}, None, ""),
        (
            "4:cpuset:/\n2:cpu,cpuacct:/a\n",
            V1,
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "25000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
            0.25,
            "cpu,cpuacct/a/cpu.cfs_quota_us",
        ),
        (
            "2:cpu,cpuacct:/\n",
            V1,
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            None,
            "",
        ),
        (
            "2:cpu:/docker/abc\n",
            CONTAINER,
            {"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"},
            0.5,
            "cpu.cfs_quota_us",
        ),
    ],
)
def test_the_tightest_quota(tmp_path, group, mounts, files, cores, path):
    found = quota(tree(tmp_path, group, mounts, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}))
    assert (found and found.cores) == cores
    assert (f"/sys/fs/cgroup/{path}" if path else None) == (found and found.path)


@pytest.mark.parametrize(
    ("group", "mounts", "files", "cpus", "path"),
    [
        ("0::/\n", V2, {}, None, ""),
        ("0::/a/b\n", V2, {"a/cpuset.cpus.effective": "0-1\n", "cpuset.cpus.effective": "0-3\n"}, (0, 1), "a/"),
        ("4:cpuset:/a\n", V1, {"cpuset/a/cpuset.effective_cpus": "2\n"}, (2,), "cpuset/a/"),
        ("4:cpuset:/a\n", V1, {"cpuset/a/cpuset.effective_cpus": "2-x\n"}, None, ""),
    ],
)
def test_the_cpus_of_the_nearest_cpuset(tmp_path, group, mounts, files, cpus, path):
    found = cpuset(tree(tmp_path, group, mounts, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}))
    assert (found and found.cpus) == cpus
    assert found is None or found.path.startswith(f"/sys/fs/cgroup/{path}cpuset.")
