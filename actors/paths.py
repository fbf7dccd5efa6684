"""The directory of the files that outlive a run: exported networks, profiles, the list of runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return `$GEARSHIFT_CACHE`, else `gearshift` under the user's cache directory; it is made if missing."""
    named = os.environ.get("GEARSHIFT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(named) if named else Path(base) / "gearshift"
    path.mkdir(parents=True, exist_ok=True)
    return path
