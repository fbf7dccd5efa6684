"""A ladder of two tiny real networks, inputs for it and a board, for tests of the worker; no torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scheduler.board import Board, BoardUnit
from scheduler.profile import Profile, RungProfile, ServiceTime
from supernets.artifact import Artifact
from supernets.pictures.tasks import ClassTask

SCALES = {"small": 1.0, "large": 2.0}
RESOLUTIONS = {"small": 4, "large": 8}


def board(dvfs: str = "emulated", speed: float = 0.5) -> Board:
    """Return a board of two units with one core each, CPUs 0 and 1, and a unit of both.

    Args:
        dvfs: the units' DVFS word.
        speed: speed of a core at its top clock.
    """
    units = (("big", (0,)), ("little", (1,)), ("pair", (0, 1)))
    return Board(
        name="test",
        units=tuple(
            BoardUnit(
                name=name,
                kind="cpu",
                cpus=cpus,
                dvfs=dvfs,
                mhz=(500.0, 1000.0),
                static_w=(0.1, 0.2),
                dynamic_w=(0.5, 2.0),
                speed=speed,
            )
            for name, cpus in units
        ),
        base_w=None,
        sensor="none",
        power_source="made up",
    )


def profile(small_ms: tuple[float, ...] = (10.0,), large_ms: tuple[float, ...] = (40.0,)) -> Profile:
    """Return a profile with these service times on one core; on two cores they are half."""
    return Profile(
        supernet="tiny",
        machine="none",
        rungs=tuple(
            RungProfile(
                subnet=subnet,
                accuracy=None,
                accuracy_source="unknown",
                times=tuple(
                    ServiceTime(kind="cpu", cores=cores, samples_ms=tuple(sample / cores for sample in samples_ms))
                    for cores in (1, 2)
                ),
            )
            for subnet, samples_ms in (("small", small_ms), ("large", large_ms))
        ),
    )


def ladder(directory: Path) -> dict[str, Artifact]:
    """Write two networks that return the mean of their input times their scale, each for another input shape."""
    return {subnet: network(directory, subnet) for subnet in SCALES}


def with_gpu(board: Board, dvfs: str = "emulated", speed: float = 0.5) -> Board:
    """Return the board with a GPU added."""
    gpu = BoardUnit(
        name="gpu",
        kind="gpu",
        cpus=(),
        dvfs=dvfs,
        mhz=(500.0, 1000.0) if dvfs == "emulated" else (1000.0,),
        static_w=(0.1, 0.2) if dvfs == "emulated" else (0.2,),
        dynamic_w=(0.1, 0.2) if dvfs == "emulated" else (0.2,),
        speed=speed,
    )
    return replace(board, units=(*board.units, gpu))


def gpu_times(profile: Profile, **service_ms: float) -> Profile:
    """Return the profile with times of its sub-networks on a GPU added."""
    rungs = []
    for rung in profile.rungs:
        time = ServiceTime(kind="gpu", cores=1, samples_ms=(service_ms[rung.subnet],), engine="torch (cpu)")
        rungs.append(replace(rung, times=(*rung.times, time)))
    return replace(profile, rungs=tuple(rungs))


def with_program(artifact: Artifact) -> Artifact:
    """Write the network as a torch program too, for the torch engine."""
    import torch

    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x.mean() * SCALES[artifact.subnet]).reshape(1)

    path = Path(artifact.path).with_suffix(".pt2")
    torch.export.save(torch.export.export(Scaled(), (torch.zeros(artifact.input_shape),)), path)
    return replace(artifact, program=str(path))


def network(directory: Path, subnet: str) -> Artifact:
    shape = (1, 1, RESOLUTIONS[subnet], RESOLUTIONS[subnet])
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "scale"], ["y"]),
        ],
        subnet,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1,))],
        [numpy_helper.from_array(np.array([SCALES[subnet]], dtype=np.float32), "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = directory / f"{subnet}.onnx"
    onnx.save(model, str(path))
    return Artifact(subnet=subnet, path=str(path), input_shape=shape, weights_hash=subnet)


def slow_network(directory: Path) -> Artifact:
    """Write a network that keeps a core busy for tens of milliseconds: 200 products of matrices, one after another."""
    shape, size, steps = (1, 1, 64, 256), 256, 100
    names = ["x", *(f"x{step}" for step in range(1, steps)), "y"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [before, "turn"], [after]) for before, after in pairwise(names)],
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.eye(size, dtype=np.float32)[::-1].copy(), "turn")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = directory / "slow.onnx"
    onnx.save(model, str(path))
    return Artifact(subnet="slow", path=str(path), input_shape=shape, weights_hash="slow")


@dataclass(frozen=True)
class Numbers:
    """A source of numbers: request i's input is a picture full of i, and an output is right if it is i.

    Only `small` is ever right.

    Attributes:
        broken: requests whose input has a shape that no network takes.
        unlabelled: requests whose score raises.
    """

    broken: Collection[int] = ()
    unlabelled: Collection[int] = ()
    period: ClassVar[None] = None

    def inputs(self, artifact: Artifact) -> Callable[[int], np.ndarray]:
        def of(index: int) -> np.ndarray:
            return np.full((2, 3) if index in self.broken else artifact.input_shape, index, dtype=np.float32)

        return of

    @property
    def task(self) -> ClassTask:
        return ClassTask()

    @property
    def notice(self) -> str:
        return ""

    def score(self, index: int, output: np.ndarray) -> float | None:
        if index in self.unlabelled:
            raise LookupError(f"request {index} has no label")
        return bool(output[0] == index)

    def adapt(self, payload: object, artifact: Artifact) -> np.ndarray:
        return np.resize(np.asarray(payload).astype(np.float32), artifact.input_shape)
