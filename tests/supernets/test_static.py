"""Static networks serve as supernets: torchvision's MobileNetV3 and one sub-network of Once-for-all."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from helpers.tiny_space import off_by
from supernets import engines, published
from supernets.catalog import load, names, task_of
from supernets.errors import SupernetError
from supernets.exporting import export, fold
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.spaces import OFA_MBV3_W12
from supernets.subnet import Fixed
from supernets.weights_file import save

NETWORKS = {
    "small": (models.mobilenet_v3_small, models.MobileNet_V3_Small_Weights.DEFAULT),
    "large": (models.mobilenet_v3_large, models.MobileNet_V3_Large_Weights.DEFAULT),
}


def lived_in(network: str) -> nn.Module:
    """Torchvision's own network, with batch norms of real activations."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module: nn.Module = NETWORKS[network][0](weights=None).train()
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.uniform_(norm.bias, -0.5, 0.5)
        with torch.no_grad():
            module(torch.randn(8, 3, 96, 96))
    return module.eval()


def pictures(seed: int = 1, size: int = 96) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- torchvision


def test_the_ladder_is_what_torchvision_publishes_of_its_default_weights() -> None:
    for rung, point in zip(load("torchvision-mbv3").ladder(), published.torchvision_points(), strict=True):
        weights = NETWORKS[point.network][1]
        assert weights.name == point.weights
        assert rung.knobs == Fixed(point.network)
        assert rung.accuracy_source == "published"
        assert rung.accuracy == pytest.approx(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
        assert rung.macs_m == pytest.approx(weights.meta["_ops"] * 1000, abs=0.5)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_stated_cost_is_that_of_the_network(network: str) -> None:
    net = load("torchvision-mbv3")
    macs = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal macs
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        macs += output.shape[2:].numel() * layer.weight.numel()

    module = net.module(net.rung(network))
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module(torch.zeros(net.input_shape(net.rung(network))))
    assert macs / 1e6 == pytest.approx(net.rung(network).macs_m, abs=0.005)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("both", [True, False], ids=["both in one file", "torchvision's own file"])
def test_it_computes_what_torchvision_does(network: str, both: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    own = lived_in(network)
    if both:
        torch.save({f"{n}.{key}": t for n in NETWORKS for key, t in lived_in(n).state_dict().items()}, path)
    else:
        torch.save(own.state_dict(), path)
    net = load("torchvision-mbv3" if both else f"torchvision-mbv3:{network}", path)
    assert [rung.id for rung in net.ladder()] == (["small", "large"] if both else [network])
    module = net.module(net.rung(network))
    with torch.no_grad():
        expected = own(pictures())
        assert torch.equal(module(pictures()), expected)
        assert off_by(module(pictures(seed=2)), expected) > 1e-2
        folded = fold(module)
        assert off_by(folded(pictures()), expected) < 1e-4
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())


def test_an_exported_network_computes_what_torchvision_does(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    own = lived_in("small")
    torch.save(own.state_dict(), path)
    net = load("torchvision-mbv3:small", path)
    artifact = export(net, net.rung("small"), tmp_path)
    x = pictures(size=224)[:1]
    with torch.no_grad():
        expected = own(x)
    assert off_by(torch.from_numpy(engines.prepare(artifact)(x.numpy())), expected) < 1e-4
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(artifact.path).graph.node}


def test_random_weights_are_said_to_be_random_and_are_always_the_same() -> None:
    one, other = (load("torchvision-mbv3") for _ in range(2))
    assert one.notice is not None
    assert "random weights" in one.notice
    assert one.weights_hash == other.weights_hash
    randomness = torch.random.get_rng_state()
    state, its = (net.module(net.rung("small")).state_dict() for net in (one, other))
    assert all(torch.equal(tensor, its[name]) for name, tensor in state.items())
    assert torch.equal(torch.random.get_rng_state(), randomness)


def test_the_file_of_one_network_does_not_serve_two(tmp_path: Path) -> None:
    path = tmp_path / "large.pth"
    torch.save(lived_in("large").state_dict(), path)
    net = load("torchvision-mbv3", path)
    with pytest.raises(SupernetError) as caught:
        net.module(net.rung("small"))
    assert "large.pth" in str(caught.value)
    assert "ask for torchvision-mbv3:small or :large" in str(caught.value)


def test_a_ladder_file_brings_measured_accuracies(tmp_path: Path) -> None:
    net = load("torchvision-mbv3")
    measured = replace(net.rung("small"), accuracy=0.25, accuracy_source="measured")
    path = tmp_path / "ladder.safetensors"
    save(path, {}, [(measured, {})], {"supernet": "torchvision-mbv3", "weights_hash": net.base_hash})
    assert load("torchvision-mbv3", None, path).ladder() == (measured,)


def test_without_torchvision_the_ladder_is_there_and_a_network_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    net = load("torchvision-mbv3")
    assert len(net.ladder()) == 2
    with pytest.raises(SupernetError, match=r"needs torchvision.*pip install 'gearshift\[images\]'"):
        net.module(net.rung("small"))


# ---------------------------------------------------------------- Once-for-all


def test_a_static_sub_network_is_that_of_the_supernet() -> None:
    dynamic = load("ofa-mbv3-w1.2")
    chosen = dynamic.ladder()[0]
    static = load(f"ofa-mbv3-static:{chosen.id}")
    assert static.name == "ofa-mbv3-static"
    assert static.ladder() == (chosen,)
    assert static.input_shape(chosen) == (1, 3, 176, 176)
    ours, expected = static.module(chosen).state_dict(), dynamic.module(chosen).state_dict()
    assert ours.keys() == expected.keys() != dynamic.module(dynamic.ladder()[1]).state_dict().keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.items())


def test_unless_told_it_is_the_most_accurate() -> None:
    ladder = load("ofa-mbv3-static").ladder()
    assert len(ladder) == 1
    assert ladder[0].accuracy == max(rung.accuracy or 0 for rung in load("ofa-mbv3-w1.2").ladder())
    assert load("ofa-mbv3-static:r176-235m-40be").ladder() != ladder


def test_a_ladder_file_of_the_supernet_serves_it(tmp_path: Path) -> None:
    dynamic = load("ofa-mbv3-w1.2")
    rungs = [replace(rung, accuracy=0.5, accuracy_source="measured") for rung in dynamic.ladder()[:2]]
    path = tmp_path / "ladder.safetensors"
    means = {"stem_bn.running_mean": torch.full((24,), 3.0)}
    about = {"supernet": dynamic.name, "weights_hash": dynamic.base_hash}
    save(path, {}, [(rungs[0], {}), (rungs[1], means)], about)
    static = load("ofa-mbv3-static", None, path)
    assert static.ladder() == (rungs[-1],)
    assert isinstance(static, ElasticSupernet)
    assert static.space is OFA_MBV3_W12
    assert torch.equal(static.module(rungs[-1]).get_buffer("stem_bn.running_mean"), means["stem_bn.running_mean"])


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("ofa-mbv3-static:r176-235m-40bf", "Did you mean 'r176-235m-40be'?"),
        ("torchvision-mbv3:smal", "Did you mean 'small'? Known: large, small"),
        ("us-mbv1:gpu6", "None is published for us-mbv1"),
    ],
)
def test_an_unknown_network_is_refused(name: str, mend: str) -> None:
    with pytest.raises(SupernetError) as caught:
        load(name)
    assert mend in str(caught.value)


# ---------------------------------------------------------------- all that are built in


def test_reading_any_ladder_needs_neither_torch_nor_torchvision() -> None:
    code = (
        "import sys, supernets;"
        "ladders = [supernets.load(name).ladder() for name in supernets.names()];"
        "assert len(ladders) == 13 and all(ladders);"
        "sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("name", names())
def test_every_supernet_says_its_name_and_its_task(name: str) -> None:
    net = load(name)
    assert net.name == name
    assert (
        net.task == task_of(name) == {"ofa-plates": "plates", "translator-en-de": "translation"}.get(name, "imagenet")
    )


def test_a_ladder_file_of_the_supernet_and_of_the_static_network_is_the_same_thing(tmp_path: Path) -> None:
    static, dynamic = load("ofa-mbv3-static"), load("ofa-mbv3-w1.2")
    rung = replace(static.ladder()[0], accuracy=0.5, accuracy_source="measured")
    file = tmp_path / "ladder.safetensors"
    save(file, {}, [(rung, {})], {"supernet": static.weights_name, "weights_hash": static.base_hash})
    for net in (static, dynamic):
        assert load(net.name, ladder=file).ladder() == (rung,)
