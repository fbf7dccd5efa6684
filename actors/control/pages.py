"""The latest word of one process to others: a page in shared memory, written over and over as a whole.

One process writes a page and any may read it, and neither waits for the other. A page carries a checksum of all that
is on it, and a reader passes over one that does not fit: it is being written at this moment, its writer was killed
over it, or the stores are seen in another order than they were made in (aarch64). So there is no lock, nothing rests
on the order of stores, and nothing has to be mended after a kill. What a page says is not known here.
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
    """The end that writes; there is one at a time.

    Args:
        path: of the page's file, best in `/dev/shm`; made if missing, else written over.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open(path, self)
        self._number = time.monotonic_ns()  # beyond those of a predecessor that was killed

    def write(self, content: bytes) -> None:
        """Puts this on the page, in place of what was there.

        Raises:
            OSError: if there is no memory left for it.
        """
        self._number += 1
        head = _HEAD.pack(len(content), self._number)
        os.pwrite(self._file, _CHECKSUM.pack(zlib.crc32(content, zlib.crc32(head))) + head + content, 0)


class PageReader:
    """An end that reads.

    Args:
        path: of the page's file; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open(path, self)
        self._seen = 0

    def read(self) -> bytes | None:
        """What is on the page; None where it is what was read last, or not whole."""
        page = os.pread(self._file, os.fstat(self._file).st_size, 0)
        if len(page) < _CONTENT:
            return None
        length, number = _HEAD.unpack_from(page, _CHECKSUM.size)
        covered = page[_CHECKSUM.size : _CONTENT + length]  # a longer page may have been there before
        if number == self._seen or zlib.crc32(covered) != _CHECKSUM.unpack_from(page)[0]:
            return None
        self._seen = number
        return page[_CONTENT : _CONTENT + length]


def _open(path: Path, end: object) -> int:
    """The page's file, which is closed with that end of it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    weakref.finalize(end, os.close, file)
    return file
