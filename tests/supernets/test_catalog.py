"""The catalog joins what the families list."""

from __future__ import annotations

from supernets import static
from supernets.catalog import BUILT_IN, names
from supernets.inputs import INPUTS
from supernets.ofa import elastic
from supernets.seq2seq import supernet as seq2seq
from supernets.slimmable import supernet as slimmable

FAMILIES = (elastic.BUILT_IN, slimmable.BUILT_IN, static.BUILT_IN, seq2seq.BUILT_IN)


def test_no_two_supernets_have_one_name() -> None:
    assert list(names()) == [entry.name for family in FAMILIES for entry in family]


def test_every_task_is_known() -> None:
    assert {entry.task for entry in BUILT_IN.values()} <= set(INPUTS)


def test_every_named_ladder_opens() -> None:
    for entry in BUILT_IN.values():
        for ladder in entry.named_ladders():
            assert entry.open(None, "given", None, ladder).ladder()
