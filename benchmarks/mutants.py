"""Change the core modules in small ways, one at a time, and see whether their own tests notice: `make mutants`.

A mutant swaps one comparison (`<` for `<=`), one arithmetic operator (`+` for `-`), `and` for `or`, or negates one
condition. It is killed if the tests of its module's room fail. Survivors are printed with file and line: each is either
equivalent (a boundary that floats never hit) or a hole in the tests. The tree itself is never changed: mutants live
in a copy.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("actors", "gearshift", "scheduler", "supernets", "workloads")

# What is known also shows in what the manager decides and logs, so its tests belong to both.
_MANAGER = "tests/scheduler/test_manager.py"
_KNOWLEDGE = ("tests/scheduler/test_knowledge.py", "tests/scheduler/test_app_knowledge.py", _MANAGER)
_TRANSITION = (
    "tests/scheduler/test_app_transition.py",
    "tests/scheduler/test_transition.py",
    "tests/scheduler/test_transition_faults.py",
    "tests/scheduler/test_denied_clocks.py",
    "tests/scheduler/test_partial_pins.py",
    _MANAGER,
)
CORE: dict[str, tuple[str, ...]] = {
    "scheduler/points.py": ("tests/scheduler/test_points.py",),
    "scheduler/knowledge.py": _KNOWLEDGE,
    "scheduler/app_knowledge.py": _KNOWLEDGE,
    "scheduler/limits.py": ("tests/scheduler/test_limits.py",),
    "scheduler/transition.py": _TRANSITION,
    "scheduler/app_transition.py": _TRANSITION,
    "scheduler/solver/exact.py": ("tests/scheduler/solver",),
    "scheduler/governors/schedutil.py": ("tests/scheduler/governors",),
    "actors/ledger/ledger.py": ("tests/actors/ledger",),
    "workloads/results/summarize.py": ("tests/workloads/results",),
    "workloads/simulator/unit.py": ("tests/workloads/simulator",),
}
"""By module, the tests that are its own."""

SWAPS: dict[type[ast.AST], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.And: "or",
    ast.Or: "and",
}
WORDS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Add: "+"}
WORDS |= {ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.And: "and", ast.Or: "or"}
TIMES_SLOWER = 5.0
"""A mutant whose tests take this many times as long as without it hangs, and is killed."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module: the text at [start, end) becomes `text`."""

    module: str
    line: int
    start: int
    end: int
    text: str
    was: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.was!r} became {self.text!r}"


def mutants_of(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    source = (ROOT / module).read_text(encoding="utf-8")
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(line: int, column: int) -> int:
        # The parser counts columns in bytes of UTF-8.
        begin = starts[line - 1]
        return begin + len(source[begin:].encode()[:column].decode())

    def between(left: ast.expr, right: ast.expr, kind: type[ast.AST]) -> Iterator[Mutant]:
        assert left.end_lineno is not None
        assert left.end_col_offset is not None
        start, end = place(left.end_lineno, left.end_col_offset), place(right.lineno, right.col_offset)
        gap, word = source[start:end], WORDS[kind]
        if gap.count(word) == 1 and "#" not in gap:
            at = start + gap.index(word)
            yield Mutant(module, source.count("\n", 0, at) + 1, at, at + len(word), SWAPS[kind], word)

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPS:
            yield from between(node.left, node.comparators[0], type(node.ops[0]))
        elif isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
            yield from between(node.left, node.right, type(node.op))
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from between(left, right, type(node.op))
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            test = node.test
            assert test.end_lineno is not None
            assert test.end_col_offset is not None
            start, end = place(test.lineno, test.col_offset), place(test.end_lineno, test.end_col_offset)
            yield Mutant(module, test.lineno, start, end, f"not ({source[start:end]})", source[start:end])


def passes(tree: Path, tests: tuple[str, ...], timeout_s: float | None) -> bool:
    """Return whether a module's own tests pass in a copy of the tree."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not ray and not slow",
        *tests,
    ]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def main() -> int:
    """Run a random sample of all mutants; the exit code is 0 if 90 % are killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="mutants to try")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--module", action="append", choices=CORE, help="only this one; may be given again")
    options = parser.parse_args()
    modules = options.module or list(CORE)
    everything = [mutant for module in modules for mutant in mutants_of(module)]
    sample = random.Random(options.seed).sample(everything, min(options.count, len(everything)))
    survivors = []
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        for name in (*PACKAGES, "tests", "examples", "docs"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (ROOT / "pyproject.toml", ROOT / "cluster.yaml", ROOT / "README.md"):
            shutil.copy(path, tree)
        longest_s = {}
        for tests in sorted({CORE[mutant.module] for mutant in sample}):
            began_s = time.monotonic()
            if not passes(tree, tests, None):
                sys.exit(f"{' '.join(tests)}: fails without any mutant")
            longest_s[tests] = TIMES_SLOWER * (time.monotonic() - began_s) + 10
        for number, mutant in enumerate(sorted(sample, key=lambda one: (one.module, one.start)), start=1):
            target = tree / mutant.module
            source = (ROOT / mutant.module).read_text(encoding="utf-8")
            target.write_text(source[: mutant.start] + mutant.text + source[mutant.end :], encoding="utf-8")
            survived = passes(tree, CORE[mutant.module], longest_s[CORE[mutant.module]])
            target.write_text(source, encoding="utf-8")
            if survived:
                survivors.append(mutant)
            print(f"{number}/{len(sample)} {'SURVIVED' if survived else 'killed'}  {mutant}", flush=True)
    killed = len(sample) - len(survivors)
    print(f"\n{killed} of {len(sample)} killed ({100 * killed / len(sample):.0f} %), of {len(everything)} mutants")
    for mutant in survivors:
        print(f"survived: {mutant}")
    return 0 if killed >= 0.9 * len(sample) else 1


if __name__ == "__main__":
    sys.exit(main())
