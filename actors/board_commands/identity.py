"""What a machine is: its model and its kernel, from the files that say so."""

from __future__ import annotations

import re
from dataclasses import dataclass

from actors.agent.devices.sysfs import Tree

_MODELS = ("proc/device-tree/model", "sys/class/dmi/id/product_name")

_PLACEHOLDERS = ("to be filled", "system product name", "default string", "not applicable", "not specified", "o.e.m")
"""What makers of PCs leave in the place of a product's name."""


def model(tree: Tree) -> str | None:
    """Return the maker's name of a machine: "Raspberry Pi 5 Model B Rev 1.0"; None if it has none."""
    for path in _MODELS:
        name = " ".join((tree.text_or_none(path) or "").replace("\0", " ").split())
        if name and not any(word in name.lower() for word in _PLACEHOLDERS):
            return name
    return None


def board_name(tree: Tree) -> str:
    """Return a name for a board's file, made of the machine's model: `raspberry-pi-5-model-b-rev-1.0`; else `host`."""
    name = re.sub(r"[^a-z0-9_.]+", "-", (model(tree) or "").lower()).strip("-.")
    return name or "host"


def kernel(tree: Tree) -> str:
    """Return the release of a machine's kernel, such as `5.10.104-tegra`; `of unknown release` if it does not say."""
    return tree.text_or_none("proc/sys/kernel/osrelease") or "of unknown release"


@dataclass(frozen=True, kw_only=True, slots=True)
class L4t:
    """The release of NVIDIA's Linux on a Jetson, such as 35.4.1.

    Attributes:
        major: its first number, which goes with a JetPack of its own: 32, 35, 36.
        revision: the others, such as `4.1`.
    """

    major: int
    revision: str


def l4t(tree: Tree) -> L4t | None:
    """Return the release of NVIDIA's Linux; None on another machine."""
    text = tree.text_or_none("etc/nv_tegra_release") or ""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return None if found is None else L4t(major=int(found[1]), revision=found[2])
