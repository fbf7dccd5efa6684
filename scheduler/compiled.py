"""Compiles inner loops to machine code, once: the code is kept on disk where a directory can be written.

It is kept beside the source, else in the user's cache directory, under a hash of all source compiled and of numba's
version: numba itself looks only at the file of the function that is called, and would go on using old code after a
change of what that function calls. Where no directory can be written each process compiles anew, which takes some two
minutes of one core. `scheduler.warming.warm` does so ahead of time.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

COMPILING_S = 600.0
"""Longest time to compile everything on a busy core; it takes some 140 s of CPU time (machine C, 2026-12-03)."""
_HERE = Path(__file__).parent
_SOURCES = ("compiled.py", "problem.py", "taking_turns.py", "solver/*.py")
"""What is compiled, and whatever has constants that end up in the code."""


def compiled(function: F) -> F:
    """Return the function compiled by numba, with the same arguments and results."""
    import numba  # loading it takes half a second, and few processes compile

    directory = _directory()
    # Without a wrapper for C, which nobody calls, it compiles faster.
    options: Any = {"cache": directory is not None, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(directory)  # read while the function is decorated
    try:
        made = numba.njit(**options)(function)
    finally:
        config.CACHE_DIR = before
    return cast(F, made)


def keeps_code() -> bool:
    """Return False if there is no directory to keep the code in, so that each process compiles anew."""
    return _directory() is not None


@cache
def _directory() -> Path | None:
    roots = [_HERE / "__pycache__"]
    with suppress(RuntimeError):  # this user has no home
        given = os.environ.get("XDG_CACHE_HOME")
        roots.append((Path(given) if given else Path.home() / ".cache") / "gearshift")
    return directory_for(sorted(path for pattern in _SOURCES for path in _HERE.glob(pattern)), roots)


def directory_for(sources: Sequence[Path], roots: Sequence[Path]) -> Path | None:
    """Return the directory for the code of these sources, made if it was missing; None where none can be written.

    Code of other sources is removed from the first root, which is these sources' own.
    """
    digest = sha256(version("numba").encode() + b"".join(source.read_bytes() for source in sources)).hexdigest()
    for root in roots:
        directory = root / f"compiled-{digest[:16]}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError:
            continue
        if root == roots[0]:
            for old in set(root.glob("compiled-*")) - {directory}:
                shutil.rmtree(old, ignore_errors=True)
        return directory
    return None
