"""A loader of a worker's networks: on a CPU they run in this process, on a GPU in its executor."""

from __future__ import annotations

from pathlib import Path

from actors.executor.client import ExecutorClient
from actors.ledger.holding import LEAST_WALL_S, MULTIPLE
from actors.worker.gearbox import CPU, Form
from actors.worker.spec import WorkerSpec
from scheduler.views import Gear
from supernets import engines
from supernets.artifact import Artifact


class NetworkLoader:
    """Makes the networks of one application ready, in the form that a gear needs.

    Args:
        spec: the application, with its board, its profile and the executors' sockets.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._board = spec.board
        self._profile = spec.profile
        self._executors = {unit: ExecutorClient(unit, Path(path)) for unit, path in spec.executors.items()}

    def form_of(self, gear: Gear) -> Form:
        """Return the form in which a gear's network is prepared.

        For example, two cores of any CPU unit need the network on two threads, whichever unit it is.
        """
        unit = self._board.unit(gear.unit)
        return Form(gear.subnet, CPU if unit.kind == "cpu" else unit.name, gear.cores)

    def load(self, artifact: Artifact, form: Form) -> engines.PreparedNetwork:
        """Prepare a network: on a CPU with the engine that the profile has for the form, else by the executor."""
        if form.where != CPU:
            return self._executors[form.where].prepare(artifact, self._bound_s(form))
        time = self._profile.service(form.subnet, "cpu", form.threads)
        return engines.prepare(artifact, time.engine, form.threads)

    def _bound_s(self, form: Form) -> float:
        """Return how long an inference of a network may take in an executor, on the wall; see `actors.ledger.holding`.

        For example, at 300 ms for the slowest of the profile and a lowest clock of half the top one: 4 · 0.3 / 0.5 s.
        """
        unit = self._board.unit(form.where)
        time = self._profile.service(form.subnet, unit.kind, form.threads)
        # On an emulated unit the real inference does not get slower with the clock.
        pace = 1.0 if unit.emulated else unit.pace(unit.mhz[0], time.memory_share)
        return max(LEAST_WALL_S, MULTIPLE * time.samples_ms[-1] / 1e3 / pace)

    def close(self) -> None:
        """Give all networks back to the executors."""
        for executor in self._executors.values():
            executor.close()
