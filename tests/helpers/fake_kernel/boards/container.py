"""A machine as it is seen from within a container."""

from __future__ import annotations

from contextlib import suppress

from ..kernel import FakeKernel


def in_container(kernel: FakeKernel, *, cpus: str = "0,2") -> FakeKernel:
    """Have a kernel look as it does from within a container, and return it.

    /sys is read-only, energy counters are denied even to root, the machine's own configuration files are not there, and
    the cgroup allows a few CPUs.

    Args:
        kernel: the kernel of the machine.
        cpus: the CPUs that the cgroup allows, as a list of the kernel's.
    """
    kernel.read_only = True
    for path, _ in kernel.files("sys"):
        if path.endswith("/energy_uj"):
            kernel.chmod(path, 0)
    for path in ("etc", "var"):
        with suppress(FileNotFoundError):
            kernel.remove(path)
    kernel.text("sys/fs/cgroup/cpuset.cpus.effective", cpus)
    return kernel
