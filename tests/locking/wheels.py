"""Asks the package index whether there is a wheel of each locked package, for each Python and processor.

`python -m locking.wheels` installs nothing: uv resolves each lock file as if for another machine, from wheels alone.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from helpers.lock_file import DEV_LOCK, LOCK

PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
"""The C library of Debian 10, RHEL 8 and Ubuntu 20.04, and all newer ones."""
LATER = {"aarch64-manylinux_2_28": "aarch64-manylinux_2_35"}
"""For the extras: OpenVINO's wheels for aarch64 need the C library of Ubuntu 22.04."""
BUILT = ("font-roboto",)
"""Packages of which there is no wheel; pip builds them, of fonts alone."""


def missing(lock: Path, python: str, machine: str) -> str:
    """Return what uv says is missing to install a lock file's packages on a machine; empty where all wheels exist."""
    with TemporaryDirectory() as directory:
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--dry-run",
            "--quiet",
            "--no-deps",
            "--require-hashes",
        ]
        command += ["--only-binary", ":all:", "--python-version", python, "--python-platform", machine]
        command += [word for package in BUILT for word in ("--no-binary", package)]
        ended = subprocess.run(
            [*command, "--target", directory, "--requirement", str(lock)], capture_output=True, text=True
        )
    return ended.stderr.strip() if ended.returncode else ""


def main() -> None:
    """Print a line for each lock file, Python and machine; exit with 1 if a wheel is missing."""
    failed = False
    for lock, python, machine in product((LOCK, DEV_LOCK), PYTHONS, MACHINES):
        place = LATER.get(machine, machine) if lock == DEV_LOCK else machine
        lacking = missing(lock, python, place)
        failed |= bool(lacking)
        print(f"{lock.name}, Python {python}, {place}: {lacking or 'all wheels exist'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
