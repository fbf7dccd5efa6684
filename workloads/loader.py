"""Reads a mix from a user's Python script.

The script is run as it is, like any Python program: load only what you trust. Whatever goes wrong becomes one
`MixError` that names the file and, where there is one, the line in it. Nothing here knows about boards,
policies or Ray.
"""

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from inspect import signature
from os import PathLike
from pathlib import Path
from types import CodeType, ModuleType
from typing import get_args

from workloads.app import App, Family
from workloads.arrivals import Arrivals
from workloads.errors import MixError, suggestion
from workloads.mix import Mix

_HOW = "write `def mix() -> Mix: return Mix(...)`"
_CLASSES = {kind.__name__: kind for kind in (App, Family, Mix, *get_args(Arrivals))}


def load_mix(path: str | PathLike[str]) -> Mix:
    """Runs a mix script and calls its `mix()`.

    The script may import modules that lie beside it. The current directory stays, so relative paths in the
    script are looked up from there. What the script prints goes to stderr: stdout is for results.

    Args:
        path: The script.

    Returns:
        What `mix()` returned.

    Raises:
        MixError: The file cannot be read, is not Python, raises, or has no `mix()` that returns a `Mix`.
    """
    path = Path(path)
    code = _compile(path)
    # Not "__main__", so that a script may also have a main part of its own.
    module = ModuleType("gearshift_mix")
    module.__file__ = str(path)
    with _imported(module, path.parent), redirect_stdout(sys.stderr), _blame(path):
        exec(code, module.__dict__)
        mix = getattr(module, "mix", None)
        if mix is None:
            raise MixError(f"there is no function mix(); {_HOW}.")
        if not callable(mix):
            raise MixError(f"mix must be a function, not {mix!r}; {_HOW}.")
        result = mix()
        if not isinstance(result, Mix):
            raise MixError(f"mix() must return a Mix, not {result!r}; {_HOW}.")
    return result


def _compile(path: Path) -> CodeType:
    try:
        source = path.read_bytes()
    except FileNotFoundError as error:
        raise MixError(f"{path}: there is no such file.") from error
    except IsADirectoryError as error:
        raise MixError(f"{path}: this is a directory; give the mix script in it.") from error
    except OSError as error:
        raise MixError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        return compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        text = f": {error.text.strip()!r}" if error.text else ""
        raise MixError(f"{path}{line}: this is not Python: {error.msg}{text}.") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise MixError(f"{path}: this is not Python: {error}.") from error


@contextmanager
def _imported(module: ModuleType, folder: Path) -> Iterator[None]:
    """Makes the script a module, and lets it import what lies beside it as `python SCRIPT` does.

    Afterwards the module is forgotten: cloudpickle then sends its functions, such as an `on_result`, by value
    to another process, which could not import the script.
    """
    search_path = list(sys.path)
    sys.path.insert(0, str(folder.absolute()))
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        del sys.modules[module.__name__]
        sys.path[:] = search_path


@contextmanager
def _blame(path: Path) -> Iterator[None]:
    """Turns whatever the script raises into a `MixError` that begins with the file and the line in it."""
    try:
        yield
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise MixError(f"{where}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """The message; it names the keyword that was meant where a class of a mix was given one it does not have."""
    if isinstance(error, MixError):
        return str(error)
    unknown = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if isinstance(error, TypeError) and unknown and unknown[1] in _CLASSES:
        kind, keyword = unknown.groups()
        mend = suggestion(keyword, signature(_CLASSES[kind]).parameters)
        return f"{kind}(...): unknown keyword {keyword!r}. {mend}"
    return f"{type(error).__name__}: {error}"
