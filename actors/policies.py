"""Policies by name: those of the house, and a user's own from a file.

A file is run as it is, like any Python program: load only what you trust. Whatever goes wrong becomes one `PolicyError`
that names the file and, where there is one, the line in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from actors import scripts
from scheduler.board import Board
from scheduler.errors import did_you_mean
from scheduler.governors import GOVERNORS, GovernorError, governor_for
from scheduler.policies import HINDSIGHT, Policy, PolicyError, make_policy, under_governor

_OF_FILE = re.compile(r"(?P<file>.+\.py)(:(?P<kind>[^+]*))?(?P<clocks>\+(?P<governor>.*))?")


def load_policy(name: str) -> Policy:
    """The policy of that name, fresh.

    A file may import modules that lie beside it. What it prints while it is loaded goes to stderr: stdout is for
    results.

    Args:
        name: as for `scheduler.policies.make_policy`, or `FILE.py:Class[+GOVERNOR]`, where the class takes no
            arguments and has `Policy.decide`. A relative path is looked up from the current directory.

    Raises:
        PolicyError: the name means none, or the file or its class can't be used.
    """
    match = _OF_FILE.fullmatch(name)
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
        mend = "correct it, or give its class a constructor without arguments"
        raise PolicyError(f"{scripts.place_in(path, error)}: {type(error).__name__}: {error}; {mend}.") from error
    if not callable(getattr(policy, "decide", None)):
        raise PolicyError(f"{path}: {kind} has no method decide; write `def decide(self, snapshot) -> Plan:`.")
    loaded: Policy = policy
    return under_governor(loaded, match["governor"], name=name) if match["clocks"] else loaded


def check_policy(name: str, board: Board, *, simulated: bool = False) -> None:
    """Refuses a policy that can't run on a board.

    Args:
        name: as for `load_policy`.
        board: where.
        simulated: whether in simulation, where a policy may know how the run will go (`scheduler.policies.HINDSIGHT`).

    Raises:
        PolicyError: as `load_policy`, or a governor that is not for a unit of this board.
    """
    if simulated and name in HINDSIGHT:
        return
    load_policy(name)
    governor = name.rpartition("+")[2]
    for unit in board.units if governor in GOVERNORS else ():
        try:
            governor_for(governor, unit.kind)
        except GovernorError as error:
            raise PolicyError(f"policy {name!r}: unit {unit.name!r} of board {board.name!r}: {error}") from None


def located(name: str) -> str:
    """The name for a process with another current directory: with the file's absolute path, if it has one."""
    match = _OF_FILE.fullmatch(name)
    return f"{Path(match['file']).absolute()}{name[match.end('file') :]}" if match else name


def _class(module: ModuleType, kind: str | None) -> type:
    own = [name for name, value in vars(module).items() if _is_own(value, module)]
    if not kind:
        mend = f"give {module.__file__}:{own[-1] if own else 'Class'}"
        raise PolicyError(f"no class is named; {mend}.")
    found = getattr(module, kind, None)
    if found is None:
        there = f"; there {'are' if len(own) > 1 else 'is'} {', '.join(own)}" if own else ""
        raise PolicyError(f"there is no class {kind!r}{there}.{did_you_mean(kind, own)}")
    if not isinstance(found, type):
        raise PolicyError(f"{kind} must be a class with a method decide, not {found!r}.")
    return found


def _is_own(value: object, module: ModuleType) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__
