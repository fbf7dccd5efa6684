"""Values are shown in messages at a bounded length, whatever they are."""

import pytest

from scheduler.errors import did_you_mean, shown


class Hostile:
    def __repr__(self) -> str:
        raise OSError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("big", "'big'"),
        (0.25, "0.25"),
        ([4, 5], "[4, 5]"),
        ([[[[[[0]]]]]], "[[[[[...]]]]]"),
    ],
)
def test_a_value_is_shown(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_number_of_too_many_digits_is_named_by_its_type() -> None:
    assert shown(10**5000) == "<int>"


def test_what_holds_itself_or_has_no_end_is_cut_off() -> None:
    rings: list[object] = []
    rings += [rings] * 50
    for value in (Hostile(), rings, "x" * 10**6, list(range(10**6)), dict.fromkeys(range(10**5)), b"y" * 10**6):
        assert len(shown(value)) <= 60


def test_a_long_word_is_near_to_nothing() -> None:
    assert did_you_mean("x" * 10**6, ["joint"]) == ""
    assert did_you_mean("Joint", ["joint", "ladder"]) == " Did you mean 'joint'?"
