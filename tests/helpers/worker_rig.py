"""A worker on a real ledger with real networks, stepped through virtual time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actors.clock import BoardClock
from actors.ledger.ledger import BoardLedger
from actors.requests.records import Status, read_records
from actors.worker.spec import WorkerSpec
from actors.worker.worker import Worker
from helpers.tiny_networks import Numbers, board, ladder, profile
from helpers.virtual_clock import ScriptedClock
from scheduler.messages import Activate, Prepare
from scheduler.views import Gear

PATIENCE_S = 60
"""The longest that a test waits for a thread or process; a right one needs it only where the machine stalls."""

CPUS = {"big": (0,), "little": (1,), "pair": (0, 1), "gpu": ()}
SMALL = Gear(subnet="small", unit="big", cores=1)  # 20 ms at the top clock
LARGE = Gear(subnet="large", unit="big", cores=1)  # 80 ms
LITTLE = Gear(subnet="small", unit="little", cores=1)
WIDE = Gear(subnet="small", unit="pair", cores=2)  # 10 ms


class Rig:
    """A worker with its ledger, in a directory of its own."""

    def __init__(
        self, directory: Path, *, clock=None, source=None, on_result=None, resume_from_s=None, dvfs="emulated", **spec
    ):
        self.clock = clock or ScriptedClock()
        self.board = spec.pop("board", None) or board(dvfs)
        ledger = directory / "ledger"
        if ledger.exists():
            self.ledger = BoardLedger.attach(ledger, self.board, clock=self.clock)
        else:
            self.ledger = BoardLedger.create(ledger, self.board, slots=2, clock=self.clock)
            for unit in self.board.units:
                self.ledger.set_unit(unit.name, mhz=1000.0)
        facts = {
            "app": "a",
            "board": self.board,
            "ledger_path": str(ledger),
            "slot": 0,
            "arrivals_s": np.empty(0),
            "saturate": False,
            "segments": ((0.0, 1000.0),),
            "until_s": 1e9,
            "queue_bound": 100,
            "drop": "late",
            "artifacts": ladder(directory),
            "profile": profile(),
            "seed": 0,
            "records_path": str(directory / "records"),
        }
        facts.update(spec)
        facts["arrivals_s"] = np.asarray(facts["arrivals_s"], dtype=float)
        self.spec = WorkerSpec(**facts)
        self.worker = Worker(
            self.spec,
            source=source or Numbers(),
            clock=self.clock,
            on_result=on_result,
            resume_from_s=resume_from_s,
        )
        self._reported = None

    def telemetry(self):
        """Return what the worker did since the last call, as the manager gets it."""
        earlier, self._reported = self._reported, self.worker.totals()
        return self._reported.since(earlier, "a")

    def prepare(self, gear, plan=0):
        return self.worker.prepare(Prepare(app="a", gear=gear, plan=plan))

    def activate(self, gear, plan=0, cpus=None):
        return self.worker.activate(
            Activate(app="a", gear=gear, cpus=CPUS[gear.unit] if cpus is None else cpus, plan=plan)
        )

    def shift(self, gear, plan=0):
        self.prepare(gear, plan)
        return self.activate(gear, plan)

    def run_until(self, until_s):
        """Step the worker until then; time stands a little later if a request ends only then."""
        while self.clock.now_s() <= until_s:
            again_s = self.worker.step()
            if again_s is None:
                return
            self.clock.sleep_until(min(again_s, np.nextafter(until_s, np.inf)))

    def finish(self, drain_s=1000.0):
        self.worker.drain(self.clock.now_s() + drain_s)
        while (again_s := self.worker.step()) is not None:
            self.clock.sleep_until(again_s)

    @property
    def records(self):
        return read_records(Path(self.spec.records_path))

    @property
    def ends(self):
        """The record of each ended request, by number."""
        return {int(row["index"]): row for row in self.records if row["status"] != Status.ARRIVED}

    def statuses(self):
        return {index: Status(row["status"]) for index, row in sorted(self.ends.items())}


def serve_until_killed(directory: Path, zero_s: float) -> None:
    """Serve on the wall's clock, in the calling process, until it is killed."""
    one = Rig(
        directory,
        clock=BoardClock(zero_s),
        arrivals_s=np.arange(4000) * 0.005,
        profile=profile(small_ms=(1.0,)),
        queue_bound=5,
    )
    one.shift(SMALL)
    one.worker.start()
    one.worker.join()
