"""Kernel modules of the guests: builds those that Debian has not, and finds the others with all that they need."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

# Power meters' drivers, which Debian's kernel leaves out.
DRIVERS = ("drivers/hwmon/ina3221.c", "drivers/hwmon/ina2xx.c")
BUILD_TIMEOUT_S = 300


def extract_drivers(archive: Path, folder: Path) -> None:
    """Take the drivers' sources out of Debian's archive of the kernel's source, for example linux-source-6.1.tar.xz."""
    lacking = set(DRIVERS)
    # As a stream, left as soon as all are found: unpacking the whole would write 1.3 GB.
    with tarfile.open(archive, "r|xz") as sources:
        for member in sources:
            name = member.name.partition("/")[2]
            if name in lacking and (file := sources.extractfile(member)):
                (folder / Path(name).name).write_bytes(file.read())
                lacking.remove(name)
            if not lacking:
                return
    raise FileNotFoundError(f"{archive.name} has no {', '.join(sorted(lacking))}")


def build(sources: Sequence[Path], headers: Path, folder: Path, environment: dict[str, str]) -> None:
    """Build modules against a kernel's headers.

    Args:
        sources: files of C and their Kbuild.
        headers: the folder into which the packages of headers were unpacked.
        folder: where they are built; the modules stay there.
        environment: variables by which the compiler is found.

    Raises:
        RuntimeError: with the compiler's words, if it fails.
    """
    for source in sources:
        shutil.copy(source, folder)
    # The headers of one kernel include those that all its flavours share, by the path that they are installed to, or
    # where the bed was before it was moved.
    (makefile,) = headers.glob("usr/src/linux-headers-*-amd64/Makefile")
    makefile.write_text(re.sub(r"(?<=include ).*/usr/src/", f"{headers}/usr/src/", makefile.read_text()))
    command = ["make", "-C", str(makefile.parent), f"M={folder}", f"-j{os.cpu_count()}", "modules"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    if ended.returncode:
        raise RuntimeError(f"the kernel modules can't be built:\n{ended.stdout}{ended.stderr}")


def with_needed(names: Sequence[str], folders: Sequence[Path]) -> dict[str, bytes]:
    """Find modules and all that they depend on.

    Args:
        names: names of modules, for example `9p` or `acpi-cpufreq`.
        folders: where modules are looked for, at any depth.

    Returns:
        The content of each file by its name, in an order in which they can be loaded; what is built into the kernel is
        left out.

    Raises:
        FileNotFoundError: if a module that is named is neither among the files nor built in.
    """
    files = {_name(path.name): path for folder in folders for path in folder.rglob("*.ko*")}
    built_in = {
        _name(Path(line).name)
        for folder in folders
        for listed in folder.rglob("modules.builtin")
        for line in listed.read_text().splitlines()
    }
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in built_in or f"{name}.ko" in found:
            return
        if name not in files:
            raise FileNotFoundError(f"the kernel has no module {name}")
        content = files[name].read_bytes()
        if files[name].suffix == ".xz":
            content = lzma.decompress(content)
        for needed in needs(content):
            add(needed)
        found[f"{name}.ko"] = content

    for name in names:
        add(_name(name))
    return found


def _name(file: str) -> str:
    """Return a module's name as the kernel spells it, in which `-` and `_` are one: acpi-cpufreq.ko is acpi_cpufreq."""
    return file.partition(".")[0].replace("-", "_")


def needs(module: bytes) -> list[str]:
    """Return the modules that one depends on, as its section .modinfo says: `depends=netfs,9pnet`."""
    listed = re.search(rb"\0depends=([^\0]+)\0", module)
    return [_name(name) for name in listed[1].decode().split(",")] if listed else []
