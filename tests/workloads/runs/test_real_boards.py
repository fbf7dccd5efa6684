"""Whole runs on Ray on every fake board: clocks on its tree, threads on this machine's CPUs, and all is given back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import psutil
import pytest

from actors.agent.checks import check_clocks
from actors.agent.devices.nvpmodel import power_modes
from actors.agent.machine import Machine
from actors.board_commands.probe import probe
from actors.session import RaySession
from helpers.fake_kernel import FakeAffinity, FakeKernel, boards
from helpers.fake_kernel.files import snapshot
from helpers.fake_kernel.remote import RemoteAffinity, RemoteTree, serve
from helpers.live_runs import assert_counts_add_up, wait_for
from helpers.summary_schema import SCHEMA
from helpers.tiny_networks import network, slow_network
from scheduler.board import Board
from supernets.artifact import Artifact
from workloads.mix.app import App, Family
from workloads.mix.arrivals import Periodic
from workloads.mix.mix import Mix
from workloads.results.run_dir import read_run
from workloads.runs.launch import run_plan
from workloads.runs.live import Listener, LiveRun
from workloads.runs.plan import RunPlan, plan_run

pytestmark = pytest.mark.ray

BOARDS = (
    # Rules of kernel 4.9, clocks by limits, a domain for each CPU. Later kernels and two clusters are below.
    "xavier-nx-l4t32",
    "x86-hybrid-laptop",
    "amd-desktop-acpi",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("odroid-xu3", "xavier-nx-l4t35", "orin-nano-l4t36", "odroid-xu4", "rk3588", "rpi5", "amd-desktop")
    ),
)


@dataclass
class Bench:
    """A fake board that other processes can drive.

    Attributes:
        kernel: its kernel, which the test turns as everybody else.
        machine: the machine, for processes of a run.
        board: the board that a probe finds it to be; its GPU is left out, since this machine has none.
    """

    kernel: FakeKernel
    machine: Machine
    board: Board


@contextmanager
def bench(name: str, tmp_path: Path) -> Iterator[Bench]:
    kernel = boards.ALL[name]()
    FakeAffinity(kernel, real=True)
    with serve(kernel) as address:
        tree = RemoteTree(address)
        machine = Machine(tree=tree, affinity=RemoteAffinity(tree), state=tmp_path / "state")
        board = probe(tree, cuda=()).board
        cpus = tuple(unit for unit in board.units if unit.kind == "cpu")
        assert all(unit.settable for unit in cpus), name
        yield Bench(kernel, machine, replace(board, units=cpus, sensors=()))


def _plan(
    bench: Bench,
    tmp_path: Path,
    duration_s: float,
    policy: str = "joint",
    model_of: Callable[[Path], Artifact] = lambda directory: network(directory, "small"),
) -> RunPlan:
    check_clocks(bench.board, bench.machine)
    model = model_of(tmp_path)
    app = App(
        "camera",
        supernet=Family([(model.path, 0.9)]),
        arrivals=Periodic(hz=10),
        latency_ms=500,
        source=lambda index: np.full(model.input_shape, index, np.float32),
    )
    mix = Mix("camera", duration_s=duration_s, apps=[app])
    return plan_run(mix, bench.board, policy=policy, machine=bench.machine)


@pytest.mark.parametrize("name", BOARDS)
def test_every_file_is_as_it_was_after_a_run(name: str, session: RaySession, tmp_path: Path) -> None:
    with bench(name, tmp_path) as board:
        before = snapshot(board.kernel)
        summary = run_plan(_plan(board, tmp_path, 1.5), session, tmp_path / "out")
        assert snapshot(board.kernel) == before
        assert board.kernel.writes
    jsonschema.validate(json.loads(summary.to_json()), SCHEMA)
    assert_counts_add_up(summary.apps["camera"])
    assert summary.apps["camera"].completed > 0
    assert not list((tmp_path / "state").glob("journal-*"))


def test_the_run_of_a_policy_with_a_governor_of_the_kernels(session: RaySession, tmp_path: Path) -> None:
    with bench("xavier-nx-l4t35", tmp_path) as board:
        before = snapshot(board.kernel)
        run_plan(_plan(board, tmp_path, 1.0, "floor+performance"), session, tmp_path / "out")
        assert {change.after for change in read_run(tmp_path / "out").clocks} == {"performance"}
        assert any(write.content == b"performance" for write in board.kernel.writes)
        assert snapshot(board.kernel) == before


class _Live:
    """A run that goes on until its test has seen enough of it."""

    def __init__(self, plan: RunPlan, session: RaySession, out: Path) -> None:
        out.mkdir()
        self.live = LiveRun(plan, session, out, endless=True)
        self.entries: list[dict[str, Any]] = []
        self.live.start()

    def logged(self, kind: str) -> list[dict[str, Any]]:
        """Return the entries of one kind so far."""
        self.live.poll(Listener(on_entry=self.entries.append))
        return [entry for entry in self.entries if entry["kind"] == kind]

    def wait_for_news(self, words: str) -> None:
        def told() -> bool:
            return any(words in entry["text"] for entry in self.logged("event"))

        try:
            wait_for(told)
        except AssertionError:
            raise AssertionError(f"no news of {words!r}: {self.entries[-3:]}") from None


def test_the_manager_follows_a_cap_a_lost_core_and_a_mode(session: RaySession, tmp_path: Path) -> None:
    with bench("xavier-nx-l4t35", tmp_path) as board:
        kernel = board.kernel
        first = board.board.units[0]
        run = _Live(_plan(board, tmp_path, 60), session, tmp_path / "out")
        try:
            cooler = kernel.cooling[0]
            cooler.turn(cooler.most - 1)
            run.wait_for_news(f"{first.name} held at {first.mhz[1]:g} MHz by thermal")
            cooler.turn(0)
            run.wait_for_news(f"{first.name} held at 1420.8 MHz by nvpmodel MODE_15W_6CORE")
            kernel.cpus.switch(1, False)
            run.wait_for_news(f"CPU 1 of {first.name} went offline (hotplug by somebody)")
            kernel.cpus.switch(1, True)
            run.wait_for_news(f"CPU 1 of {first.name} came online")
            two_cores = next(mode for mode in power_modes(board.machine.tree) if mode.name == "MODE_15W_2CORE")
            before = kernel.jetson.mode.number
            kernel.jetson.nvpmodel(two_cores.number)
            run.wait_for_news("(nvpmodel MODE_15W_2CORE)")
            kernel.jetson.nvpmodel(before)
            run.wait_for_news("came back")
        finally:
            run.live.kill()


def test_a_run_in_which_the_mode_changes_leaves_the_board_in_the_new_one(session: RaySession, tmp_path: Path) -> None:
    with bench("orin-nano-l4t36", tmp_path) as board:
        jetson = board.kernel.jetson
        first = jetson.mode.number
        jetson.nvpmodel(0)
        in_new_mode = snapshot(board.kernel)
        jetson.nvpmodel(first)
        before = snapshot(board.kernel)
        run = _Live(_plan(board, tmp_path, 60), session, tmp_path / "out")
        try:
            run.wait_for_news("held at 1344 MHz by nvpmodel 25W")
            assert snapshot(board.kernel) != before
            jetson.nvpmodel(0)
            run.wait_for_news("no longer held at 1344 MHz")
        finally:
            run.live.kill()
        assert snapshot(board.kernel) == in_new_mode


def test_the_clocks_follow_each_request(session: RaySession, tmp_path: Path) -> None:
    with bench("odroid-xu3", tmp_path) as board:
        # At the highest clock a request takes the least energy, so each goes there, and the unit rests at the lowest,
        # the only one at which little is taken for nothing.
        units = [
            replace(
                unit,
                transition_us=1.0,
                static_w=(0.1, *(1.0,) * (len(unit.mhz) - 1)),
                dynamic_w=(1.0,) * len(unit.mhz),
            )
            for unit in board.board.units
        ]
        board.board = replace(board.board, units=tuple(units))
        before = snapshot(board.kernel)
        run = _Live(_plan(board, tmp_path, 60, model_of=slow_network), session, tmp_path / "out")

        def rises() -> int:
            """Return how often the clock of a unit went from its lowest to its highest."""
            total = 0
            for unit in units:
                knob = f"policy{unit.cpus[0]}/scaling_setspeed"
                set_khz = [int(write.content) for write in [*board.kernel.writes] if write.path.endswith(knob)]
                ends = round(unit.mhz[0] * 1000), round(unit.mhz[-1] * 1000)
                total += sum(pair == ends for pair in pairwise(set_khz))
            return total

        try:
            # A plan sets its own clock first, the highest too; all others are those of requests.
            wait_for(lambda: run.logged("plan") and rises() > len(run.logged("plan")) + 3)
        finally:
            run.live.kill()
        assert snapshot(board.kernel) == before


def test_a_killed_agent_s_successor_keeps_the_board_and_a_killed_successor_leaves_it_to_the_driver(
    session: RaySession, tmp_path: Path
) -> None:
    with bench("odroid-xu3", tmp_path) as board:
        before = snapshot(board.kernel)
        run = _Live(_plan(board, tmp_path, 60), session, tmp_path / "out")
        wait_for(lambda: snapshot(board.kernel) != before)
        (agent,) = _processes("AgentActor")
        agent.kill()
        wait_for(lambda: run.logged("part_back"))
        assert snapshot(board.kernel) != before
        (agent,) = [process for process in _processes("AgentActor") if process != agent]
        agent.kill()
        run.live.kill()
        assert snapshot(board.kernel) == before


def _processes(actor: str) -> list[psutil.Process]:
    found = []
    # Of this Ray only: others may run on the machine.
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if f"ray::{actor}" in title:
            found.append(process)
    return found
