"""The facts that a worker is told when it starts: plain data that can be sent and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scheduler.board import Board
from scheduler.profile import Profile
from supernets.artifact import Artifact

MEMORY_MB = 140.0
"""Memory for networks with which a worker on ONNX Runtime stays within 300 MB of unique memory. Without a network it
takes 85 MB, Ray and libraries that no other process maps included, and the C library keeps some 30 MB of what dropped
networks used (benchmarks/bench_prepare.py)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorkerSpec:
    """The facts of an application that its worker needs, the same for each restart.

    Attributes:
        app: name of the application.
        board: the board.
        ledger_path: directory of the board's ledger.
        slot: number of the application's slot in the ledger.
        arrivals_s: scheduled arrivals while the application is present, board time, sorted, shape (n,).
        saturate: True for a closed loop, in which a request arrives when the one before has ended.
        segments: (from_s, target_ms) of each latency target, rising in time; the application is present from the
            first `from_s`.
        until_s: board time at which its presence ends.
        queue_bound: most requests that may wait, at least 1.
        drop: rule for which request is dropped, one of `actors.requests.queue.DROP_RULES`.
        artifacts: exported networks of the ladder by sub-network, smallest first.
        profile: measured service times of that ladder.
        seed: seed of the run.
        records_path: file to which the records of its requests are appended.
        executors: socket of each GPU's executor, by unit.
        floors: (from_s, min_accuracy) of each accuracy floor, rising in time; empty for none.
        memory_mb: most memory of networks kept ready, in MB; the engaged and the next are kept whatever they take.
        noise: coefficient of variation of the factor on emulated service times.
        resumes: True for an application that was removed and has come back: it goes on with its numbers of requests.
    """

    app: str
    board: Board
    ledger_path: str
    slot: int
    arrivals_s: NDArray[np.float64]
    saturate: bool
    segments: tuple[tuple[float, float], ...]
    until_s: float
    queue_bound: int
    drop: str
    artifacts: Mapping[str, Artifact]
    profile: Profile
    seed: int
    records_path: str
    executors: Mapping[str, str] = field(default_factory=dict)
    floors: tuple[tuple[float, float], ...] = ()
    memory_mb: float = MEMORY_MB
    noise: float = 0.0
    resumes: bool = False
