"""GPUs as units of a board: those that are CUDA devices, since sub-networks run on no other."""

from __future__ import annotations

from collections.abc import Sequence

from actors.agent.devices import devfreq
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.board_commands.probe_cpus import if_settable
from actors.board_commands.probed import STAND_IN_MHZ, FoundUnit, Remark
from scheduler.board import BoardUnit


def gpu_units(
    tree: Tree, host: str, cuda: Sequence[str] | None, *, all_clocks: bool
) -> tuple[list[FoundUnit], list[Remark]]:
    """Return the GPUs of a machine.

    Args:
        tree: the machine's files.
        host: name of the CPU unit that serves them.
        cuda: names of the CUDA devices that torch finds; None where it can't be asked.
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
            remarks.append(Remark(text=f"GPU {name} is left out: torch finds no CUDA device here", matters=True))
        else:
            built_in.append(gpu)
    # Which of several devices of devfreq is the GPU that CUDA means is not known.
    found = [_built_in(tree, built_in[0], host, all_clocks=all_clocks)] if len(built_in) == 1 else []
    cards = list(cuda or ())[len(found) :]
    for card in cards:
        name = "gpu" if not found and len(cards) == 1 else f"gpu{len(found)}"
        found.append(
            FoundUnit(
                unit=_unit(name, "fixed", (STAND_IN_MHZ,), host),
                remarks=(Remark(unit=name, text=f"{card}; fixed: gearshift leaves its clock alone"),),
                sources={"mhz": "unknown: the figure stands for it"},
            )
        )
    return found, remarks


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
