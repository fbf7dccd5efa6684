"""GPUs as units of a board: those that are CUDA devices, since sub-networks run on no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.agent.devices import devfreq
from actors.agent.devices.cuda import cuda_devices, cuda_uuids, has_gpu_driver, why_none
from actors.agent.devices.nvml_library import open_nvml
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.board_commands.probe_cpus import if_settable
from actors.board_commands.probed import STAND_IN_MHZ, FoundUnit, Remark
from scheduler.board import BoardUnit


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaDevice:
    """A CUDA device of this machine.

    Attributes:
        name: its product name.
        mhz: the clocks that NVML could lock it at, rising; none if NVML knows none, as of a Jetson's.
    """

    name: str
    mhz: tuple[int, ...] = ()


def cuda_here() -> tuple[CudaDevice, ...]:
    """Return the CUDA devices of this machine as torch finds them; quick where there is no driver of a GPU."""
    if not has_gpu_driver():
        return ()
    nvml = open_nvml()
    found = []
    for name, uuid in zip(cuda_devices(), cuda_uuids(), strict=True):
        try:
            mhz = nvml.clocks_mhz(uuid) if nvml else ()
        except DeviceError:
            mhz = ()
        found.append(CudaDevice(name=name, mhz=mhz))
    return tuple(found)


def gpu_units(
    tree: Tree, host: str, cuda: Sequence[CudaDevice] | None, *, all_clocks: bool
) -> tuple[list[FoundUnit], list[Remark]]:
    """Return the GPUs of a machine.

    Args:
        tree: the machine's files.
        host: name of the CPU unit that serves them.
        cuda: the CUDA devices that torch finds; None where it can't be asked.
        all_clocks: list clocks also where this process may not set them.

    Returns:
        The units, and why others are left out.
    """
    remarks = []
    built_in = []
    for gpu in devfreq.gpus(tree):
        name = gpu.rpartition("/")[2]
        if not devfreq.is_nvidia(tree, gpu):
            remarks.append(Remark(text=f"GPU {name} is left out: no engine of gearshift runs on it"))
        elif cuda is not None and not cuda:
            remarks.append(Remark(text=f"GPU {name} is left out: {why_none()}", matters=True))
        else:
            built_in.append(gpu)
    # Which of several devices of devfreq is the GPU that CUDA means is not known.
    found = [_built_in(tree, built_in[0], host, all_clocks=all_clocks)] if len(built_in) == 1 else []
    cards = list(cuda or ())[len(found) :]
    for card in cards:
        name = "gpu" if not found and len(cards) == 1 else f"gpu{len(found)}"
        found.append(_card(name, card, host))
    return found, remarks


def _card(name: str, card: CudaDevice, host: str) -> FoundUnit:
    """Return a discrete card. Its clock is left alone, since only its owner can say that a lock of his may be lost."""
    text, source = f"{card.name}; fixed: its clock is left alone", "unknown: the figure stands for it"
    if card.mhz:
        text += (
            f". To have it set, as root: dvfs: nvml, may_lock: true, and some of its {len(card.mhz)} clocks from "
            f"{card.mhz[0]} to {card.mhz[-1]} MHz"
        )
        source = "published: the highest clock that NVML lists"
    top_mhz = float(card.mhz[-1]) if card.mhz else STAND_IN_MHZ
    remark = Remark(unit=name, text=text)
    return FoundUnit(unit=_unit(name, "fixed", (top_mhz,), host), remarks=(remark,), sources={"mhz": source})


def _built_in(tree: Tree, directory: str, host: str, *, all_clocks: bool) -> FoundUnit:
    try:
        clocks_hz = sorted({*tree.knob(f"{directory}/available_frequencies").numbers()})
        if clocks_hz[0] <= 0:
            raise DeviceError(f"{directory.rpartition('/')[2]} tells clocks that can't be")
    except DeviceError as error:
        remark = Remark(unit="gpu", text=f"fixed: {error}", matters=True)
        sources = {"mhz": "unknown: the figure stands for it"}
        return FoundUnit(unit=_unit("gpu", "fixed", (STAND_IN_MHZ,), host), remarks=(remark,), sources=sources)
    found = FoundUnit(
        unit=_unit("gpu", "devfreq", tuple(round(hz / 1e6, 4) for hz in clocks_hz), host),
        sources={"mhz": f"published: the kernel's table of {directory.rpartition('/')[2]}"},
    )
    return found if all_clocks else if_settable(tree, found)


def _unit(name: str, dvfs: str, mhz: tuple[float, ...], host: str) -> BoardUnit:
    return BoardUnit(name=name, kind="gpu", cpus=(), dvfs=dvfs, mhz=mhz, static_w=None, dynamic_w=None, host=host)
