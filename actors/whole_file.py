"""Files that are there whole or not at all, whatever fills the disk or ends the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a name to write a file under, which takes the file's own name once the block has ended.

    A file that was there before stays until then, and stays if the block raises. Two processes may write the same file:
    the last one's is there in the end.

    Args:
        path: the file.

    Yields:
        The name to write under, in the same directory.

    Raises:
        OSError: if it can't be written; it names the file, and no half of it is left.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield fresh
        os.replace(fresh, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        # An error of a write names no file by itself.
        if isinstance(error, OSError) and error.errno is not None:
            error.filename, error.filename2 = os.fspath(path), None
        raise
