"""A mix whose user's code has faults: `GEARSHIFT_FAULTS` says which, and each is noted in a file before it strikes.

The functions run in the workers, so what they break there breaks the product's own calls too: `os.write` is how a
record is written, `os.open` how a pipe is opened, `flock` how the ledger is locked.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workloads import App, Family, Mix, Periodic

_ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EINTR)
_EACH_S = {
    "os.write fails": 4.0,
    "os.open fails": 8.0,
    "a lock fails": 25.0,
    "the process ends": 25.0,
    "the process stops itself": 40.0,
}
"""Mean time between two faults of a kind in one application; other kinds come each `_OFTEN_S`."""
_OFTEN_S = 3.0
KINDS = (
    "source raises",
    "source hangs 0.4 s",
    "on_result raises",
    "on_result hangs 0.4 s",
    "memory runs out",
    *_EACH_S,
)
_HZ = 10.0


class _Broken:
    """A call of the system that fails the next time; afterwards it is as before."""

    def __init__(self, module: Any, name: str, error: int) -> None:
        self._module, self._name, self._error = module, name, error
        self._real = getattr(module, name)
        setattr(module, name, self)

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        setattr(self._module, self._name, self._real)
        raise OSError(self._error, os.strerror(self._error))


def _strike(kind: str, rng: random.Random) -> None:
    error = rng.choice(_ERRORS)
    if kind.endswith("raises"):
        raise OSError(error, f"injected: {os.strerror(error)}")
    match kind:
        case "source hangs 0.4 s" | "on_result hangs 0.4 s":
            time.sleep(0.4)
        case "memory runs out":
            raise MemoryError("injected")
        case "os.write fails":
            _Broken(os, "write", error)
        case "os.open fails":
            _Broken(os, "open", errno.EMFILE)
        case "a lock fails":
            _Broken(fcntl, "flock", errno.ENOLCK)
        case "the process ends":
            os._exit(7)
        case "the process stops itself":
            os.kill(os.getpid(), signal.SIGSTOP)


def _code(app: str, told: dict[str, Any], kinds: tuple[str, ...]) -> Callable[..., Any]:
    """Return a user's function that has faults of these kinds, drawn anew in each process."""
    state: dict[str, random.Random] = {}

    def run(*_: object) -> Any:
        rng = state.setdefault("rng", random.Random(f"{told['seed']} {app} {kinds[0]} {os.getpid()}"))
        for kind in kinds:
            if rng.random() < 1 / (_HZ * _EACH_S.get(kind, _OFTEN_S)) * told["rate"]:
                with open(told["notes"], "a") as notes:
                    notes.write(json.dumps({"app": app, "kind": kind, "at_s": time.monotonic()}) + "\n")
                _strike(kind, rng)
        return np.zeros((4, 4), np.uint8)

    return run


def mix() -> Mix:
    told = json.loads(os.environ["GEARSHIFT_FAULTS"])
    models = [
        (str(Path(told["models"]) / f"{name}.onnx"), accuracy) for name, accuracy in (("small", 0.6), ("large", 0.9))
    ]
    of_results = ("on_result raises", "on_result hangs 0.4 s")
    of_sources = tuple(kind for kind in KINDS if kind not in of_results)
    return Mix(
        "faults",
        duration_s=told["duration_s"],
        apps=[
            App(
                name,
                supernet=Family(models),
                arrivals=Periodic(hz=_HZ),
                latency_ms=300,
                source=_code(name, told, of_sources),
                on_result=_code(name, told, of_results),
            )
            for name in ("a", "b", "c")
        ],
    )
