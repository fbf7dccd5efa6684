"""The design space has the right points, identifiers and costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.tiny_space import TINY, architectures
from supernets.ofa.space import Architecture, make_divisible
from supernets.ofa.spaces import OFA_PLATES


@settings(deadline=None)
@given(st.floats(min_value=0.1, max_value=5000), st.sampled_from([4, 8, 16]))
def test_a_width_is_made_divisible_without_losing_a_tenth(value: float, divisor: int) -> None:
    width = make_divisible(value, divisor)
    assert width % divisor == 0
    assert width >= max(divisor, 0.9 * value)
    assert width - value <= divisor


@pytest.mark.parametrize(("value", "width"), [(1, 8), (11, 16), (12, 16), (18, 24), (19.9, 24), (36, 40), (72, 72)])
def test_a_width_is_rounded_as_mobilenet_v2_rounds(value: float, width: int) -> None:
    assert make_divisible(value) == width


def test_the_ends_of_a_space_are_its_extreme_knobs() -> None:
    assert TINY.smallest == Architecture(kernel=(3,) * 6, expand=(1,) * 6, depth=(1, 1))
    assert TINY.largest == Architecture(kernel=(7,) * 6, expand=(4,) * 6, depth=(3, 3))
    assert OFA_PLATES.blocks == 9


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_random_architecture_is_a_point_of_the_space_and_depends_on_the_seed_alone(seed: int) -> None:
    drawn = OFA_PLATES.random(np.random.default_rng(seed))
    OFA_PLATES.check(drawn, OFA_PLATES.resolutions[0])
    assert drawn == OFA_PLATES.canonical(drawn) == OFA_PLATES.random(np.random.default_rng(seed))


@settings(deadline=None)
@given(st.data())
def test_what_unused_blocks_are_set_to_makes_no_difference(data: st.DataObject) -> None:
    one, other = data.draw(architectures(TINY)), data.draw(architectures(TINY))
    used = {block[0] for block in TINY.active_blocks(one)}
    twin = Architecture(
        kernel=tuple(one.kernel[i] if i in used else other.kernel[i] for i in range(TINY.blocks)),
        expand=tuple(one.expand[i] if i in used else other.expand[i] for i in range(TINY.blocks)),
        depth=one.depth,
    )
    assert TINY.canonical(one) == TINY.canonical(twin)
    assert TINY.subnet(one, 16) == TINY.subnet(twin, 16)


@settings(deadline=None)
@given(architectures(TINY))
def test_the_active_blocks_are_the_first_of_each_stage(architecture: Architecture) -> None:
    blocks = list(TINY.active_blocks(architecture))
    assert [block[0] for block in blocks] == [s * 3 + p for s in range(2) for p in range(architecture.depth[s])]
    assert [block[2] for block in blocks] == [2 if index % 3 == 0 else 1 for index, *_ in blocks]


@settings(deadline=None)
@given(st.data(), architectures(TINY))
def test_turning_a_knob_up_never_makes_a_network_cheaper(data: st.DataObject, architecture: Architecture) -> None:
    knob, options = data.draw(
        st.sampled_from([("kernel", TINY.kernels), ("expand", TINY.expands), ("depth", TINY.depths)])
    )
    values = list(getattr(architecture, knob))
    place = data.draw(st.integers(0, len(values) - 1))
    values[place] = data.draw(st.sampled_from([option for option in options if option >= values[place]]))
    turned_up = replace(architecture, **{knob: tuple(values)})
    assert TINY.macs(turned_up, 16) >= TINY.macs(architecture, 16)
    assert TINY.macs(architecture, 24) > TINY.macs(architecture, 16)


@settings(deadline=None)
@given(architectures(OFA_PLATES), architectures(OFA_PLATES), st.sampled_from(OFA_PLATES.resolutions))
def test_identifiers_tell_sub_networks_apart(one: Architecture, other: Architecture, resolution: int) -> None:
    ids = [OFA_PLATES.subnet(point, resolution).id for point in (one, other)]
    assert (ids[0] == ids[1]) == (OFA_PLATES.canonical(one) == OFA_PLATES.canonical(other))
    assert ids[0].startswith(f"r{resolution}-")


@pytest.mark.parametrize(
    ("change", "resolution", "message"),
    [
        ({"kernel": (3, 3, 4, 3, 3, 3)}, 16, r"kernel 4 is not in the space of tiny; take one of \(3, 5, 7\)"),
        ({"expand": (9,) * 6}, 16, r"expand 9 is not in the space of tiny; take one of \(1, 2, 4\)"),
        ({"depth": (1, 2, 3)}, 16, "depth of tiny takes 2 values, not 3"),
        ({"kernel": ()}, 16, "kernel of tiny takes 6 values, not 0"),
        ({}, 17, r"resolution 17 is not in the space of tiny; take one of \(16, 24\)"),
    ],
)
def test_a_point_outside_the_space_is_refused(
    change: dict[str, tuple[int, ...]], resolution: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TINY.subnet(replace(TINY.smallest, **change), resolution)
