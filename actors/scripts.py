"""A user's own Python file, a mix or a policy, as a module for as long as it is needed.

A file is run as it is, like any Python program: load only files that you trust. It does not know mixes or policies.
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import CodeType, ModuleType

from scheduler.errors import shown


def compiled(path: Path, error: type[ValueError]) -> CodeType:
    """Return the code of a file.

    Args:
        path: the file.
        error: class of the errors to raise.

    Raises:
        error: if the file can't be read or is not Python; it names the file and, where there is one, the line in it.
    """
    try:
        source = path.read_bytes()
    except FileNotFoundError as fault:
        raise error(f"{path}: there is no such file; give the path of one.") from fault
    except IsADirectoryError as fault:
        raise error(f"{path}: cannot be read: this is a directory; give the script in it.") from fault
    except OSError as fault:
        # A name that no file can have is longer than a message should be.
        named = shown(str(path)) if fault.errno == errno.ENAMETOOLONG else path
        raise error(f"{named}: cannot be read: {fault.strerror}.") from fault
    except ValueError as fault:
        raise error(f"{shown(str(path))}: no file has such a name ({fault}); give the path of one.") from fault
    try:
        return compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as fault:
        line = f", line {fault.lineno}" if fault.lineno else ""
        text = f": {shown(fault.text.strip())}" if fault.text else ""
        raise error(f"{path}{line}: this is not Python: {fault.msg}{text}; correct it.") from fault
    except (ValueError, MemoryError, RecursionError) as fault:
        raise error(f"{path}: this is not Python: {fault}.") from fault


@contextmanager
def run(code: CodeType, path: Path, name: str) -> Iterator[ModuleType]:
    """Run the code of a file as a module, which exists within the block.

    The file may import modules that lie beside it, as `python FILE` does. Its output goes to stderr: stdout is for
    results. Errors that it raises pass through.

    Args:
        code: code of the file, from `compiled`.
        path: the file.
        name: name of the module; not `__main__`, so that a file may also have a main part of its own.
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
        # Afterwards the module is forgotten. cloudpickle then sends its functions and classes by value to another
        # process, which could not import the file.
        del sys.modules[name]
        sys.path[:] = search_path


def place_in(path: Path, error: BaseException) -> str:
    """Return the file and the line in it from which an error came, such as `mix.py, line 7`; else the file alone."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)
