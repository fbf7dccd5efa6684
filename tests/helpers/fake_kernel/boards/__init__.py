"""Machines: each function builds the kernel of one.

Their tables and names are those of the real boards where they are known; what no public source tells (the order of the
governors, a device's number) is set to something that could be.
"""

from collections.abc import Callable

from ..kernel import FakeKernel
from .beds import bed_amd64, bed_arm64
from .odroid import odroid_xu3, odroid_xu4
from .xavier import xavier_nx_l4t32, xavier_nx_l4t35

ALL: dict[str, Callable[[], FakeKernel]] = {
    "xavier-nx-l4t32": xavier_nx_l4t32,
    "xavier-nx-l4t35": xavier_nx_l4t35,
    "odroid-xu3": odroid_xu3,
    "odroid-xu4": odroid_xu4,
    "bed-amd64": bed_amd64,
    "bed-arm64": bed_arm64,
}
"""The machines by name."""

__all__ = ["ALL", "bed_amd64", "bed_arm64", "odroid_xu3", "odroid_xu4", "xavier_nx_l4t32", "xavier_nx_l4t35"]
