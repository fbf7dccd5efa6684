"""Dumps: the files of a machine that the device layer reads, so that others can probe it and test with it.

A dump holds the files of `actors.board_commands.dump_list`, and nothing else. A file that could not be read is there
with its error, and each with what this process may do with it.

It is a directory or a `.tar.gz` with the files at their places (`sys/devices/system/cpu/online`) and an index,
`gearshift-dump.json`, which has their modes, errors and links. It is read into memory and nothing is unpacked.
"""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.agent.devices.nvpmodel import power_modes
from actors.agent.devices.sysfs import Tree
from actors.board_commands.dump_list import kept, listed
from scheduler.errors import BROKEN, InputError

INDEX = "gearshift-dump.json"
_FORMAT = 1
_MOST_BYTES = 64 * 1024
"""Most that a file of a dump holds; /etc/nvpmodel.conf has some 20 kB."""
_MOST_FILES = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Dumped:
    """One file of a dump.

    Attributes:
        mode: its permission bits; None where they could not be had.
        error: number of the error with which it is read; None if it can be read.
        writable: true if the process that made the dump may write it.
        write_error: number of the error with which it is opened for writing, where it is not writable.
    """

    mode: int | None = None
    error: int | None = None
    writable: bool = False
    write_error: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dump:
    """A dump in memory. Paths are from the root of the tree, without links and without a leading slash.

    Attributes:
        files: the files.
        contents: what those hold that can be read.
        links: by path of a link, where it leads.
        areas: by what files tell, how many there are.
        about: what made it: name of a fact to its text.
    """

    files: Mapping[str, Dumped]
    contents: Mapping[str, bytes]
    links: Mapping[str, str]
    areas: Mapping[str, int]
    about: Mapping[str, str]


# ---------------------------------------------------------------- making one


def make_dump(tree: Tree, about: Mapping[str, str]) -> Dump:
    """Read all files of the list that a machine has.

    Args:
        tree: the machine's files.
        about: what is to be said of the dump.
    """
    files: dict[str, Dumped] = {}
    contents: dict[str, bytes] = {}
    links: dict[str, str] = {}
    areas: dict[str, int] = {}
    for area, path in listed(tree):
        real = _resolved(tree, path, links)
        if real in files:
            continue
        error, content = _read(tree, path)
        if error == errno.EISDIR:
            continue
        write_error = _write_error(tree, path)
        files[real] = Dumped(mode=tree.mode(path), error=error, writable=write_error is None, write_error=write_error)
        areas[area] = areas.get(area, 0) + 1
        if content is not None:
            contents[real] = kept(path, content)
    # Links that tell two names of one thing: of a zone's cooling device, and of a clock as nvpmodel calls it.
    named = {path.rpartition("/")[0] for mode in power_modes(tree) for path in mode.limits}
    for path in (*tree.find("sys/class/thermal/thermal_zone*/cdev*"), *sorted(named)):
        _resolved(tree, path, links)
    return Dump(files=files, contents=contents, links=links, areas=areas, about=about)


def _resolved(tree: Tree, path: str, links: dict[str, str]) -> str:
    """Return a path without links, and note each link on the way."""
    here = ""
    for name in path.split("/"):
        step = f"{here}/{name}" if here else name
        here = tree.real(step)
        if here != step:
            links[step] = here
    return here


def _read(tree: Tree, path: str) -> tuple[int | None, bytes | None]:
    try:
        file = tree.open(path)
        try:
            return None, file.read()[:_MOST_BYTES]
        finally:
            file.close()
    except OSError as error:
        return error.errno or errno.EIO, None


def _write_error(tree: Tree, path: str) -> int | None:
    """Return the number of the error with which a file is opened for writing; None if it is opened."""
    if not (tree.mode(path) or 0) & 0o222:
        return errno.EACCES  # root is let in to files that have nothing to write to
    try:
        tree.open(path, writing=True).close()
    except OSError as error:
        return error.errno or errno.EACCES
    return None


# ---------------------------------------------------------------- files


def write_dump(dump: Dump, to: Path) -> None:
    """Write a dump as a directory, or as an archive if the name ends in `.tar.gz` or `.tgz`.

    Raises:
        InputError: if the place is taken, or can't be written to.
    """
    packed = to.name.endswith((".tar.gz", ".tgz"))
    if to.exists() and (packed or not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{str(to)!r} is there already; name a new .tar.gz or directory")
    try:
        if packed:
            with tarfile.open(to, "x:gz") as archive:
                for path, content in _members(dump):
                    member = tarfile.TarInfo(path)  # without owner and time
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
            return
        for path, content in _members(dump):
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            (to / path).write_bytes(content)
        for path, target in dump.links.items():
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            (to / path).symlink_to(os.path.relpath(to / target, (to / path).parent))
    except OSError as error:
        raise InputError(f"{str(to)!r} can't be written ({error.strerror}); name another place") from None


def _members(dump: Dump) -> Iterator[tuple[str, bytes]]:
    index = {
        "format": _FORMAT,
        "about": dict(dump.about),
        "areas": dict(dump.areas),
        "links": dict(dump.links),
        "files": {path: asdict(file) for path, file in dump.files.items()},
    }
    yield INDEX, json.dumps(index, indent=1).encode()
    yield from dump.contents.items()


def read_dump(path: Path) -> Dump:
    """Read a dump, from a directory or an archive.

    Raises:
        InputError: if it is none.
    """
    try:
        if path.is_dir():
            return _parsed(lambda name: (path / name).read_bytes())
        with tarfile.open(path) as archive:
            members = {member.name: member for member in archive if member.isreg() and member.size <= 64 * _MOST_BYTES}

            def content(name: str) -> bytes:
                file = archive.extractfile(members[name])
                assert file is not None  # it is a regular file
                return file.read()

            return _parsed(content)
    except (OSError, EOFError, tarfile.TarError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else "no archive that can be read"
        raise InputError(f"{str(path)!r} is no dump of gearshift doctor ({what})") from None
    except BROKEN as error:
        raise InputError(f"{str(path)!r} is no dump of gearshift doctor ({type(error).__name__}: {error})") from None


def _parsed(content: Callable[[str], bytes]) -> Dump:
    index = json.loads(content(INDEX))
    if index["format"] != _FORMAT or len(index["files"]) > _MOST_FILES:
        raise ValueError(f"format {index['format']!r} with {len(index['files'])} files")
    files = {path: Dumped(**file) for path, file in index["files"].items()}
    if any(path.startswith("/") or ".." in path.split("/") for path in files):
        raise ValueError("a path leads out of it")
    return Dump(
        files=files,
        contents={path: content(path) for path, file in files.items() if file.error is None},
        links={str(link): str(target) for link, target in index["links"].items()},
        areas={str(area): int(number) for area, number in index["areas"].items()},
        about={str(name): str(text) for name, text in index["about"].items()},
    )
