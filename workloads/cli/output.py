"""Standard output is for results alone, and takes them whatever its encoding.

- While a command works, whatever else is printed (by Ray, by a mix script, by a library) goes to stderr: `stdout_kept`.
- A terminal or a service whose encoding lacks a sign of ours gets a plain one: `≥ 95 %` becomes `>=95 %`.
- A full disk or a closed pipe behind standard output becomes an `OutputError`.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PLAIN = {
    "≥": ">=",
    "≤": "<=",
    "→": ">",
    "←": "<",
    "×": "x",
    "·": ".",
    "✓": "+",
    "✗": "x",
    "●": "*",
    "▲": "^",
    "▒": "#",
    "±": "~",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": ".",
    "’": "'",
    "“": '"',
    "”": '"',
    "²": "2",
    "³": "3",
    "µ": "u",
    "μ": "u",
    "Δ": "d",
    "°": " ",
    "─": "-",
    "━": "-",
    "│": "|",
    "┃": "|",
}
"""What stands for a sign that an encoding lacks: as wide as the sign, so that tables stay straight."""

_ERRORS = "gearshift-plain"


class OutputError(Exception):
    """Standard output can't be written to; the message is the system's.

    Attributes:
        is_closed_pipe: True if the reader has gone, as `head` does.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.is_closed_pipe = error.errno == errno.EPIPE


class _Stdout(io.TextIOWrapper):
    """Standard output, which says so when it can't be written to."""

    def write(self, text: str) -> int:
        with _as_output_error():
            return super().write(text)

    def flush(self) -> None:
        with _as_output_error():
            super().flush()


@contextmanager
def _as_output_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(error) from None


def open_streams() -> None:
    """Make standard output and stderr ready for whatever the command prints."""
    # A closed descriptor would be given to the next file that is opened, and Ray's processes would print into it.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    codecs.register_error(_ERRORS, _plain)
    # Python has None for a stream whose descriptor was closed.
    if sys.stdout is None:
        sys.stdout = _Stdout(open(os.devnull, "wb"), encoding="utf-8")  # noqa: SIM115
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Stdout(
            sys.stdout.buffer,
            encoding=sys.stdout.encoding,
            errors=_ERRORS,
            line_buffering=sys.stdout.line_buffering,
            write_through=sys.stdout.write_through,
        )
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors=_ERRORS)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what stands for the first sign that can't be encoded, and where to go on; for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign, after = error.object[error.start], error.start + 1
    if "\udc80" <= sign <= "\udcff":  # a byte of a file's name that is no UTF-8: written as it is
        return bytes([ord(sign) - 0xDC00]), after
    plain = _PLAIN.get(sign)
    if plain is None:
        return sign.encode("ascii", "backslashreplace").decode("ascii"), after
    # Two characters take the place of the sign and of the space after it.
    return plain, after + (len(plain) > 1 and error.object[after : after + 1] == " ")


def silence_stdout() -> None:
    """Let go what standard output could not take, so that the end of the process does not try again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def complain(text: str) -> None:
    """Print a message of the command to stderr; one that can't be printed is let go."""
    with contextlib.suppress(OSError):
        print(f"gearshift: {text}", file=sys.stderr, flush=True)


def print_json(text: str) -> None:
    """Print a JSON object; signs that standard output can't take are written as JSON's escapes."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = re.sub("[^\x00-\x7f]", lambda sign: json.dumps(sign[0])[1:-1], text)
    print(text)


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Keep standard output for results: within the block all that is printed there goes to stderr.

    That holds for this process's own prints, for libraries that write to the descriptor, and for processes started in
    the block.
    """
    out = sys.stdout
    out.flush()
    kept = _keep_descriptor()
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = out
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def _keep_descriptor() -> int | None:
    """Point descriptor 1 at stderr, and return a copy of what it was; None where either is closed, or no real file."""
    try:
        if (sys.stdout.fileno(), sys.stderr.fileno()) != (1, 2):
            return None
        kept = os.dup(1)
    except (OSError, ValueError):
        return None
    os.dup2(2, 1)
    return kept
