"""The initial file system that a guest boots with: busybox, the modules and the script that starts the tests."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

FOLDER = stat.S_IFDIR | 0o755
PROGRAM = stat.S_IFREG | 0o755
FILE = stat.S_IFREG | 0o644


def cpio(entries: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Pack files into the archive that the kernel unpacks at boot, cpio's format `newc`.

    Args:
        entries: mode and content of each path; a folder comes before what is in it, and has no content.

    Returns:
        The archive. All of it belongs to root, whoever makes it.
    """
    packed = bytearray()
    for number, (path, (mode, content)) in enumerate([*entries.items(), ("TRAILER!!!", (0, b""))], start=1):
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device (2), device of a node (2), length of the name, checksum
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        packed += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        packed += bytes(-len(packed) % 4) + content
        packed += bytes(-len(packed) % 4)
    return bytes(packed)


def initramfs(busybox: Path, init: Path, modules: Mapping[str, bytes], parameters: Mapping[str, str]) -> bytes:
    """Make a guest's first file system.

    Args:
        busybox: the guest's own, linked statically.
        init: the script that the kernel starts.
        modules: content of each module's file, in the order in which they are loaded.
        parameters: for some of the files, what the module is loaded with.

    Returns:
        The archive.
    """
    load = "".join(f"{file} {parameters.get(file, '')}\n" for file in modules)
    entries: dict[str, tuple[int, bytes]] = {
        "bin": (FOLDER, b""),
        "bin/busybox": (PROGRAM, busybox.read_bytes()),
        "init": (PROGRAM, init.read_bytes()),
        "modules": (FOLDER, b""),
        "modules/load": (FILE, load.encode()),
    }
    entries |= {f"modules/{file}": (FILE, content) for file, content in modules.items()}
    return cpio(entries)
