"""`gearshift calibrate`: measures how fast a board's cores are at each clock and what they take, and writes a file."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from scheduler.board import Board
from scheduler.errors import InputError
from workloads.cli.options import bad_input, print_result, write_text
from workloads.cli.progress import ProgressLines


def calibrate(
    board: Annotated[
        str, typer.Argument(metavar="BOARD", help="A board that this machine is: its YAML file, or host for a probe.")
    ],
    seconds: Annotated[float, typer.Option(min=0.2, max=600.0, help="Time of each measurement, in seconds.")] = 2.0,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write, a new one. Default: NAME-calibrated.yaml.")
    ] = None,
) -> None:
    """Measure this machine's clocks, speeds and power, and write them as a board. The machine is given back after."""
    from actors.agent.devices.sysfs import DeviceError
    from actors.agent.machine import Machine
    from actors.board_commands.bench import SETTLE_S, real_bench
    from actors.board_commands.board_text import board_text
    from actors.board_commands.calibrate import calibrate as measure
    from actors.board_commands.calibrate import points_of, with_named_rails
    from actors.board_commands.calibrated_board import calibrated
    from actors.cluster import find_sources
    from workloads.cli.board_tables import calibration_table
    from workloads.runs.boards import host_notices, open_board

    machine = Machine()
    with ProgressLines() as progress, bad_input():
        opened = with_named_rails(open_board(board, machine=machine), machine.tree)
        known = find_sources(board, machine)
        points = points_of(opened)
        file = write or Path(f"{opened.name.replace(':', '-')}-calibrated.yaml")
        _check_new(file)
        for notice in host_notices(board, machine):
            progress.line(notice)
        least_s = len(points) * (seconds + SETTLE_S)
        takes = f"{least_s / 60:.0f} minutes" if least_s >= 120 else f"{math.ceil(least_s)} s"
        progress.line(f"points to measure: {len(points)}, in {takes} at least; leave the machine alone meanwhile")
        try:
            calibration = measure(
                opened,
                real_bench(machine),
                seconds=seconds,
                on_progress=lambda done, total: progress.update("calibrate", done, total),
            )
        except (DeviceError, OSError) as error:
            raise InputError(str(error)) from None
    today = time.strftime("%Y-%m-%d")
    found = calibrated(opened, calibration, today, known)
    made = f"Made by gearshift calibrate {board} --seconds {seconds:g} (gearshift {version('gearshift')}) on {today}."
    header = [made, *(f"{finding}." for finding in found.findings)]
    for name in found.speeds:
        print_result(calibration_table(found, name))
    for finding in found.findings:
        print(f"- {finding}")
    for line in calibration.recovered.lines():
        print(f"- of a run that was killed: {line}")
    for line in calibration.handed_back.faults():
        print(f"- {line}")
    text = board_text(_named_from(found.board, file.parent), header=header, sources=found.sources)
    with bad_input():
        write_text(file, text)
    print(f"{file}  is this board; gearshift run MIX.py --board {file} takes it", file=sys.stderr)


def _named_from(board: Board, folder: Path) -> Board:
    """Return a board whose recordings are named as its file in a folder has to name them."""
    sensors = [
        sensor if sensor.file is None else replace(sensor, file=os.path.relpath(sensor.file, folder))
        for sensor in board.sensors
    ]
    return replace(board, sensors=tuple(sensors))


def _check_new(file: Path) -> None:
    """Check before minutes of measurements that their result can be kept.

    Raises:
        InputError: if not.
    """
    if file.exists():
        raise InputError(f"--write {str(file)!r} is there already; name a new file, or remove it")
    if not os.access(file.parent, os.W_OK):
        raise InputError(f"--write {str(file)!r} can't be written in {str(file.parent)!r}; name another file")
