"""The directory of the files that outlive a run: exported networks, profiles, the list of runs."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from actors.identity import this_process
from actors.run_places import PREFIX

_ROOM_BYTES = 2**20
"""Room that a cache must have, so that at least profiles can be kept."""

_SESSION = "kk"
"""End of the tag of a stand-in. It is no hexadecimal number, as that of a session is."""

_stand_ins: dict[str, Path] = {}


def cache_dir() -> Path:
    """Return `$GEARSHIFT_CACHE`, else `gearshift` under the user's cache directory; it is made if missing.

    Where it can't be written to, a temporary directory stands in for it until this process ends: what the cache holds
    is found there, and what is added is lost. A warning says so, once.
    """
    named = os.environ.get("GEARSHIFT_CACHE")
    base = named or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(base) if named else Path(base) / "gearshift"
    if (stand_in := _stand_ins.get(str(path))) is not None:
        return stand_in
    try:
        if not path.is_absolute() and not named:
            raise FileNotFoundError(2, "this user has no home directory")
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            os.posix_fallocate(probe.fileno(), 0, _ROOM_BYTES)
    except OSError as error:
        return _stand_in(path, error.strerror or str(error))
    return path


def _stand_in(path: Path, why: str) -> Path:
    """Make a temporary directory that shows what the cache holds, and takes what it can't."""
    # Its name is that of a run's directory, so the next start removes what a killed process left.
    directory = Path(tempfile.gettempdir()) / f"{PREFIX}{this_process()}{_SESSION}" / str(len(_stand_ins))
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir()
    atexit.register(shutil.rmtree, directory.parent, ignore_errors=True)
    for where, _, names in os.walk(path):
        below = directory / os.path.relpath(where, path)
        with suppress(OSError):
            below.mkdir(exist_ok=True)
            for name in names:
                (below / name).symlink_to(Path(where) / name)
    _stand_ins[str(path)] = directory
    logging.getLogger("gearshift").warning(
        "gearshift: the cache %s can't be written to (%s), so exports and profiles of this run are not kept; "
        "have GEARSHIFT_CACHE name a directory that can",
        os.fsencode(path).decode("utf-8", "backslashreplace"),
        why,
    )
    return directory
