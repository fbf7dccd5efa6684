"""Pages: whole or not at all, whatever is read while it is written, and whoever is killed over it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actors.control.pages import PageReader, PageWriter

PATIENCE_S = 30.0

contents = st.binary(max_size=40)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Callable[[], Path]:
    """The path of a new page at each call."""
    base = tmp_path_factory.mktemp("pages")
    return lambda: base / str(len(list(base.iterdir())))


def test_an_empty_page_has_nothing_to_read(place):
    assert PageReader(place()).read() is None


@settings(deadline=None)
@given(pages=st.lists(contents, min_size=1, max_size=5))
def test_a_reader_gets_each_page_once_and_sees_only_the_latest(place, pages):
    path = place()
    reader, late = PageReader(path), PageReader(path)
    writer = PageWriter(path)
    for page in pages:
        writer.write(page)
        assert reader.read() == page
        assert reader.read() is None
    assert late.read() == pages[-1]


@settings(deadline=None)
@given(page=contents)
def test_a_successor_s_first_page_is_news_even_if_it_says_the_same(place, page):
    path = place()
    reader = PageReader(path)
    for _ in range(2):
        PageWriter(path).write(page)
        assert reader.read() == page


@settings(deadline=None)
@given(old=contents, new=contents, seen=st.lists(st.booleans(), min_size=60, max_size=60))
def test_a_page_of_which_only_some_stores_are_seen_is_none(place, old, new, seen):
    path = place()
    writer = PageWriter(path)
    writer.write(old)
    before = path.read_bytes()
    writer.write(new)
    after = path.read_bytes()
    before += bytes(len(after) - len(before))
    mixed = bytes(after[at] if seen[at] else before[at] for at in range(len(after)))
    assume(mixed not in (before, after))
    path.write_bytes(mixed)
    reader = PageReader(path)
    assert reader.read() is None
    PageWriter(path).write(b"next")  # nothing had to be repaired
    assert reader.read() == b"next"


def test_reading_while_another_process_writes_and_is_killed_over_it(place):
    path = place()
    code = f"""
        from itertools import cycle
        from pathlib import Path
        from actors.control.pages import PageWriter

        writer = PageWriter(Path({str(path)!r}))
        for length in cycle([20_000, 3, 9_000, 1]):
            writer.write(bytes([length % 251]) * length)
    """
    reader = PageReader(path)
    read = 0
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) as child:
        give_up_s = time.monotonic() + PATIENCE_S
        while read < 100 and time.monotonic() < give_up_s:
            page = reader.read()
            if page is not None:
                assert len(page) in (20_000, 3, 9_000, 1)
                assert page == bytes([len(page) % 251]) * len(page)
                read += 1
        child.send_signal(signal.SIGKILL)
    assert read == 100
    reader.read()  # perhaps a last one, perhaps half of one
    PageWriter(path).write(b"back")
    assert reader.read() == b"back"
