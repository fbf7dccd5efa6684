"""Policies by name: the built-in ones, and a user's own from a file.

A file is run as it is, like any Python program: load only files that you trust. Every error becomes a `PolicyError`
that names the file and, where there is one, the line in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from actors import scripts
from scheduler.board import Board
from scheduler.errors import did_you_mean, shown
from scheduler.governors import GOVERNORS, GovernorError, governor_for
from scheduler.policies import HINDSIGHT, Policy, PolicyError, make_policy, under_governor

_OF_FILE = re.compile(r"(?P<file>.+\.py)(:(?P<kind>[^+]*))?(?P<clocks>\+(?P<governor>.*))?")


def load_policy(name: str) -> Policy:
    """Return a new policy by its name, such as `joint` or `my_policy.py:Mine`.

    A file may import modules that lie beside it. Its output while it is loaded goes to stderr: stdout is for results.

    Args:
        name: name that `scheduler.policies.make_policy` knows, or `FILE.py:Class[+GOVERNOR]`, where the class takes no
            arguments and has `Policy.decide`. A relative path starts from the current directory.

    Raises:
        PolicyError: if there is no policy of that name, or the file or its class can't be used.
    """
    match = _OF_FILE.fullmatch(_text(name))
    if not match:
        return make_policy(name)
    path, kind = Path(match["file"]), match["kind"]
    code = scripts.compiled(path, PolicyError)
    try:
        with scripts.run(code, path, "gearshift_policy") as module:
            policy = _class(module, kind)()
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:
        fix = "correct it, or give its class a constructor without arguments"
        raise PolicyError(f"{scripts.place_in(path, error)}: {type(error).__name__}: {error}; {fix}.") from error
    if not callable(getattr(policy, "decide", None)):
        raise PolicyError(f"{path}: {kind} has no method decide; write `def decide(self, snapshot) -> Plan:`.")
    loaded: Policy = policy
    return under_governor(loaded, match["governor"], name=f"{path}:{kind}") if match["clocks"] else loaded


def check_policy(name: str, board: Board, *, simulated: bool = False) -> None:
    """Refuse a policy that can't run on a board.

    Args:
        name: name of the policy, as for `load_policy`.
        board: the board.
        simulated: True for a simulated run, whose policy may know the future (`scheduler.policies.HINDSIGHT`).

    Raises:
        PolicyError: if the policy can't be loaded, or its governor is not for a unit of this board.
    """
    if simulated and _text(name) in HINDSIGHT:
        return
    load_policy(name)
    governor = name.rpartition("+")[2]
    for unit in board.units if governor in GOVERNORS else ():
        try:
            governor_for(governor, unit.kind)
        except GovernorError as error:
            raise PolicyError(f"policy {name!r}: unit {unit.name!r} of board {board.name!r}: {error}") from None


def located(name: str) -> str:
    """Return a policy's name with the absolute path of its file, for a process with another current directory.

    In `/home/me`, `mine.py:Mine` becomes `/home/me/mine.py:Mine`; `joint` stays as it is.
    """
    match = _OF_FILE.fullmatch(name)
    return f"{Path(match['file']).absolute()}{name[match.end('file') :]}" if match else name


def _text(name: object) -> str:
    """Return the name of a policy if it is text, as from Python anything may be given."""
    if not isinstance(name, str):
        raise PolicyError(f"policy: the name must be text such as 'joint', not {shown(name)}.")
    return name


def _class(module: ModuleType, kind: str | None) -> type:
    """Return the class of that name in a user's module."""
    own = [name for name, value in vars(module).items() if _is_own(value, module)]
    if not kind:
        fix = f"give {module.__file__}:{own[-1] if own else 'Class'}"
        raise PolicyError(f"no class is named; {fix}.")
    found = getattr(module, kind, None)
    if found is None:
        there = f"; there {'are' if len(own) > 1 else 'is'} {', '.join(own)}" if own else ""
        raise PolicyError(f"there is no class {shown(kind)}{there}.{did_you_mean(kind, own)}")
    if not isinstance(found, type):
        raise PolicyError(f"{kind} must be a class with a method decide, not {found!r}.")
    return found


def _is_own(value: object, module: ModuleType) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__
