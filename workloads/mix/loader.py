"""Reads a mix from a user's Python script.

The script is run as it is, like any Python program: load only scripts that you trust. Whatever goes wrong becomes one
`MixError` that names the file and, where there is one, the line in it. Nothing here knows about boards, policies or
Ray.
"""

import re
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import get_args

from actors import scripts
from actors.ray_in_use import ray_in_use
from scheduler.errors import shown
from workloads.mix.app import App, Family
from workloads.mix.arrivals import Arrivals
from workloads.mix.errors import MixError, suggestion
from workloads.mix.mix import Mix

_HOW = "write `def mix() -> Mix: return Mix(...)`"
_CLASSES = {kind.__name__: kind for kind in (App, Family, Mix, *get_args(Arrivals))}


def load_mix(path: str | PathLike[str]) -> Mix:
    """Run a mix script and call its `mix()`.

    The script may import modules that lie beside it. The current directory stays as it is, so relative paths in the
    script are looked up from there. The script's prints go to stderr: stdout is for results.

    Args:
        path: The script.

    Returns:
        The mix that `mix()` returned.

    Raises:
        MixError: The file cannot be read, is not Python, raises, has no `mix()` that returns a `Mix`, or starts Ray.
    """
    path = Path(path)
    had_ray = ray_in_use()
    code = scripts.compiled(path, MixError)
    try:
        with scripts.run(code, path, "gearshift_mix") as module:
            mix = getattr(module, "mix", None)
            if mix is None:
                raise MixError(f"there is no function mix(); {_HOW}.")
            if not callable(mix):
                raise MixError(f"mix must be a function, not {shown(mix)}; {_HOW}.")
            result = mix()
            if not isinstance(result, Mix):
                raise MixError(f"mix() must return a Mix, not {shown(result)}; {_HOW}.")
    except (Exception, SystemExit) as error:
        raise MixError(f"{scripts.place_in(path, error)}: {_said(error)}") from error
    if ray_in_use() and not had_ray:
        raise MixError(
            f"{path}: it starts Ray, and gearshift starts a Ray of its own for the run; leave ray.init() out of the mix"
        )
    return result


def _said(error: BaseException) -> str:
    """Return the message of an error; for an unknown keyword of `App`, `Mix` and so on, with the keyword meant."""
    if isinstance(error, MixError):
        return str(error)
    unknown = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if isinstance(error, TypeError) and unknown and unknown[1] in _CLASSES:
        kind, keyword = unknown.groups()
        hint = suggestion(keyword, signature(_CLASSES[kind]).parameters)
        return f"{kind}(...): unknown keyword {keyword!r}. {hint}"
    return f"{type(error).__name__}: {error}"
