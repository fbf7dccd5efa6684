"""Fetches what the bed is made of: programs, kernels and their sources, a Python for the guests. It installs nothing.

Debian's packages come through apt with lists and a cache of its own, so that neither the machine's nor another
architecture's are touched and no root is needed. Wheels come through pip, in the versions and with the hashes that the
project's lock file has. Whatever has been fetched stays in the bed's folder until it is asked for differently.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

FETCH_TIMEOUT_S = 400


class UnavailableError(Exception):
    """The packages can't be had here: the bed is skipped, which is no failure of what it tests."""


def made_once(folder: Path, request: str, make: Callable[[Path], object]) -> Path:
    """Make a folder, unless it is there and was made for the same request.

    It is made beside its place and moved there when whole, so that an interrupted run leaves no half of one.

    Args:
        folder: where it is to be.
        request: all that its content depends on, for example `qemu-system-x86 make`.
        make: fills the empty folder that it is given.

    Returns:
        The folder.
    """
    stamp = folder / ".made_for"
    if stamp.is_file() and stamp.read_text() == request:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    make(partial)
    (partial / stamp.name).write_text(request)
    return partial.rename(folder)


def check_host() -> None:
    """Refuse a machine on which the bed can't be made.

    Raises:
        UnavailableError: if this is no Debian on x86-64, or apt, dpkg or tar is missing.
    """
    missing = [name for name in ("apt-get", "apt-cache", "dpkg-deb", "tar") if shutil.which(name) is None]
    if missing:
        raise UnavailableError(f"this machine has no {', '.join(missing)}; the bed is made of Debian's packages")
    release = Path("/etc/os-release").read_text().splitlines() if Path("/etc/os-release").exists() else []
    if "ID=debian" not in release:
        raise UnavailableError("this machine does not run Debian, whose kernels and names of packages the bed uses")
    if os.uname().machine != "x86_64":
        raise UnavailableError(f"the bed builds kernel modules for x86-64, and this machine is {os.uname().machine}")


def _fetch(command: Sequence[str], folder: Path, **environment: str) -> str:
    """Run a command that fetches, in a folder, and return what it printed; where it fails, nothing can be had here."""
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{' '.join(command[:2])} did not end within {FETCH_TIMEOUT_S} s") from None
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip() or "nothing").splitlines()[-1]
        raise UnavailableError(f"{' '.join(command[:2])} failed: {said}")
    return ended.stdout


class Apt:
    """Debian's packages of one architecture, with lists, cache and settings of its own."""

    def __init__(self, architecture: str, folder: Path) -> None:
        """Write the settings, and fetch the lists from where this machine's own apt has them.

        Args:
            architecture: Debian's name of it, `amd64` or `arm64`.
            folder: an absolute path; lists, cache and settings are kept there.

        Raises:
            UnavailableError: if apt fails, or reaches none of its sources.
        """
        self._settings = folder / "apt.conf"
        self._archives = folder / "archives"
        self._bare = folder / "nothing_installed"
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._bare.touch()
        # Without locks, and as the present user: root's apt would else become `_apt`, who may not write here.
        self._settings.write_text(
            f'APT::Architecture "{architecture}";\nAPT::Architectures {{ "{architecture}"; }};\n'
            f'Dir::State "{folder}";\nDir::State::lists "{folder}/lists/";\nDir::Cache "{folder}";\n'
            'Debug::NoLocking "true";\nAPT::Sandbox::User "root";\n'
            'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n'
            'Acquire::Languages "none";\nAcquire::Retries "2";\n'
        )
        # It ends well without a network, too.
        self._apt("apt-get", "update")
        if not list((folder / "lists").glob("*_Packages*")):
            raise UnavailableError("apt could not fetch its lists of packages; is there a network?")

    def _apt(self, *command: str) -> str:
        return _fetch(command, self._archives, APT_CONFIG=str(self._settings), LC_ALL="C")

    def depends(self, package: str) -> list[str]:
        """Return what a package depends on: that of `linux-image-amd64` has the kernel's version in its name."""
        lines = self._apt("apt-cache", "depends", package).splitlines()
        return [line.split()[-1] for line in lines if line.startswith("  Depends: ") and "<" not in line]

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """Unpack these packages, without what they depend on."""
        self._apt("apt-get", "clean")
        self._apt("apt-get", "download", *packages)
        self._unpack_archives(root)

    def unpack_lacking(self, packages: Sequence[str], root: Path) -> None:
        """Unpack packages and what they depend on, less what is installed on this machine."""
        self._install(packages, root, Path("/var/lib/dpkg/status"))

    def unpack_whole(self, packages: Sequence[str], root: Path) -> None:
        """Unpack packages and all that they depend on, so that they run with `root` as their file system's root."""
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        self._install(packages, root, self._bare)

    def _install(self, packages: Sequence[str], root: Path, installed: Path) -> None:
        self._apt("apt-get", "clean")
        self._apt("apt-get", "-o", f"Dir::State::status={installed}", "--download-only", "install", *packages)
        self._unpack_archives(root)

    def _unpack_archives(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        for archive in sorted(self._archives.glob("*.deb")):
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as packed:
                # A folder of an old package may be one of the links that `unpack_whole` made.
                tar = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--directory", str(root)]
                subprocess.run(tar, stdin=packed.stdout, check=True)
            if packed.returncode:
                raise UnavailableError(f"{archive.name} was fetched damaged")
        self._apt("apt-get", "clean")


def install_wheels(locked: str, root: Path, machine: str) -> None:
    """Install wheels for a guest's Python, which this machine's processor need not be able to run.

    Args:
        locked: lines of the lock file.
        root: the guest's root, with Debian's python3 in it.
        machine: the guest's machine as wheels name it, `x86_64` or `aarch64`.

    Raises:
        UnavailableError: if pip fails.
    """
    # /usr/bin/python3 is a link to, for example, python3.11.
    version = (root / "usr" / "bin" / "python3").readlink().name.removeprefix("python")
    tags = [f"manylinux_2_{minor}_{machine}" for minor in (28, 27, 26, 24, 17)] + [f"manylinux2014_{machine}"]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile"]
    choice = ["--only-binary=:all:", f"--python-version={version}", *(f"--platform={tag}" for tag in tags)]
    target = root / "usr" / "lib" / "python3" / "dist-packages"
    with NamedTemporaryFile("w", suffix=".lock") as requirements:
        requirements.write(locked)
        requirements.flush()
        _fetch([*pip, *choice, "--require-hashes", f"--target={target}", f"--requirement={requirements.name}"], root)
