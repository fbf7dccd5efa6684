"""The time that the ledger adds to each request: taking and giving back cores, asking for a clock, handing cores over.

    python -m benchmarks.bench_ledger [--requests 20000]

Medians of five rounds, in microseconds. The hand-over is between two processes that always wait for each other.
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

_ROUNDS = 5
_TIMING = Timing(samples_ms=(1.0,), arrival_s=0.0, deadline_s=1.0, next_deadline_s=math.inf)


def _handing_over(path: Path, board: Board, clock: BoardClock, slot: int, requests: int) -> None:
    ledger, unit = BoardLedger.attach(path, board, clock), board.units[0]
    for number in range(requests):
        lease = ledger.take(slot, unit.name, unit.cpus[:1], float(number))
        assert lease is not None
        ledger.release(lease)
    ledger.close()


def _median_us(round_s: list[float], requests: int) -> float:
    return 1e6 * statistics.median(round_s) / requests


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20000)
    requests = parser.parse_args().requests
    board, clock = packaged_board("two-core-host"), BoardClock(time.monotonic())
    unit = board.units[0]
    alone_s: list[float] = []
    asking_s: list[float] = []
    handing_s: list[float] = []
    with TemporaryDirectory(dir="/dev/shm") as directory:
        path = Path(directory) / "ledger"
        ledger = BoardLedger.create(path, board, slots=2, clock=clock)
        for _ in range(_ROUNDS):
            for times, asks in ((alone_s, False), (asking_s, True)):
                began_s = time.perf_counter()
                for number in range(requests):
                    lease = ledger.take(0, unit.name, unit.cpus[:1], float(number))
                    assert lease is not None
                    if asks:
                        ledger.ask(lease, _TIMING)
                    ledger.release(lease)
                times.append(time.perf_counter() - began_s)
            fork = multiprocessing.get_context("fork")
            pair = [
                fork.Process(target=_handing_over, args=(path, board, clock, slot, requests // 4)) for slot in (0, 1)
            ]
            began_s = time.perf_counter()
            for process in pair:
                process.start()
            for process in pair:
                process.join()
            handing_s.append(time.perf_counter() - began_s)
        ledger.remove()
    print(f"take and release, nobody else there:  {_median_us(alone_s, requests):6.1f} µs")
    print(f"... with a clock asked for:           {_median_us(asking_s, requests):6.1f} µs")
    print(f"a request of two that contend:        {_median_us(handing_s, requests // 4):6.1f} µs")


if __name__ == "__main__":
    main()
