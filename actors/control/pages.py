"""A page in shared memory: one process writes it over and over as a whole, others read the latest content.

Neither side waits for the other, and there is no lock. A page carries a checksum of its content, and a reader skips a
page whose checksum does not fit. That happens while it is being written, after its writer was killed over it, or
where stores are seen in another order than they were made (aarch64). So the order of stores does not matter, and
nothing has to be repaired after a kill. It does not know what a page says.
"""

from __future__ import annotations

import os
import struct
import time
import weakref
import zlib
from pathlib import Path

_CHECKSUM = struct.Struct("<I")  # of all that follows
_HEAD = struct.Struct("<IQ")  # bytes of content, number of the page
_CONTENT = _CHECKSUM.size + _HEAD.size


class PageWriter:
    """The writer of a page; there is one at a time.

    Args:
        path: file of the page, best in `/dev/shm`; made if missing, else written over.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open(path, self)
        # Pages are numbered so that a reader tells a new one from one it has read. The time is above all numbers of a
        # predecessor that was killed, so its successor's pages are new too.
        self._number = time.monotonic_ns()

    def write(self, content: bytes) -> None:
        """Replace the content of the page.

        Raises:
            OSError: if there is no memory left for it.
        """
        self._number += 1
        head = _HEAD.pack(len(content), self._number)
        os.pwrite(self._file, _CHECKSUM.pack(zlib.crc32(content, zlib.crc32(head))) + head + content, 0)


class PageReader:
    """A reader of a page.

    Args:
        path: file of the page; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open(path, self)
        self._seen = 0

    def read(self) -> bytes | None:
        """Return the content of the page; None if it was read before, or is not whole at this moment."""
        page = os.pread(self._file, os.fstat(self._file).st_size, 0)
        if len(page) < _CONTENT:
            return None
        length, number = _HEAD.unpack_from(page, _CHECKSUM.size)
        covered = page[_CHECKSUM.size : _CONTENT + length]  # behind it may be the rest of a longer page before
        if number == self._seen or zlib.crc32(covered) != _CHECKSUM.unpack_from(page)[0]:
            return None
        self._seen = number
        return page[_CONTENT : _CONTENT + length]


def _open(path: Path, end: object) -> int:
    """Open a page's file, and close it when `end`, its reader or writer, is gone."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    weakref.finalize(end, os.close, file)
    return file
