"""The load of a calibration: cores that compute on demand, and say how long a step took them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from statistics import median
from typing import Protocol

from actors.agent.devices.sysfs import DeviceError
from actors.board_commands import burn

_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
_END_S = 5.0
"""Time that a process gets to end by itself."""


class Load(Protocol):
    """What makes cores busy."""

    def start(self, cpus: Sequence[int]) -> None:
        """Make CPUs busy, and no others."""
        ...

    def stop(self) -> float | None:
        """Make all idle again; return the time of an undisturbed step, in seconds, or None if no CPU was busy."""
        ...

    def close(self) -> None:
        """End for good."""
        ...


class BurnLoad:
    """Real load: a process on each CPU, which waits without a cost while it has nothing to do.

    Args:
        cpus: the CPUs that may be made busy.

    Raises:
        DeviceError: if a process can't be started, or may not use its CPU.
    """

    def __init__(self, cpus: Collection[int]) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._busy: tuple[int, ...] = ()
        try:
            for cpu in cpus:
                # A session of its own: a Ctrl-C is for this process alone, whose end then ends the others.
                self._processes[cpu] = subprocess.Popen(
                    [sys.executable, "-P", burn.__file__, str(cpu)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **_ONE_THREAD},
                    start_new_session=True,
                )
            for cpu in cpus:
                self._read(cpu)
        except BaseException:
            self.close()
            raise

    def start(self, cpus: Sequence[int]) -> None:
        """Make CPUs busy; see `Load`."""
        self._busy = tuple(cpus)
        for cpu in cpus:
            self._tell(cpu, b"go\n")

    def stop(self) -> float | None:
        """Make all idle again; see `Load`."""
        for cpu in self._busy:
            self._tell(cpu, b"stop\n")
        said = [json.loads(self._read(cpu)) for cpu in self._busy]
        self._busy = ()
        steps_s = [one["step_s"] for one in said if one["step_s"] is not None]
        return median(steps_s) if steps_s else None

    def close(self) -> None:
        """End the processes; see `Load`."""
        for process in self._processes.values():
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
        for process in self._processes.values():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._processes.clear()

    def _tell(self, cpu: int, line: bytes) -> None:
        pipe = self._processes[cpu].stdin
        assert pipe is not None  # it was asked for
        try:
            pipe.write(line)
            pipe.flush()
        except BrokenPipeError:
            raise self._ended(cpu) from None

    def _read(self, cpu: int) -> bytes:
        pipe = self._processes[cpu].stdout
        assert pipe is not None  # it was asked for
        line = pipe.readline()
        if not line:
            raise self._ended(cpu)
        return line

    def _ended(self, cpu: int) -> DeviceError:
        return DeviceError(f"the process that computes on CPU {cpu} has ended; is the CPU online, and allowed?")
