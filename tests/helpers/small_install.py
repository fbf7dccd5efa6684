"""An environment outside the clone with gearshift as a wheel and no package but those of `requirements.lock`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from helpers.lock_file import LOCK, ROOT, read_lock


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallInstall:
    """The environment.

    Attributes:
        directory: its directory.
        cache: the cache of exports and profiles that its commands use.
    """

    directory: Path
    cache: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.directory / "bin" / "python")

    @property
    def command(self) -> str:
        """The script `gearshift` that its installation made."""
        return str(self.directory / "bin" / "gearshift")

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run its interpreter, in a directory and without the variables of this one."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        # Compiling takes two minutes of a core. What is compiled computes the same in Python, fast enough for here.
        mine = {"GEARSHIFT_CACHE": str(self.cache), "NUMBA_DISABLE_JIT": "1", "GEARSHIFT_SHARE": "1"}
        return subprocess.run(
            [self.python, *command], capture_output=True, text=True, cwd=cwd, env=inherited | mine, timeout=540
        )


def small_install(directory: Path) -> SmallInstall:
    """Build gearshift's wheel out of a copy of its sources, and install it with links to the packages that it needs.

    Nothing is downloaded: the packages are those of this environment, in the versions of the lock file.
    """
    wheel = _wheel(directory)
    home = directory / "installed"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next((home / "lib").glob("python3*")) / "site-packages"
    for name in read_lock(LOCK.read_text()):
        _link(name, site)
    command = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-index", str(wheel)], check=True, cwd=directory)
    return SmallInstall(directory=home, cache=directory / "cache")


def _wheel(directory: Path) -> Path:
    sources = directory / "sources"
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = described["tool"]["setuptools"]["packages"]["find"]["include"]
    for package in (name.removesuffix("*") for name in found):
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", described["project"]["readme"], *described["project"]["license-files"]):
        shutil.copy(ROOT / file, sources)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(directory), str(sources)], check=True, cwd=directory)
    (wheel,) = directory.glob("gearshift-*.whl")
    return wheel


def _link(name: str, site: Path) -> None:
    """Link what a package has installed, its metadata too, into another directory of packages."""
    try:
        installed = distribution(name)
    except PackageNotFoundError:  # it is for another system
        return
    tops = {file.parts[0] for file in installed.files or () if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        link = site / top
        if not link.exists():  # two packages may share a directory
            link.symlink_to(Path(str(installed.locate_file(top))))
