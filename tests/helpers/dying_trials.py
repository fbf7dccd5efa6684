"""A process for trials whose engine `openvino` dies as a model's name says: `die-11.onnx` of signal 11."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from supernets.artifact import Artifact
from supernets.engines import registry, trial_server
from supernets.engines.common import Loaded


def _load(artifact: Artifact, threads: int, device: str) -> Loaded:
    match Path(artifact.path).stem.split("-"):
        case ["die", number]:
            os.kill(os.getpid(), int(number))
        case ["exit", code]:
            os._exit(int(code))
        case ["hang"]:
            time.sleep(600)
        case ["raise"]:
            raise KeyError("x" * 5000)
        case ["damage"]:  # the next model dies of what this one did
            registry._ENGINES["openvino"] = replace(registry.OPENVINO, start=lambda: None, load=_die)
    return Loaded(run=lambda x: x)


def _die(artifact: Artifact, threads: int, device: str) -> Loaded:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


if __name__ == "__main__":
    registry._ENGINES["openvino"] = replace(registry.OPENVINO, start=lambda: None, load=_load)
    trial_server.main()
