"""The functions of a ladder search that need no measurement: for which place, and in what networks are measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.hindsight_mixes import board, unit
from scheduler.board import Board
from scheduler.errors import InputError
from supernets import SupernetError
from workloads.ladder.search import bench_of, place

TWO_UNITS = board(unit("big", cores=2), unit("little", cores=4, first_cpu=2))


def with_gpu() -> Board:
    gpu = replace(unit("gpu"), kind="gpu", cpus=(), host="big")
    return board(gpu, unit("big", cores=2))


def test_no_unit_is_the_first_cpu_unit() -> None:
    assert str(place(TWO_UNITS, None, 1)) == "big of small, 1 core"
    assert str(place(with_gpu(), None, 2)) == "big of small, 2 cores"


def test_a_unit_may_be_named() -> None:
    assert str(place(TWO_UNITS, "little", 3)) == "little of small, 3 cores"
    assert str(place(with_gpu(), "gpu", 1)) == "gpu of small"


@pytest.mark.parametrize("cores", [0, 3])
def test_more_or_fewer_cores_than_the_unit_has_are_refused(cores: int) -> None:
    with pytest.raises(InputError, match=f"--cores {cores}: unit 'big' of 'small' has 2"):
        place(TWO_UNITS, None, cores)


def test_a_board_without_a_cpu_unit_needs_a_name() -> None:
    only_gpu = replace(with_gpu(), units=with_gpu().units[:1])
    with pytest.raises(InputError, match=r"has no CPU unit; name one with --unit\. Known: gpu"):
        place(only_gpu, None, 1)


def test_networks_for_a_cpu_unit_are_measured_on_its_first_cores() -> None:
    bench = bench_of(place(TWO_UNITS, "little", 3), "onnxruntime")
    assert (bench.engine, bench.threads, bench.cpus, bench.device) == ("onnxruntime", 3, (2, 3, 4), "cpu")


def test_networks_for_a_gpu_are_measured_in_torch() -> None:
    on_gpu = place(with_gpu(), "gpu", 1)
    bench = bench_of(on_gpu, "auto")
    assert (bench.engine, bench.device) == ("torch", "cuda:0")
    with pytest.raises(SupernetError, match="engine 'onnxruntime' does not run on a GPU"):
        bench_of(on_gpu, "onnxruntime")


def test_latencies_of_an_emulated_unit_are_at_its_speed() -> None:
    slow = board(unit("slow", speed=0.5))
    assert place(slow, None, 1).pace == 0.5
    assert place(board(replace(slow.units[0], dvfs="fixed")), None, 1).pace == 1.0
