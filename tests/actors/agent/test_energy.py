"""Measured figures stand where rails cover what is asked for, and are never mixed with modelled ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.agent.energy import RailFigure, of_all_units, of_board, of_each_unit

MODELLED = {"big": 30.0, "little": 10.0, "gpu": 5.0}


def rail(value, *covers):
    return RailFigure(covers="board" if covers == ("board",) else covers, value=value)


@pytest.mark.parametrize(
    ("rails", "together"),
    [
        ([], (45.0, "modelled")),
        ([rail(41.0, "big", "little", "gpu")], (41.0, "measured")),
        ([rail(33.0, "big", "little"), rail(4.0, "gpu")], (37.0, "measured")),
        # A unit that no rail covers, a rail that is not known, and the board's rail measure no units.
        ([rail(33.0, "big", "little")], (45.0, "modelled")),
        ([rail(33.0, "big", "little"), rail(None, "gpu")], (45.0, "modelled")),
        ([rail(90.0, "board")], (45.0, "modelled")),
        # The board's rail contains the units' and is not added to them.
        ([rail(90.0, "board"), rail(41.0, "big", "little", "gpu")], (41.0, "measured")),
        ([rail(20.0, "big", "little"), rail(41.0, "big", "little", "gpu")], (45.0, "modelled")),
    ],
)
def test_all_units_are_measured_if_rails_cover_each_of_them_once(rails, together):
    assert of_all_units(MODELLED, rails) == together


def test_without_a_model_units_are_measured_or_unknown():
    nothing = dict.fromkeys(MODELLED)
    assert of_all_units(nothing, []) == (None, "unknown")
    assert of_all_units({**MODELLED, "gpu": None}, []) == (None, "unknown")
    assert of_all_units(nothing, [rail(41.0, *MODELLED)]) == (41.0, "measured")


def test_the_board_is_measured_by_a_rail_of_its_own_alone():
    assert of_board(55.0, [rail(60.0, "board"), rail(41.0, *MODELLED)]) == (60.0, "measured")
    assert of_board(55.0, [rail(None, "board"), rail(41.0, *MODELLED)]) == (55.0, "modelled")
    assert of_board(None, [rail(41.0, *MODELLED)]) == (None, "unknown")


def figures(rails, modelled=MODELLED):
    return {name: (figure.value, figure.source) for name, figure in of_each_unit(modelled, rails).items()}


def test_a_rail_of_several_units_is_split_as_the_model_has_it():
    assert figures([rail(20.0, "big", "little"), rail(4.0, "gpu")]) == {
        "big": (15.0, "attributed"),
        "little": (5.0, "attributed"),
        "gpu": (4.0, "measured"),
    }


def test_what_cannot_be_split_is_unknown_and_what_is_not_measured_is_modelled():
    no_big = {**MODELLED, "big": None}
    assert figures([rail(20.0, "big", "little")], no_big) == {
        "big": (None, "unknown"),
        "little": (None, "unknown"),
        "gpu": (5.0, "modelled"),
    }
    at_rest = dict.fromkeys(MODELLED, 0.0)
    assert figures([rail(20.0, *MODELLED)], at_rest) == dict.fromkeys(MODELLED, (None, "unknown"))
    assert figures([rail(None, "big"), rail(60.0, "board")]) == {name: (j, "modelled") for name, j in MODELLED.items()}


@given(
    modelled=st.dictionaries(st.sampled_from("abcd"), st.floats(0.001, 1e6), min_size=1),
    value=st.floats(0.001, 1e6),
)
def test_shares_add_up_to_the_rail(modelled, value):
    shares = of_each_unit(modelled, [rail(value, *modelled)])
    assert sum(figure.value for figure in shares.values()) == pytest.approx(value)
