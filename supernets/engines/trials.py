"""Tries users' own models in a process apart: an engine may crash on a damaged file, and takes its process along.

The process reads one model after another. One that has read a damaged file may itself be damaged, so only the crash of
a fresh process counts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from supernets.artifact import Artifact
from supernets.engines.registry import candidates
from supernets.errors import SupernetError

LIMIT_S = 300.0
"""Longest time in which an engine may load a model and run it three times; large ones take a minute on slow boards."""
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The end of a model's trial in one engine.

    Attributes:
        fault: what went wrong, in a sentence; None where the engine runs the model.
        contradicts: True if the engine loaded the model, and found out when it ran it that it contradicts itself.
        lasting: False if another trial might end otherwise: this one took too long, or was killed.
    """

    fault: str | None = None
    contradicts: bool = False
    lasting: bool = True


class Trials:
    """A process apart for trials; it starts with the first one, and ends with the `with` block.

    Args:
        limit_s: bound on the time of one trial, in seconds.
        server: module that the process runs.
    """

    def __init__(self, limit_s: float = LIMIT_S, server: str = "supernets.engines.trial_server") -> None:
        self._limit_s = limit_s
        self._server = server
        self._process: subprocess.Popen[str] | None = None
        self._fresh = True

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def of(self, artifact: Artifact, engine: str) -> Verdict:
        """Return how an engine does with a model.

        Raises:
            SupernetError: if the process can't start.
        """
        verdict = self._asked(artifact, engine)
        while verdict is None:
            code, fresh = self._end(), self._fresh
            if fresh:
                return _died(artifact, engine, code, self._limit_s)
            verdict = self._asked(artifact, engine)
        self._fresh = False
        return verdict

    def _asked(self, artifact: Artifact, engine: str) -> Verdict | None:
        """Return the process's own verdict; None if it died."""
        process = self._started()
        assert process.stdin
        assert process.stdout
        try:
            print(json.dumps([asdict(artifact), engine, self._limit_s]), file=process.stdin, flush=True)
        except BrokenPipeError:
            return None
        answer = process.stdout.readline()
        return Verdict(**json.loads(answer)) if answer.endswith("\n") else None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is not None:
            return self._process
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        pipe = subprocess.PIPE
        # -P: a file of the user's in the current directory is none of the modules that this imports.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._server],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
            env=os.environ | {"PYTHONPATH": path},
        )
        self._fresh = True
        assert self._process.stdout
        assert self._process.stderr
        if not self._process.stdout.readline():
            said = self._process.stderr.read().strip().splitlines()
            self._end()
            raise SupernetError(f"the process that tries models does not start: {' '.join(said[-1:])}")
        return self._process

    def _end(self) -> int:
        """End the process if there is one; return its exit code, which is that of its own death if it died."""
        process, self._process = self._process, None
        if process is None:
            return 0
        # One whose output has ended is dying already, and its exit code is settled.
        process.kill()
        with suppress(BrokenPipeError), process:  # closes the pipes, of which one may hold what was never read
            pass
        return process.returncode


def tried(artifact: Artifact, trials: Trials) -> tuple[Artifact, bool]:
    """Run a user's own model in each engine that `auto` chooses from.

    Args:
        artifact: the model.
        trials: the process for it.

    Returns:
        The model with the engines that can't run it, and True if that will be so at the next trial.

    Raises:
        SupernetError: if none can, and the message has each one's reason; or if one finds out when it runs the model
            that the model contradicts itself.
    """
    names = candidates(artifact.precision)
    verdicts = {}
    for name in names:
        verdict = verdicts[name] = trials.of(artifact, name)
        if verdict.contradicts:
            # Not left to the next engine: OpenVINO checks no shapes while it runs, and reads and writes elsewhere in
            # its process's memory.
            raise SupernetError(verdict.fault)
    unable = tuple((name, verdict.fault) for name, verdict in verdicts.items() if verdict.fault is not None)
    if len(unable) == len(names):
        raise SupernetError("; ".join(reason for _, reason in unable))
    return replace(artifact, unable=unable), all(verdict.lasting for verdict in verdicts.values())


def _died(artifact: Artifact, engine: str, code: int, limit_s: float) -> Verdict:
    """Return the verdict on a model at which a fresh process ended with an exit code."""
    if code == -signal.SIGALRM:
        return Verdict(fault=f"{engine} has not loaded and run {artifact.path} within {limit_s:g} s", lasting=False)
    if code == -signal.SIGKILL:
        return Verdict(
            fault=f"{engine} was killed while it loaded {artifact.path}, as Linux does where memory is short",
            lasting=False,
        )
    how = f"signal {-code}, {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return Verdict(fault=f"{engine} crashes on {artifact.path} ({how}); download or export it again")
