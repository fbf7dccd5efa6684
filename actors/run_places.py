"""Places where a run keeps its files: a directory in shared memory, and one for what Ray writes.

Both are the user's alone (mode 0700). Ray opens its own directories to everybody, so it gets one within.

- The first holds what processes share by the microsecond. It is in `/dev/shm`, or where that can't be used among the
  temporary files, with a notice: those may be on a disk.
- The second is among the temporary files: `$TMPDIR`, else `/tmp`, else `/var/tmp`.
- Ray puts sockets there, and a socket's path has at most 107 bytes. So where the path is long, or has characters that
  Ray can't take, Ray is told of a link to it instead.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import InputError

PREFIX = "gearshift-"
"""What the names of all directories of runs begin with; the tag follows."""

SHARED_MEMORY = Path("/dev/shm")
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))

_ROOM_BYTES = 8 * 2**20
"""Room that a place must have. The pages and the ledger of a run with eight applications take some 200 kB."""

_SOCKET_BYTES = 107
"""Most that the path of a socket has on Linux (unix(7))."""

_SOCKET = "/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
"""What Ray adds to its directory for the longest path of a socket."""

RAY = "r"
"""Ray's directory, or the link to it, within one of the run's."""


class PlaceError(InputError):
    """There is no place on this machine for the files of a run; the message says which were tried, and the fix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The directories of one run, which have been made.

    Attributes:
        shared: what its processes share.
        ray: Ray's directory, by a path that is short enough.
        object_store: directory of Ray's object store.
        notice: a sentence for the user; nothing where all is as it should be.
    """

    shared: Path
    ray: Path
    object_store: Path
    notice: str


def bases() -> tuple[Path, ...]:
    """Return all places in which a run may have a directory."""
    return (SHARED_MEMORY, *_temporary_bases())


def make_places(tag: str, object_store_bytes: int, shared_memory: Path = SHARED_MEMORY) -> Places:
    """Make the directories of a run.

    Args:
        tag: tag of the run, which their names carry.
        object_store_bytes: room that Ray's object store wants.
        shared_memory: where the system has its shared memory.

    Raises:
        PlaceError: if there is no place for them. What was made until then carries the tag.
    """
    name = f"{PREFIX}{tag}"
    tried: list[str] = []
    temporary = next((path for base in _temporary_bases() if (path := _made(base / name, tried))), None)
    in_temporary = len(tried)
    shared = _made(shared_memory / name, tried)
    notices = []
    if shared is None and temporary is None:
        raise PlaceError(
            f"a run has no place for its files: {'; '.join(tried)}. Free {_ROOM_BYTES // 2**20} MB in {shared_memory}, "
            "or have TMPDIR name a directory that can be written to"
        )
    if shared is None:
        assert temporary is not None
        shared = temporary
        notices.append(
            f"{tried[-1]}, so the run's shared pages are in {_shown(temporary.parent)}, which may be slower; free "
            f"{_ROOM_BYTES // 2**20} MB in {shared_memory}, or mount it (docker: --shm-size)"
        )
    if temporary is None:
        temporary = shared
        notices.append(f"{'; '.join(tried[:in_temporary])}, so Ray's logs are in {shared.parent}, in memory")
    (temporary / RAY).mkdir(mode=0o700)
    if shared != temporary:  # a later start, which may have another TMPDIR, finds by it what a killed run left there
        (shared / RAY).symlink_to(temporary / RAY)
    roomy = shared != temporary and _free_bytes(shared) >= object_store_bytes
    return Places(
        shared=shared,
        ray=_short(temporary / RAY, shared / RAY, name),
        object_store=shared if roomy else temporary,
        notice=". ".join(notices),
    )


def _temporary_bases() -> tuple[Path, ...]:
    named = os.environ.get("TMPDIR", "")
    own = [Path(os.path.normpath(named))] if os.path.isabs(named) else []
    return tuple(dict.fromkeys((*own, *_TEMPORARY)))


def _made(path: Path, tried: list[str]) -> Path | None:
    """Make a directory with room for a run; None, with the reason added to `tried`, if that can't be."""
    base = path.parent
    try:
        mode = os.stat(base).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            tried.append(f"{_shown(base)} lets every user remove the files of others (it has no sticky bit)")
            return None
        os.mkdir(path, mode=0o700)
    except OSError as error:
        tried.append(f"{_shown(base)} can't be used ({error.strerror})")
        return None
    probe = path / "room"
    try:
        file = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, _ROOM_BYTES)
        finally:
            os.close(file)
            os.unlink(probe)
    except OSError as error:
        with suppress(OSError):
            os.rmdir(path)
        tried.append(f"{_shown(base)} can't be used ({error.strerror})")
        return None
    return path


def _short(directory: Path, linked: Path, name: str) -> Path:
    """Return a path of Ray's directory that Ray can use: its own, or that of a link to it.

    Raises:
        PlaceError: if there is none.
    """
    most = _SOCKET_BYTES - len(_SOCKET.format(pid=os.getpid()))
    for path in (directory, linked):
        if _plain(path, most):
            return path
    for link in (base / name for base in _TEMPORARY):
        with suppress(OSError):
            link.symlink_to(directory)
            return link
    raise PlaceError(
        f"the path of the temporary files, {_shown(directory.parent.parent)}, can't be used: sockets need one of at "
        f"most {most - len(name) - len(RAY) - 2} plain characters, and no link to it could be made in {SHARED_MEMORY}, "
        f"{' or '.join(map(str, _TEMPORARY))}; set TMPDIR to such a directory"
    )


def _plain(path: Path, most: int) -> bool:
    text = str(path)
    return len(text) <= most and text.isascii() and all(sign.isalnum() or sign in "/._-+" for sign in text)


def _shown(path: Path) -> str:
    """Return a path as text that can be printed anywhere."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _free_bytes(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
