"""Processes in name spaces of their own, where the kernel lets this user make them."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence

import pytest


@functools.cache
def why_none(*kinds: str) -> str:
    """Return why `unshare` can't make name spaces here; nothing if it can."""
    try:
        tried = subprocess.run(["unshare", *kinds, "true"], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return "there is no command unshare"
    return tried.stderr.strip()


def run_apart(kinds: Sequence[str], code: str, before: str = "true") -> str:
    """Run Python code in name spaces of its own, and return what it printed; the test is skipped where there are none.

    Args:
        kinds: options of `unshare`.
        code: the code.
        before: shell commands that are run there first, such as mounts.
    """
    if reason := why_none(*kinds):
        pytest.skip(f"this kernel lets this user make no name spaces: {reason}")
    ended = subprocess.run(
        ["unshare", *kinds, "sh", "-c", f'{before} && exec "$0" -c "$1"', sys.executable, textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
