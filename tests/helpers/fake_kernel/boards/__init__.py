"""Machines: each function builds the kernel of one.

Their tables and names are those of the real boards where they are known; what no public source tells (the order of the
governors, a device's number) is set to something that could be.
"""

from collections.abc import Callable

from ..kernel import FakeKernel
from .beds import bed_amd64, bed_arm64
from .container import in_container
from .odroid import odroid_xu3, odroid_xu4
from .orin import orin_nano_l4t36
from .pc import amd_desktop, this_vm, x86_hybrid_laptop
from .small import rk3588, rpi4, rpi5
from .xavier import xavier_nx_l4t32, xavier_nx_l4t35

ALL: dict[str, Callable[[], FakeKernel]] = {
    "xavier-nx-l4t32": xavier_nx_l4t32,
    "xavier-nx-l4t35": xavier_nx_l4t35,
    "orin-nano-l4t36": orin_nano_l4t36,
    "odroid-xu3": odroid_xu3,
    "odroid-xu4": odroid_xu4,
    "rk3588": rk3588,
    "rpi4": rpi4,
    "rpi5": rpi5,
    "x86-hybrid-laptop": x86_hybrid_laptop,
    "x86-hybrid-laptop-passive": lambda: x86_hybrid_laptop(passive=True),
    "amd-desktop": amd_desktop,
    "amd-desktop-acpi": lambda: amd_desktop(acpi=True),
    "container": lambda: in_container(xavier_nx_l4t35()),
    "this-vm": this_vm,
    "bed-amd64": bed_amd64,
    "bed-arm64": bed_arm64,
}
"""The machines by name."""

__all__ = [
    "ALL",
    "amd_desktop",
    "bed_amd64",
    "bed_arm64",
    "in_container",
    "odroid_xu3",
    "odroid_xu4",
    "orin_nano_l4t36",
    "rk3588",
    "rpi4",
    "rpi5",
    "this_vm",
    "x86_hybrid_laptop",
    "xavier_nx_l4t32",
    "xavier_nx_l4t35",
]
