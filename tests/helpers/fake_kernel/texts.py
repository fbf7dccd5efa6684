"""Numbers and names in the kernel's own spelling: how it reads what is written to a file, and how it prints lists.

Two families of readers exist, and they differ in what they forgive. `sscanf` skips white space in front and ignores
what follows the number; `kstrtoint` and its kin allow one newline at the end and nothing else. (lib/vsprintf.c,
lib/kstrtox.c)
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable


def kernel_error(code: int, path: str | None = None) -> OSError:
    """Return the error of a system call: `kernel_error(errno.EBUSY)`."""
    return OSError(code, os.strerror(code), path)


def scan_unsigned(content: bytes, bits: int) -> int:
    """Return the number that `sscanf` finds with %u (32 bits) or %lu (64 bits); more bits are cut off."""
    return _scan(rb"\s*(\d+)", content) % (1 << bits)


def scan_signed(content: bytes, bits: int = 32) -> int:
    """Return the number that `sscanf` finds with %d (32 bits) or %ld (64 bits); more bits are cut off."""
    return _wrapped(_scan(rb"\s*(-?\d+)", content), bits)


def scan_word(content: bytes, most: int) -> str:
    """Return the word that `sscanf` finds with %15s, if `most` is 15."""
    found = re.match(rb"\s*([^\s\0]*)", content)
    assert found is not None
    return found[1][:most].decode(errors="replace")


def strict_unsigned(content: bytes, bits: int = 32, *, any_base: bool = False) -> int:
    """Return the number that `kstrtouint` reads: a decimal one, or with any base also 0x10 and 010."""
    if any_base:
        return _within(_based(content), 0, (1 << bits) - 1)
    return _strict(rb"\+?(\d+)\n?", content, 0, (1 << bits) - 1)


def strict_signed(content: bytes, bits: int = 32, *, any_base: bool = False) -> int:
    """Return the number that `kstrtoint` reads: a decimal one, or with any base also 0x10 and 010."""
    if any_base:
        value = -_based(content[1:]) if content.startswith(b"-") else _based(content)
        return _within(value, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return _strict(rb"(\+?\d+|-\d+)\n?", content, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def strict_bool(content: bytes) -> bool:
    """Return what `kstrtobool` reads: its first letters decide."""
    if content[:1] in (b"1", b"y", b"Y") or content[:2].lower() == b"on":
        return True
    if content[:1] in (b"0", b"n", b"N") or content[:2].lower() == b"of":
        return False
    raise kernel_error(errno.EINVAL)


def signed_32(value: int) -> int:
    """Return a number as it looks in a signed variable of 32 bits."""
    return _wrapped(value, 32)


def cpu_ranges(cpus: Iterable[int]) -> str:
    """Return CPUs as `cpu/online` prints them: (0, 1, 2, 5) as "0-2,5"."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and runs[-1][1] == cpu - 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def cpu_words(cpus: Iterable[int]) -> str:
    """Return CPUs as `related_cpus` prints them: "0 1 2 5"."""
    return " ".join(str(cpu) for cpu in sorted(cpus))


def _scan(pattern: bytes, content: bytes) -> int:
    found = re.match(pattern, content)
    if found is None:
        raise kernel_error(errno.EINVAL)
    return int(found[1])


def _strict(pattern: bytes, content: bytes, least: int, most: int) -> int:
    found = re.fullmatch(pattern, content)
    if found is None:
        raise kernel_error(errno.EINVAL)
    return _within(int(found[1]), least, most)


def _within(value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise kernel_error(errno.ERANGE)
    return value


def _based(content: bytes) -> int:
    found = re.fullmatch(rb"\+?(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))\n?", content)
    if found is None:
        raise kernel_error(errno.EINVAL)
    digits, base = next((found[group], base) for group, base in ((1, 16), (2, 8), (3, 10)) if found[group] is not None)
    return int(digits, base)


def _wrapped(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
