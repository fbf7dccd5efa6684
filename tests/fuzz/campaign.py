"""Runs a target on many inputs, and catches what it must not do: raise, hang, or write elsewhere."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz.mutation import Maker

HANG_S = 20.0
"""CPU time of one input above which the target hangs; the slowest input of a day's fuzzing took a quarter of that."""
STANDS_S = 300.0
"""Time of one input after which the target hangs though it computes nothing: it waits for what never comes."""
MOST_WORDS = 8000
"""Longest message, in characters; it may hold a path, which has at most 4,096."""
_MOST_BYTES = 4 << 30
_WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")


class HangError(BaseException):
    """An input took longer than any may; no `Exception`, so that no parser takes it for one of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One parser.

    Attributes:
        name: its name.
        make: makes an input from a generator.
        parse: reads the input; it may write into the directory that it is given, and nowhere else.
        clean: errors that it may raise.
    """

    name: str
    make: Maker
    parse: Callable[[Any, Path], object]
    clean: tuple[type[Exception], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An input that a target did not take well.

    Attributes:
        target: name of the target.
        seed: seed that makes the input again.
        what: the error and the place where it was raised.
        shown: the input, cut to a few hundred characters.
    """

    target: str
    seed: int
    what: str
    shown: str

    def __str__(self) -> str:
        return f"{self.target} --seed {self.seed}: {self.what}\n    input: {self.shown}"


_outside: list[str] = []
_inside: str | None = None


def limit_memory() -> None:
    """Let this process and its children have 4 GiB each, so that an input that asks for more is refused in time."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES if hard < 0 else min(_MOST_BYTES, hard), hard))


def watch_writes() -> None:
    """Note from now on whatever is opened for writing, made or removed outside the directory of the input."""

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        if _inside is None:
            return
        if event == "open":
            path, _, flags = arguments
            if not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        elif event in _WRITES:
            path = arguments[0]
        else:
            return
        place = os.path.abspath(os.fsdecode(path)) if isinstance(path, str | bytes) else ""
        if place and not place.startswith((_inside, "/dev/", "/proc/")):
            _outside.append(f"{event} {place!r}")

    sys.addaudithook(seen)


@contextmanager
def _limited(directory: Path) -> Iterator[None]:
    """Watch CPU time, time and writes while one input is read."""
    global _inside

    def hangs(number: int, frame: object) -> None:
        what = f"{HANG_S:g} s of CPU time" if number == signal.SIGVTALRM else f"{STANDS_S:g} s"
        raise HangError(f"more than {what}")

    timers = ((signal.ITIMER_VIRTUAL, signal.SIGVTALRM, HANG_S), (signal.ITIMER_REAL, signal.SIGALRM, STANDS_S))
    _outside.clear()
    before = [signal.signal(number, hangs) for _, number, _ in timers]
    for timer, _, limit_s in timers:
        signal.setitimer(timer, limit_s)
    _inside = str(directory)
    try:
        yield
    finally:
        _inside = None
        for (timer, number, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def run_one(target: Target, seed: int, directory: Path) -> Failure | None:
    """Give a target the input of a seed; return what it did wrong, or None."""
    given = target.make(random.Random(f"{target.name}/{seed}"))
    try:
        with _limited(directory):
            target.parse(given, directory)
        what = ""
    except target.clean as error:
        message = _said(error)
        what = "" if message and len(message) < MOST_WORDS else f"a message of {len(message)} characters"
    except HangError as error:
        what = f"hangs: {error}{_place(error.__traceback__)}"
    except Exception as error:
        what = f"{type(error).__name__}: {_said(error):.200}{_place(error.__traceback__)}"
    if _outside:
        what = f"writes outside its directory: {_outside[0]}"
    if not what:
        return None
    try:
        shown = repr(given)
    except Exception:
        shown = f"a {type(given).__name__} that can't be shown"
    return Failure(target=target.name, seed=seed, what=what, shown=shown[:400])


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:
        return f"(no text: {type(second).__name__})"


def _place(trace: Any) -> str:
    """Return the innermost place in this project's own code."""
    frames = [frame for frame in traceback.extract_tb(trace) if "/site-packages/" not in frame.filename]
    own = [frame for frame in frames if "/fuzz/" not in frame.filename and "/lib/python" not in frame.filename]
    last = (own or frames)[-1] if frames else None
    return "" if last is None else f" at {Path(last.filename).name}:{last.lineno} {last.name}"


def run(
    target: Target, *, first: int, inputs: int | None, seconds: float | None, on_failure: Callable[[Failure], None]
) -> int:
    """Run a target on the inputs of the seeds from `first` on.

    Args:
        target: the target.
        first: the first seed.
        inputs: number of inputs; None for as many as there is time for.
        seconds: the time, in seconds of the clock; None for no limit.
        on_failure: called with each failure.

    Returns:
        The number of inputs.
    """
    done, end_s = 0, None if seconds is None else time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        before, cache = Path.cwd(), os.environ.get("GEARSHIFT_CACHE")
        os.chdir(place)
        os.environ["GEARSHIFT_CACHE"] = f"{place}/cache"
        try:
            while (inputs is None or done < inputs) and (end_s is None or time.monotonic() < end_s):
                failure = run_one(target, first + done, Path(place))
                done += 1
                if failure is not None:
                    on_failure(failure)
        finally:
            os.chdir(before)
            os.environ.pop("GEARSHIFT_CACHE")
            if cache is not None:
                os.environ["GEARSHIFT_CACHE"] = cache
    return done
