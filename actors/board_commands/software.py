"""The software of this machine as far as it decides what gearshift can do here: Python, the C library, packages, CUDA.

It asks this process and no tree, so it says nothing of a dump.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from os import geteuid
from types import MappingProxyType

from actors.agent.devices.cuda import cuda_devices, has_gpu_driver, why_none
from actors.agent.devices.nvml_library import open_nvml
from actors.board_commands.identity import L4t

_PACKAGES = ("ray", "torch", "onnxruntime", "openvino")

_GLIBC: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"torch": (2, 28), "onnxruntime": (2, 28), "openvino": (2, 35)}
)
"""C library that the wheels for aarch64 ask for, by the tags in their names: torch 2.14.1, onnxruntime 1.32.0 and
openvino 2026.4.1 (its wheels before 2025.4 asked for 2.31), as pip chose them on 2026-12-01."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JetPack:
    """NVIDIA's software for a Jetson.

    Attributes:
        name: its version.
        python: version of Python that NVIDIA's wheels and libraries for it are made for.
        cuda: version of CUDA.
        tensorrt: version of TensorRT; None where no source was found.
    """

    name: str
    python: str
    cuda: str
    tensorrt: str | None = None


_JETPACKS: Mapping[tuple[int, int], JetPack] = MappingProxyType(
    {
        (32, 7): JetPack(name="4.6", python="3.6", cuda="10.2", tensorrt="8.2.1"),
        (35, 1): JetPack(name="5.0", python="3.8", cuda="11.4"),
        (35, 2): JetPack(name="5.1", python="3.8", cuda="11.4", tensorrt="8.5.2"),
        (36, 2): JetPack(name="6.0", python="3.10", cuda="12.2"),
        (36, 4): JetPack(name="6.1 or 6.2", python="3.10", cuda="12.6", tensorrt="10.3"),
        (38, 2): JetPack(name="7", python="3.12", cuda="13.0"),
    }
)
"""JetPacks by the first release of NVIDIA's Linux that each came with.

Names: NVIDIA's JetPack archive, as in rbonghi/jetson_stats `jtop/core/jetson_variables.py`. 4.6: NVIDIA's release notes
of TensorFlow for Jetson; its Python, pytorch/pytorch issue 78067. 5: pytorch/TensorRT issue 1186, cupy/cupy issue 6682,
NVIDIA/TensorRT issue 2737. 6.1 and 6.2: pytorch/TensorRT pull requests 3211 and 3453. 6.0: NVIDIA's wheels of torch
2.3.0 for it are of Python 3.10 and CUDA 12.2. 7: NVIDIA's page of JetPack 7.1; Ubuntu 24.04, which it is built on, has
Python 3.12.
"""


def jetpack(release: L4t) -> JetPack | None:
    """Return the JetPack that a release of NVIDIA's Linux belongs to; None for one that is not known here.

    Release 35.4.1 is of JetPack 5.1.
    """
    minor = int(release.revision.partition(".")[0])
    older = [first for first in _JETPACKS if first[0] == release.major and first[1] <= minor]
    return _JETPACKS[max(older)] if older else None


def software(release: L4t | None = None) -> dict[str, str]:
    """Return what there is, by name.

    Args:
        release: release of NVIDIA's Linux; None on another machine.
    """
    library, library_version = platform.libc_ver()
    found = {
        "Python": f"{platform.python_version()} on {platform.machine()}",
        "C library": f"{library or 'unknown'} {library_version}".strip(),
    }
    found |= {name: _package(name, platform.machine(), library_version) for name in _PACKAGES}
    if has_gpu_driver():
        found["CUDA devices"] = ", ".join(cuda_devices()) or f"none, though there is a driver: {why_none()}"
        nvml = open_nvml()
        if nvml is not None:
            may = "this process may lock its clocks" if geteuid() == 0 else "only root may lock its clocks"
            found["NVML"] = f"answers; of a card from Volta on {may}"
    else:
        found["CUDA devices"] = "none: there is no driver of a GPU"
    if release is not None:
        found["JetPack"] = _jetpack(release)
    return found


def _package(name: str, machine: str, library_version: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        needed = _GLIBC.get(name)
        if needed is None or machine != "aarch64" or not re.fullmatch(r"\d+\.\d+", library_version):
            return "not installed"
        here = tuple(map(int, library_version.split(".")))
        fits = f"its wheels need glibc {needed[0]}.{needed[1]} or later, and this is {library_version}"
        return f"not installed; {fits}" if here < needed else "not installed"


def _jetpack(release: L4t) -> str:
    known = jetpack(release)
    if known is None:
        return f"of L4T {release.major}.{release.revision}: not known here"
    tensorrt = f", TensorRT {known.tensorrt}" if known.tensorrt else ""
    said = f"{known.name}: CUDA {known.cuda}{tensorrt}, made for Python {known.python}"
    here = ".".join(platform.python_version_tuple()[:2])
    if here != known.python:
        said += f"; wheels of Python {known.python} do not load in this Python {here}"
    return said
