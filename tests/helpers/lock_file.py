"""What a lock file says: a version and hashes for each package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
"""The packages that serve and simulate."""
DEV_LOCK = ROOT / "requirements-dev.lock"
"""All others: those of the extras and of the tests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """A package of the lock file.

    Attributes:
        text: its lines, as pip reads them.
        version: its exact version; empty where there is none.
        hashes: what follows each `--hash=`.
    """

    text: str
    version: str
    hashes: tuple[str, ...]


def read_lock(text: str) -> dict[str, Locked]:
    """Return each package by its normal name, which for `PyYAML` is `pyyaml`; lines that end in a backslash go on."""
    found = {}
    for block in re.findall(r"^[^#\n](?:[^\n]*\\\n)*[^\n]*$", text, re.MULTILINE):
        name, version = re.match(r"([\w.-]+)(?:==([^\s;]+))?", block).groups()
        hashes = tuple(re.findall(r"--hash=(\S+)", block))
        found[normal(name)] = Locked(text=block, version=version or "", hashes=hashes)
    return found


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
