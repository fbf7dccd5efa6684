"""The time that the ledger adds to each request: taking and giving back cores, asking for a clock, handing cores over.

    python -m benchmarks.bench_ledger [--rounds 400]

In microseconds. For a process alone it is the least CPU time of all rounds of 100 requests, which neighbours on the
machine change little. The hand-over, between two processes that always wait for each other, is a median of wall time.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.clock import BoardClock
from actors.cluster import packaged_board
from actors.ledger.ledger import BoardLedger
from scheduler.board import Board
from scheduler.request_clock import Timing

_REQUESTS = 100
_HAND_OVER_ROUNDS, _HAND_OVERS = 5, 5000
_TIMING = Timing(samples_ms=(1.0,), arrival_s=0.0, deadline_s=1.0, next_deadline_s=math.inf)


def _alone_us(ledger: BoardLedger, *, asks: bool) -> float:
    """Return the CPU time of a request that nobody else disturbs, mean of one round."""
    unit = ledger.board.units[0]
    began_s = time.thread_time()
    for number in range(_REQUESTS):
        lease = ledger.take(0, unit.name, unit.cpus[:1], float(number))
        assert lease is not None
        if asks:
            ledger.ask(lease, _TIMING)
        ledger.release(lease)
    return 1e6 * (time.thread_time() - began_s) / _REQUESTS


def _contend(path: Path, board: Board, clock: BoardClock, slot: int) -> None:
    ledger, unit = BoardLedger.attach(path, board, clock), board.units[0]
    for number in range(_HAND_OVERS):
        lease = ledger.take(slot, unit.name, unit.cpus[:1], float(number))
        assert lease is not None
        ledger.release(lease)
    ledger.close()


def _contended_us(path: Path, board: Board, clock: BoardClock) -> float:
    """Return the wall time of a request while another process takes and gives back the same core."""
    fork = multiprocessing.get_context("fork")
    pair = [fork.Process(target=_contend, args=(path, board, clock, slot)) for slot in (0, 1)]
    began_s = time.perf_counter()
    for process in pair:
        process.start()
    for process in pair:
        process.join()
    return 1e6 * (time.perf_counter() - began_s) / _HAND_OVERS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    board, clock = packaged_board("two-core-host"), BoardClock(time.monotonic())
    with TemporaryDirectory(dir="/dev/shm") as directory:
        path = Path(directory) / "ledger"
        ledger = BoardLedger.create(path, board, slots=2, clock=clock)
        alone_us = min(_alone_us(ledger, asks=False) for _ in range(rounds))
        asking_us = min(_alone_us(ledger, asks=True) for _ in range(rounds))
        contended_us = statistics.median(_contended_us(path, board, clock) for _ in range(_HAND_OVER_ROUNDS))
        ledger.remove()
    print(f"take and release, nobody else there:  {alone_us:6.1f} µs")
    print(f"... with a clock asked for:           {asking_us:6.1f} µs")
    print(f"a request of two that contend:        {contended_us:6.1f} µs")


if __name__ == "__main__":
    main()
