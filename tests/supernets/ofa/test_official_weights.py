"""Official Once-for-all files, published ladders and ladder files: what is taken over, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from helpers.ofa_peer import make_peer
from helpers.tiny_space import off_by
from supernets import SupernetError, published
from supernets.catalog import load
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.spaces import OFA_MBV3_W10, OFA_MBV3_W12
from supernets.weights_file import save

W10, W12 = OFA_MBV3_W10.name, OFA_MBV3_W12.name
State = dict[str, Tensor]


def as_it_is(state: State) -> State:
    return state


def with_older_blocks(state: State) -> State:
    """Return a state in which blocks' convolutions are named as in files of the first release."""
    return {
        name.replace(".conv.", ".mobile_inverted_conv.", 1) if name.startswith("blocks.") else name: tensor
        for name, tensor in state.items()
    }


def with_a_level_less(state: State) -> State:
    """Return a state in which layers that are static now are named as in files of the first release."""
    levels = {".bn.bn.": ".bn.", ".conv.conv.weight": ".conv.weight", ".linear.linear.": ".linear."}
    renamed = {}
    for name, tensor in with_older_blocks(state).items():
        for longer, shorter in levels.items():
            name = name.replace(longer, shorter)
        renamed[name] = tensor
    return renamed


@pytest.fixture(scope="module")
def official() -> State:
    torch.manual_seed(3)
    state: State = make_peer(OFA_MBV3_W10).state_dict()
    return state


NAMINGS = [as_it_is, with_older_blocks, with_a_level_less]


@pytest.mark.parametrize("naming", NAMINGS)
def test_the_package_itself_takes_these_names_for_the_same_weights(
    official: State, naming: Callable[[State], State]
) -> None:
    taken = make_peer(OFA_MBV3_W10)
    taken.load_state_dict(naming(official))
    assert all(torch.equal(tensor, official[name]) for name, tensor in taken.state_dict().items())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("naming", NAMINGS)
def test_an_official_file_is_taken_over_as_it_is(
    official: State, tmp_path: Path, naming: Callable[[State], State], suffix: str
) -> None:
    path = tmp_path / f"ofa{suffix}"
    state = naming(official)
    save_file(state, path) if suffix == ".safetensors" else torch.save({"state_dict": state}, path)
    net = load(W10, path)
    assert isinstance(net, ElasticSupernet)
    assert (net.weights_source, net.notice) == ("given", None)
    ours = net.network.state_dict()
    assert len(ours) == len(official)
    assert torch.equal(ours["blocks.0.expand.weight"], official["blocks.1.conv.inverted_bottleneck.conv.conv.weight"])
    assert torch.equal(
        ours["blocks.19.depthwise.transforms.5to3"], official["blocks.20.conv.depth_conv.conv.5to3_matrix"]
    )
    assert torch.equal(ours["classifier.bias"], official["classifier.linear.bias"])


def test_a_file_of_another_width_is_refused_by_its_own_first_name_and_both_shapes(
    official: State, tmp_path: Path
) -> None:
    path = tmp_path / "w1.0.pth"
    torch.save({"state_dict": with_older_blocks(official)}, path)
    with pytest.raises(SupernetError) as caught:
        _ = load(W12, path).module(load(W12).ladder()[0])
    message = str(caught.value)
    assert "'first_conv.conv.weight'" in message
    assert "(16, 3, 3, 3)" in message
    assert "(24, 3, 3, 3)" in message
    assert W12 in message


def test_a_resolution_off_the_grid_is_refused() -> None:
    net = load(W12)
    assert isinstance(net, ElasticSupernet)
    largest = OFA_MBV3_W12.largest
    assert net.subnet(largest.kernel, largest.expand, largest.depth, 132).resolution == 132
    for off_grid in (130, 127, 228):
        with pytest.raises(SupernetError, match=f"resolution {off_grid} is not in the space of {W12}; take one of"):
            net.subnet(largest.kernel, largest.expand, largest.depth, off_grid)


# ---------------------------------------------------------------- ladders


@pytest.mark.parametrize(
    ("name", "set_", "rungs"), [(W12, "gpu6", 6), (f"{W12}:gpu6", "gpu6", 6), (f"{W12}:gpu7", "gpu7", 7)]
)
def test_a_published_set_is_a_ladder_marked_published(name: str, set_: str, rungs: int) -> None:
    ladder = load(name).ladder()
    assert len(ladder) == rungs
    assert {rung.accuracy_source for rung in ladder} == {"published"}
    assert [rung.accuracy for rung in ladder] == sorted(rung.top1 for rung in published.ladders()[set_].rungs)


def test_the_macs_of_the_published_sets_are_those_noted_with_them() -> None:
    """`macs_m` of `dynamic_ofa_subnets.json`, in 10⁶.

    The third of `gpu7` is left out: 349.2 is noted with it, but of the configuration published the `ofa` package counts
    353.7, as we do (test_against_ofa.py has the package count).
    """
    noted = {
        "gpu6": [235.5, 254.0, 288.8, 375.5, 522.1, 731.1],
        "gpu7": [235.5, 290.0, None, 375.5, 442.0, 590.8, 731.1],
    }
    for name, macs_m in noted.items():
        for rung, expected in zip(load(f"{W12}:{name}").ladder(), macs_m, strict=True):
            assert expected is None or round(rung.macs_m, 1) == expected


def test_random_weights_are_announced_and_their_accuracies_are_said_to_be_others() -> None:
    net = load(W12)
    assert net.weights_source == "random"
    assert net.notice is not None
    assert "random weights" in net.notice
    assert f"--weights {W12}=FILE" in net.notice


def test_a_sub_network_that_is_not_on_the_ladder_is_refused_with_the_nearest() -> None:
    net = load(W12)
    rung = net.ladder()[2]
    assert net.rung(rung.id) == rung
    with pytest.raises(SupernetError, match=f"Did you mean {rung.id!r}"):
        net.rung(f"{rung.id[:-1]}x")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{W12}:gpu8", "ladder 'gpu8' is neither a file.*Did you mean 'gpu"),
        (f"{W10}:gpu6", f"ladder 'gpu6' is neither a file.*None is published for {W10}"),
        ("ofa-mbv3-w12:gpu6", f"supernet 'ofa-mbv3-w12' is unknown. Did you mean '{W12}'"),
    ],
)
def test_an_unknown_ladder_is_refused(name: str, message: str) -> None:
    with pytest.raises(SupernetError, match=message):
        load(name)


# ---------------------------------------------------------------- ladder files


@pytest.fixture
def ladder_file(tmp_path: Path) -> Path:
    """A ladder file of one rung with its own statistics, made with the random weights of w1.0."""
    net = load(W10)
    assert isinstance(net, ElasticSupernet)
    rung = OFA_MBV3_W10.subnet(OFA_MBV3_W10.smallest, 128, 0.5, "measured")
    statistics = {
        name: buffer + 0.5
        for name, buffer in net.module(rung).named_buffers()
        if name.endswith(("running_mean", "running_var"))
    }
    path = tmp_path / "ladder.safetensors"
    save(path, {}, [(rung, statistics)], {"supernet": W10, "weights_hash": net.base_hash})
    return path


def test_a_ladder_file_brings_rungs_and_their_statistics(ladder_file: Path) -> None:
    plain, net = load(W10), load(f"{W10}:{ladder_file}")
    (rung,) = net.ladder()
    assert (rung.resolution, rung.accuracy, rung.accuracy_source) == (128, 0.5, "measured")
    assert net.weights_hash != plain.weights_hash  # what is exported from it is another network
    assert net.base_hash == plain.base_hash
    x = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        own, inherited = net.module(rung), plain.module(rung)
        assert torch.equal(own.stem.weight, inherited.stem.weight)
        assert torch.equal(own.stem_bn.running_mean, inherited.stem_bn.running_mean + 0.5)
        assert off_by(own(x), inherited(x)) > 1e-2


def test_a_ladder_file_of_other_weights_is_refused(ladder_file: Path, official: State, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file(official, other)
    with pytest.raises(SupernetError, match="was made with other weights"):
        load(W10, other, ladder_file)


def test_a_ladder_file_of_another_supernet_is_refused(ladder_file: Path) -> None:
    with pytest.raises(SupernetError, match=f"is a ladder of '{W10}', not of '{W12}'"):
        load(W12, ladder=ladder_file)


def test_a_file_that_brings_no_ladder_is_refused_as_one(official: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(official, path)
    with pytest.raises(SupernetError, match="is no ladder file"):
        load(W10, ladder=path)


def test_weights_that_were_saved_without_a_ladder_bring_none(official: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(path, official, [], {"made_by": "hand"})
    assert load(W10, path).ladder() == load(W10).ladder()
