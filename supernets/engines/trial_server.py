"""The process in which `supernets.engines.trials` tries users' own models; it may crash.

Each line that it reads is a model, an engine and a bound in seconds; each line that it writes is a `Verdict`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from supernets.artifact import Artifact
from supernets.engines.registry import CannotRunError, prepare
from supernets.engines.trials import Verdict
from supernets.errors import SupernetError

_STACKS_BYTES = 1 << 30
"""Memory beyond what is free that a process may ask for: stacks of threads, of which most is never written."""


def main() -> None:
    """Answer until the input ends."""
    _limit_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches whoever asks, who ends this process
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    answers = os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    # What libraries print is no answer, and nobody reads it.
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    for line in sys.stdin:
        model, engine, limit_s = json.loads(line)
        # The default action of SIGALRM ends a process even while native code computes.
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        verdict = _verdict(_artifact(model), engine)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(asdict(verdict)), file=answers, flush=True)
    # Not by an exit: libraries clean up then, and crash of memory that was damaged before.
    os._exit(0)


def _artifact(fields: dict[str, Any]) -> Artifact:
    # JSON has no tuples.
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return Artifact(**frozen)


def _verdict(artifact: Artifact, engine: str) -> Verdict:
    try:
        prepare(artifact, engine, threads=len(os.sched_getaffinity(0)))
    except CannotRunError as error:
        return Verdict(fault=str(error), contradicts=True)
    except SupernetError as error:
        return Verdict(fault=str(error))
    except Exception as error:  # what an engine's binding raises is as good as a refusal
        return Verdict(fault=f"{engine} can't load {artifact.path}: {type(error).__name__}: {error}"[:1000])
    return Verdict()


def _limit_memory() -> None:
    """Refuse what the machine does not have, be the first whom Linux kills if it comes to that, and leave no core."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            _lower(resource.RLIMIT_DATA, int(line.split()[1]) * 1024 + _STACKS_BYTES)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    _lower(resource.RLIMIT_CORE, 0)


def _lower(limit: int, most: int) -> None:
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))


if __name__ == "__main__":
    main()
