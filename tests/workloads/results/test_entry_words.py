"""Lines of a run are sentences for its user: no map of fields, no name of the code."""

from __future__ import annotations

import inspect

import pytest

from scheduler.messages import effects
from workloads.results.entry_words import entry_words, order_words


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            {"kind": "policy_failed", "policy": "Mine", "error": "KeyError: 'x'"},
            "error   policy Mine: KeyError: 'x'; the plan before stays in force",
        ),
        ({"kind": "error", "app": "gate", "text": "no file"}, "error   gate: no file"),
        (
            {"kind": "unhealthy", "unit": "big", "waiting_for": "SetClock"},
            "slow    big: no answer to the order to set its clock",
        ),
        (
            {"kind": "denied", "unit": "big", "asked": 1400.0, "granted": 1200.0},
            "denied  big: 1400 MHz asked for, 1200 MHz granted, and no cap is seen; the plan goes on at that",
        ),
        ({"kind": "decision", "apps": {}}, None),
    ],
)
def test_an_entry_is_told_in_words(entry, line):
    assert entry_words({"now_s": 1.0, **entry}) == line


def test_every_order_that_is_answered_has_words():
    answered = {"Prepare", "Pin", "Activate", "SetClock", "SwitchUnit"}
    named = {name for name, _ in inspect.getmembers(effects, inspect.isclass)}
    assert answered <= named
    assert all(order_words(order).startswith("the order to ") for order in answered)
