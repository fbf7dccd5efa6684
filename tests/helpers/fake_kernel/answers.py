"""Short answers of a tree's files, for tests that compare them."""

from __future__ import annotations

import errno

from actors.agent.devices.sysfs import File, Tree


def answer(tree: Tree, path: str) -> str:
    """Return what a file reads, without white space around it, or the error's name: "EBUSY"."""
    try:
        file = tree.open(path)
        try:
            return file.read().decode().strip()
        finally:
            file.close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def turn(tree: Tree, path: str, value: str | int) -> str:
    """Write to a file; return "ok" or the error's name."""
    try:
        file = tree.open(path, writing=True)
        try:
            return turn_kept(file, value)
        finally:
            file.close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def turn_kept(file: File, value: str | int) -> str:
    """Write to an open file; return "ok" or the error's name."""
    try:
        file.write(str(value).encode())
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def answer_kept(file: File) -> str:
    """Return what an open file reads, or the error's name."""
    try:
        return file.read().decode().strip()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
