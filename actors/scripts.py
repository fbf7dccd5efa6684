"""A user's own Python file, as a module for as long as it is needed: a mix, or a policy.

A file is run as it is, like any Python program: load only what you trust. What is made of it is its loader's business.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import CodeType, ModuleType


def compiled(path: Path, error: type[ValueError]) -> CodeType:
    """The file's code.

    Raises:
        error: a file that can't be read or is not Python: with the file and, where there is one, the line in it.
    """
    try:
        source = path.read_bytes()
    except FileNotFoundError as fault:
        raise error(f"{path}: there is no such file; give the path of one.") from fault
    except IsADirectoryError as fault:
        raise error(f"{path}: cannot be read: this is a directory; give the script in it.") from fault
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}.") from fault
    try:
        return compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as fault:
        line = f", line {fault.lineno}" if fault.lineno else ""
        text = f": {fault.text.strip()!r}" if fault.text else ""
        raise error(f"{path}{line}: this is not Python: {fault.msg}{text}; correct it.") from fault
    except (ValueError, MemoryError, RecursionError) as fault:
        raise error(f"{path}: this is not Python: {fault}.") from fault


@contextmanager
def run(code: CodeType, path: Path, name: str) -> Iterator[ModuleType]:
    """Runs a file's code, and has it a module of that name within the block; what it raises passes through.

    It may import what lies beside it, as `python FILE` does, and what it prints goes to stderr: stdout is for results.
    Afterwards the module is forgotten: cloudpickle then sends its functions and classes by value to another process,
    which could not import the file.

    Args:
        code: as `compiled`.
        path: the file.
        name: of the module; not `__main__`, so that a file may also have a main part of its own.
    """
    module = ModuleType(name)
    module.__file__ = str(path)
    search_path = list(sys.path)
    sys.path.insert(0, str(path.parent.absolute()))
    sys.modules[name] = module
    try:
        with redirect_stdout(sys.stderr):
            exec(code, module.__dict__)
            yield module
    finally:
        del sys.modules[name]
        sys.path[:] = search_path


def place_in(path: Path, error: BaseException) -> str:
    """The file, and the line in it from which an error came, if it came from there."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)
