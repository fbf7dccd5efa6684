"""Boots a guest under QEMU and waits until it has switched itself off, or has taken too long."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Emulated, without KVM: an x86 machine has none for arm64, and amd64 is to run where /dev/kvm is closed. One thread for
# all CPUs of a guest: four that spin for each other on two cores would take longer than one that takes turns.
ACCELERATOR = ("-accel", "tcg,thread=single")
MACHINES: dict[str, tuple[str, ...]] = {
    # Nehalem: acpi-cpufreq wants a processor with the feature `est`, or one of AMD's that QEMU has not.
    "amd64": ("-machine", "pc", "-cpu", "Nehalem", "-smp", "4"),
    "arm64": ("-machine", "virt,gic-version=2", "-cpu", "cortex-a53", "-smp", "4,clusters=2,cores=2"),
}
PROGRAMS = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
CONSOLES = {"amd64": "ttyS0", "arm64": "ttyAMA0"}


def command(
    guest: str,
    *,
    program: Sequence[str],
    kernel: Path,
    initramfs: Path,
    firmware: Sequence[str],
    shares: Mapping[str, tuple[Path, bool]],
    console: Path,
) -> list[str]:
    """Return the command that boots a guest.

    Args:
        guest: `amd64` or `arm64`.
        program: QEMU and where it finds its own data.
        kernel: the kernel's image.
        initramfs: the guest's first file system.
        firmware: QEMU's options that give the guest its ACPI table or device tree.
        shares: folders of the host by tag, and whether the guest may write them.
        console: the file that gets what the guest prints.
    """
    words = [*program, *ACCELERATOR, *MACHINES[guest], "-m", "1024", "-nodefaults", "-no-reboot"]
    words += ["-display", "none", "-serial", f"file:{console}", *firmware]
    for tag, (folder, writable) in shares.items():
        access = "" if writable else ",readonly=on"
        words += ["-fsdev", f"local,id={tag},path={folder},security_model=none,multidevs=remap{access}"]
        words += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    # A panic ends QEMU, as `-no-reboot` turns the restart that follows it into an end.
    arguments = f"console={CONSOLES[guest]} quiet panic=-1"
    return [*words, "-kernel", str(kernel), "-initrd", str(initramfs), "-append", arguments]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a program ended.

    Attributes:
        code: its exit status; None if it was killed for its time.
        wall_s: how long it took.
        cpu_s: processor time that it took.
    """

    code: int | None
    wall_s: float
    cpu_s: float


def run(program: Sequence[str], timeout_s: float, environment: Mapping[str, str]) -> Ending:
    """Run a program that gets no input and whose output goes to ours; kill it when its time is over, or when we end."""
    began = time.monotonic()
    bound = ["setpriv", "--pdeathsig", "KILL", *program]
    process = subprocess.Popen(bound, env=environment, stdin=subprocess.DEVNULL)
    killed = False
    try:
        # Its processor time comes with wait4 alone, which has no time-out: so it is asked again and again.
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if not killed and time.monotonic() - began > timeout_s:
                os.kill(process.pid, signal.SIGKILL)
                killed = True
            time.sleep(0.05)
    except BaseException:
        os.kill(process.pid, signal.SIGKILL)
        raise
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    return Ending(
        code=None if killed else process.returncode,
        wall_s=time.monotonic() - began,
        cpu_s=ended[2].ru_utime + ended[2].ru_stime,
    )
