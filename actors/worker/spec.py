"""What a worker is told when it starts: plain data that can be sent and stored. Knows no way to serve anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scheduler.board import Board
from scheduler.profile import Profile
from supernets.artifact import Artifact

MEMORY_MB = 140.0
"""With these a worker on ONNX Runtime stays within 300 MB of unique memory: without a network it takes 85, Ray and
libraries that no other process maps included, and the C library keeps some 30 of what dropped networks used
(benchmarks/bench_prepare.py)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorkerSpec:
    """All that a worker has to know of its application: plain data, the same for each restart.

    Attributes:
        app: its name.
        board: the board.
        ledger_path: directory of the board's ledger.
        slot: the application's slot there.
        arrivals_s: scheduled arrivals while it is present, board time, sorted, shape (n,).
        saturate: whether it is a closed loop, in which a request arrives when the one before has ended.
        segments: (from_s, target_ms) of each latency target, rising in time; the first begins its presence.
        until_s: end of its presence.
        queue_bound: most requests that may wait.
        drop: which one goes, one of `actors.requests.queue.DROP_RULES`.
        artifacts: its ladder by sub-network, smallest first.
        profile: what was measured of that ladder.
        seed: of the run.
        records_path: file for its records.
        executors: by GPU unit, the socket of its executor.
        floors: (from_s, min_accuracy) of each accuracy floor, rising in time; empty for none.
        memory_mb: most memory of networks kept ready; the engaged and the next are kept whatever they take.
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
