"""The error of a bad mix, and the checks of values that users write.

The checks turn what a user wrote into plain `float`, `int` and `tuple`, so that no NumPy scalar travels on. They know
numbers, names and lists, not what the fields mean. They raise `MixError` unless another `InputError` is given, as it is
for options of a run.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from scheduler.errors import InputError, did_you_mean, shown

MOST_NAME_BYTES = 150
"""Longest name of a mix or an app: files and directories are called after it, and a file's name has at most 255."""


class MixError(InputError):
    """A mix or a field of it is wrong; the message names the field, the value and the fix."""


def suggestion(value: object, options: Collection[str]) -> str:
    """Return a sentence that names the option most likely meant, or lists all options.

    `suggestion("bgi", ["big", "little"])` is `Did you mean 'big'?`.

    Args:
        value: Value that the user wrote.
        options: Values that are allowed.

    Returns:
        A sentence to end an error message with.
    """
    near = did_you_mean(value if isinstance(value, str) else shown(value), options)
    if near:
        return near.lstrip()
    return f"Use one of: {', '.join(options)}." if options else "There are none."


def number(
    field: str,
    value: object,
    *,
    above: float = -math.inf,
    low: float = -math.inf,
    high: float = math.inf,
    error: type[InputError] = MixError,
) -> float:
    """Check a finite real number.

    `number("slo", 95, above=0, high=1)` raises `slo must be above 0 and at most 1, not 95. Did you mean 0.95?`.

    Args:
        field: Name of the field as the user knows it; the message begins with it.
        value: Value that the user wrote.
        above: The value must be greater than this.
        low: The value must be at least this.
        high: The value must be at most this.
        error: Class of the error.

    Returns:
        The value as a float.

    Raises:
        MixError: Or `error`: not a number (a bool and a string are none), not finite, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise error(f"{field} must be a number, not {shown(value)}.{_unquoted(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise error(f"{field} must be a finite number, not {shown(value)}.")
    if not (above < result and low <= result <= high):
        percent = f" Did you mean {_fraction(result)}?" if high == 1 and 2 <= result <= 100 else ""
        raise error(f"{field} must be {_range(above, low, high)}, not {shown(value)}.{percent}")
    return result


def whole(field: str, value: object, *, low: int, error: type[InputError] = MixError) -> int:
    """Check a whole number.

    Args:
        field: Name of the field as the user knows it; the message begins with it.
        value: Value that the user wrote.
        low: The value must be at least this.
        error: Class of the error.

    Returns:
        The value as an int.

    Raises:
        MixError: Or `error`: not a whole number (2.0 is none), or too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise error(f"{field} must be a whole number, not {shown(value)}.{_unquoted(value)}")
    if value < low:
        raise error(f"{field} must be at least {low}, not {shown(value)}.")
    return int(value)


def choice(field: str, value: object, options: Collection[str], *, error: type[InputError] = MixError) -> str:
    """Check that a value is one of the options.

    Raises:
        MixError: Or `error`: it is none of them; the message names the closest.
    """
    if not isinstance(value, str) or value not in options:
        raise error(f"{field} must be one of {', '.join(options)}, not {shown(value)}. {suggestion(value, options)}")
    return value


def text(field: str, value: object) -> str:
    """Check that a value is a string with something in it.

    Raises:
        MixError: It is not.
    """
    if not isinstance(value, str) or not value.strip():
        raise MixError(f"{field} must be a name, not {shown(value)}.")
    return value


def file_name(field: str, value: object) -> str:
    """Check that a value is a string that can be a part of a file's name.

    `../../etc` is none, and so is a name that a file system would refuse.

    Raises:
        MixError: It is not.
    """
    name = text(field, value)
    if "/" in name or not name.isprintable():
        raise MixError(f"{field} must be a name of printable characters without '/', not {shown(name)}.")
    if len(name.encode()) > MOST_NAME_BYTES:
        raise MixError(f"{field} must have at most {MOST_NAME_BYTES} bytes, not {len(name.encode())}: {shown(name)}.")
    return name


def listed(field: str, values: object) -> tuple[Any, ...]:
    """Check that a value is a list or another iterable, but no string and no mapping.

    Raises:
        MixError: It is not.
    """
    if not isinstance(values, str | bytes | Mapping) and isinstance(values, Iterable):
        try:
            items = iter(values)
        except TypeError:  # an array of no dimensions
            items = None
        if items is not None:
            return tuple(items)
    raise MixError(f"{field} must be a list, not {shown(values)}. Put it in [brackets].")


def _unquoted(value: object) -> str:
    """Return the fix where a string holds a finite number, else nothing."""
    if not isinstance(value, str):
        return ""
    try:
        finite = math.isfinite(float(value))
    except ValueError:
        return ""
    return f" Did you mean {value.strip()}?" if finite else ""


def _fraction(percent: float) -> str:
    return f"{percent / 100:.2f}" if percent.is_integer() else f"{percent / 100:g}"


def _range(above: float, low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f"between {low:g} and {high:g}"
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("above", above), ("at least", low), ("at most", high))
        if math.isfinite(bound)
    ]
    return " and ".join(bounds)
