"""Standard output takes results alone, in any encoding, and says so when it can't be written to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.command_line import COMMAND
from workloads.cli.output import _PLAIN, OutputError

ROOT = Path(__file__).parents[3]
BEGIN = "import sys; from workloads.cli.output import *; open_streams(); "


def python(script: str, encoding: str = "utf-8", stdout: int | None = subprocess.PIPE) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", BEGIN + script], env=environment, stdout=stdout, stderr=subprocess.PIPE, check=False
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_a_table_is_written_in_any_encoding_and_stays_straight(encoding):
    lines = ["| ≥ 95 % | ≤ 60→30 | r24 × 200 |", "| 12345 % | 1234567 | ✓ ✗ 3–4 |", "| ñ 日本"]
    ended = python(f"print({chr(10).join(lines)!r})", encoding)
    assert ended.returncode == 0, ended.stderr
    written = ended.stdout.decode(encoding).splitlines()
    assert [len(line) for line in written[:2]] == [len(line) for line in lines[:2]]
    if encoding == "ascii":
        assert written == [
            "| >=95 % | <=60>30 | r24 x 200 |",
            "| 12345 % | 1234567 | + x 3-4 |",
            "| \\xf1 \\u65e5\\u672c",
        ]
    if encoding == "utf-8":
        assert written == lines


def test_plain_signs_are_ascii_and_as_wide():
    for sign, plain in _PLAIN.items():
        assert plain.isascii()
        assert len(plain) == 1 or sign in "≥≤"


def test_every_sign_in_what_is_printed_has_a_plain_one():
    """What goes to a terminal is written in these rooms; names of the user's have whatever signs they have."""
    files = [*(ROOT / "workloads" / "cli").glob("*.py"), ROOT / "workloads" / "report" / "table.py"]
    signs = {sign for file in files for sign in re.findall(r"[^\x00-\x7f]", file.read_text(encoding="utf-8"))}
    assert {sign for sign in signs if unicodedata.category(sign) != "Ll"} <= set(_PLAIN)


@given(text=st.text(st.characters(exclude_categories=[]), max_size=20))
def test_json_is_json_in_an_encoding_that_lacks_its_signs(text):
    import io

    from workloads.cli.output import print_json

    for encoding in ("ascii", "latin-1", "utf-8"):
        raw = io.BytesIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
            print_json(json.dumps({"name": text}, ensure_ascii=False))
            sys.stdout.flush()
            assert json.loads(raw.getvalue().decode(encoding)) == {"name": text}


def test_a_file_name_that_is_no_utf8_is_written_as_it_is():
    assert python("import os; print(os.fsdecode(b'caf\\xe9'))").stdout == b"caf\xe9\n"


def test_stdout_is_kept_for_results():
    ended = python(
        "import os, subprocess\n"
        "with stdout_kept():\n"
        "    print('a script'); os.write(1, b'a library\\n'); subprocess.run(['echo', 'a child'])\n"
        "print('the result')"
    )
    assert ended.stdout == b"the result\n"
    assert set(ended.stderr.decode().splitlines()) == {"a script", "a library", "a child"}


def test_a_full_disk_behind_stdout_is_an_output_error():
    script = (
        "\ntry: print('x'); sys.stdout.flush()\nexcept OutputError as error: silence_stdout(); sys.exit(f'{error}!')"
    )
    with open("/dev/full", "wb") as full:
        ended = python(script, stdout=full)
    assert ended.stderr == b"No space left on device!\n"
    assert not issubclass(OutputError, OSError)  # Typer would end the process by itself


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed):
    script = BEGIN + "print('out'); complain('err'); import os; assert all(os.fstat(n) for n in range(3))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(f'{sys.executable} -c "{script}" {closed}', shell=True, env=environment, check=False)
    assert ended.returncode == 0


def test_the_command_says_that_stdout_is_full_and_is_silent_where_the_reader_left():
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "gearshift: standard output can't be written to (No space left on device)\n"
